// core/io/npz.h -- NumPy's .npz files: zip archives of npy members
#pragma once

#include <string>
#include <string_view>

#include "../export.h"
#include "../host_array.h"
#include "file.h"

namespace flash::io {

/// Reads all arrays of an npz, by name without ".npy". Stored and deflated members; checksums are
/// verified. Members that share bytes are refused, so that all of them together unpack to no more
/// than kMaxDeflateRatio times the file. Throws IoError: damaged, encrypted or ZIP64 archives,
/// members that are no arrays.
FLASH_API HostArrays read_npz(const std::string& path);

/// The same on memory; `path` is for messages.
FLASH_API HostArrays parse_npz(ByteSpan file, std::string_view path);

/// Writes atomically, in name order and without times, so that equal arrays give equal files.
/// Throws IoError when the archive would need ZIP64 (4 GiB, or 65,535 arrays).
FLASH_API void write_npz(const std::string& path, const HostArrays& arrays, bool compress = false);

/// What write_npz writes.
FLASH_API Bytes npz_bytes(const HostArrays& arrays, bool compress = false);

}  // namespace flash::io
