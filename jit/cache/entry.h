// jit/cache/entry.h -- a compiled kernel as a file: its key, its bytes, and how both are checked
//
//   0  "FLASHKRN"
//   8  u32: version of the format
//  12  the key, 32 bytes
//  44  u64: bytes of the payload; nothing follows it
//  52  SHA-256 of the payload
//  84  the payload
//
// Numbers are little-endian. Everything may have been changed by anybody: a reader takes an entry
// that is whole and of the key that was asked for, or throws an IoError.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/io/file.h"
#include "jit/cache/sha256.h"

namespace flash::jit {

inline constexpr std::uint32_t kEntryVersion = 1;
inline constexpr std::size_t kEntryHeader = 84;
/// A larger file is no kernel: neither written nor read.
inline constexpr std::uint64_t kMaxPayload = std::uint64_t{64} << 20;

/// All that the compiled bytes depend on.
struct KeyParts {
  std::string_view source;
  std::string_view architecture;  ///< "sm_90a", "gfx1030"
  std::string_view compiler;      ///< name and version: "NVRTC 12.4"
  std::string_view options;       ///< as they are handed to the compiler
};

struct DiskKey {
  Digest digest{};
  std::string hex() const;  ///< 64 digits
  friend bool operator==(const DiskKey&, const DiskKey&) = default;
};

/// SHA-256 over the format's version and the parts, each with its length in front: what stands at
/// the end of one part is not the same at the beginning of the next.
DiskKey make_key(const KeyParts& parts);

io::Bytes make_entry(const DiskKey& key, io::ByteSpan payload);

/// The payload's size by `header`, the first kEntryHeader bytes (or all, of a shorter one) of a
/// file of `file_size` bytes. So a caller allocates no more than the file holds. Throws IoError
/// beginning with `name`.
std::uint64_t payload_size(io::ByteSpan header, std::uint64_t file_size, const DiskKey& key,
                           std::string_view name);
/// Throws IoError unless the checksum in `header` is that of the payload.
void check_payload(io::ByteSpan header, io::ByteSpan payload, std::string_view name);

/// The payload of a whole file in memory. Throws IoError likewise.
io::Bytes parse_entry(io::ByteSpan file, const DiskKey& key, std::string_view name);

}  // namespace flash::jit
