// train/io/image.h -- pictures to arrays and back: PNG, and the binary PGM and PPM
#pragma once

#include <string>
#include <string_view>

#include "../../core/export.h"
#include "../../core/host_array.h"
#include "../../core/io/file.h"

namespace flash::io {

/// Reads a PNG (8 bits a channel; 16 are rounded down), PGM or PPM file as u8 [H, W, C].
/// `channels` 0 keeps the file's own: 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha; 1 … 4
/// converts. The values of a PGM or PPM are scaled to 0 … 255. Throws IoError when it is none of
/// these, damaged, or of more pixels than its bytes could hold; ValueError for other channels.
FLASH_API HostArray read_image(const std::string& path, int channels = 0);

/// The same on memory; `path` is for messages.
FLASH_API HostArray decode_image(ByteSpan file, std::string_view path, int channels = 0);

/// Writes u8 [H, W] or [H, W, C] with C of 1 … 4 as a PNG, atomically. Throws ShapeError,
/// DTypeError or IoError.
FLASH_API void write_png(const std::string& path, const HostArray& image);

/// What write_png writes.
FLASH_API Bytes png_bytes(const HostArray& image);

}  // namespace flash::io
