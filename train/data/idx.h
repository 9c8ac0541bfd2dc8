// train/data/idx.h -- the IDX format of MNIST and its kin, plain or gzipped
#pragma once

#include <string>
#include <string_view>

#include "../../core/export.h"
#include "../../core/host_array.h"
#include "../../core/io/file.h"

namespace flash::data {

/// Reads an IDX file (big-endian; u8, i8, i16, i32, f32 or f64). gzip is recognised by its first
/// bytes, not by the name. Throws IoError when the file is damaged, truncated or longer than noted.
FLASH_API HostArray read_idx(const std::string& path);

/// The same on memory; `path` is for messages.
FLASH_API HostArray parse_idx(io::ByteSpan file, std::string_view path);

/// Pictures with one label each.
struct LabelledImages {
  HostArray images;  ///< u8 [N, H, W], 0 is background
  HostArray labels;  ///< u8 [N]
};

/// Reads one half of MNIST from the folder that holds its four files under their usual names
/// (train-images-idx3-ubyte and so on), with or without .gz. Throws IoError: a file is missing, the
/// numbers of images and labels differ, or a label is not below 10.
FLASH_API LabelledImages read_mnist(const std::string& folder, bool train);

}  // namespace flash::data
