// core/io/npz.h -- NumPy's .npz files: zip archives of npy members
#pragma once

#include <string>

#include "../export.h"
#include "../host_array.h"

namespace flash::io {

/// Reads all arrays of an npz, by name without ".npy". Stored and deflated members; checksums are
/// verified. Throws IoError: damaged, encrypted or ZIP64 archives, members that are no arrays.
FLASH_API HostArrays read_npz(const std::string& path);

/// Writes atomically, in name order and without times, so that equal arrays give equal files.
/// Throws IoError when the archive would need ZIP64 (4 GiB, or 65,535 arrays).
FLASH_API void write_npz(const std::string& path, const HostArrays& arrays, bool compress = false);

}  // namespace flash::io
