// core/io/inflate.h -- zlib's (de)compression on whole buffers, safe against bombs
#pragma once

#include <cstdint>
#include <string_view>

#include "../export.h"
#include "file.h"

namespace flash::io {

enum class Deflate {
  kRaw,   ///< as in zip members
  kGzip,  ///< one or more gzip members; their checksums are verified
};

/// Decompresses all of `packed`. Throws IoError naming `path` when the data is damaged, truncated
/// or followed by other data, or when the result would be larger than `limit` bytes.
FLASH_API Bytes inflate(ByteSpan packed, Deflate format, std::uint64_t limit,
                        std::string_view path);

/// The first `bytes` bytes of what `packed` holds, fewer when it holds fewer. What comes behind
/// them is not looked at. Throws IoError naming `path` when the data is damaged or truncated
/// before.
FLASH_API Bytes inflate_start(ByteSpan packed, Deflate format, std::size_t bytes,
                              std::string_view path);

/// Compresses into a raw stream.
FLASH_API Bytes deflate_raw(ByteSpan bytes);

/// CRC-32 as zip and gzip use it.
FLASH_API std::uint32_t crc32_of(ByteSpan bytes);

/// No deflate stream expands more than this many times (zlib's documentation).
inline constexpr std::uint64_t kMaxDeflateRatio = 1032;

}  // namespace flash::io
