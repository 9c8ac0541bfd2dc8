// train/io/safetensors.h -- the safetensors format: named arrays and a map of strings
//
//   for (const auto& [name, array] : io::read_safetensors("model.safetensors")) ...
//
//   io::SafetensorsFile file("model.safetensors");         // reads only the header
//   HostArray weight = file.read("fc1.weight");            // reads one array
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "../../core/export.h"
#include "../../core/host_array.h"
#include "../../core/io/file.h"

namespace flash::io {

using Metadata = std::map<std::string, std::string>;

/// An open file whose header has been read and checked: every offset lies inside the file, arrays
/// neither overlap nor leave holes, and sizes fit shapes. The constructor throws IoError otherwise.
/// An element type that Flash has not (F8_E4M3, U32, ...) is an error only when it is read.
class FLASH_API SafetensorsFile {
 public:
  struct Entry {
    std::string dtype;  ///< as the file spells it: "F32", "BF16", "F8_E4M3"
    Shape shape;
    std::uint64_t begin = 0, end = 0;  ///< bytes within the file
  };

  explicit SafetensorsFile(const std::string& path);
  explicit SafetensorsFile(InputFile file);

  const std::map<std::string, Entry>& entries() const { return entries_; }
  const Metadata& metadata() const { return metadata_; }
  bool contains(const std::string& name) const;

  /// Reads one array. Throws IndexError when there is none of that name, and DTypeError when its
  /// type is one that Flash has not.
  HostArray read(const std::string& name) const;

 private:
  InputFile file_;
  std::map<std::string, Entry> entries_;
  Metadata metadata_;
};

/// Reads every array; throws as SafetensorsFile does, for any of them.
FLASH_API HostArrays read_safetensors(const std::string& path, Metadata* metadata = nullptr);

/// The same on memory; `path` is for messages.
FLASH_API HostArrays parse_safetensors(ByteSpan file, std::string_view path,
                                       Metadata* metadata = nullptr);

/// Writes atomically. Equal arrays and metadata give equal files. Arrays lie by falling element
/// size, then by name, so that each is aligned. Throws IoError, and ValueError for bad arrays.
FLASH_API void write_safetensors(const std::string& path, const HostArrays& arrays,
                                 const Metadata& metadata = {});

/// What write_safetensors writes.
FLASH_API Bytes safetensors_bytes(const HostArrays& arrays, const Metadata& metadata = {});

}  // namespace flash::io
