// core/io/npy.h -- NumPy's .npy files, versions 1 to 3
#pragma once

#include <string>
#include <string_view>

#include "../export.h"
#include "../host_array.h"
#include "file.h"

namespace flash::io {

/// Reads an array. Fortran order is transposed and big-endian data swapped, so that the result is
/// always row-major and native. Throws IoError: damaged, truncated, Python objects inside (never
/// unpickled), or an element type that Flash has not (unsigned above 8 bits, complex, text, ...).
FLASH_API HostArray read_npy(const std::string& path);

/// Writes version 1.0, atomically. bf16 is refused with DTypeError: NumPy has no such type.
FLASH_API void write_npy(const std::string& path, const HostArray& array);

/// The same on memory; `path` is for messages. Bytes behind the array are ignored, as NumPy does.
FLASH_API HostArray parse_npy(Bytes file, std::string_view path);

/// Everything of the file in front of the elements.
FLASH_API std::string npy_header(const HostArray& array);

/// Throws ValueError when the bytes of `array` do not fit its shape and dtype.
FLASH_API void check_host_array(const HostArray& array, const char* op);

}  // namespace flash::io
