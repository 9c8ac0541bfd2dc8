// train/io/png_check.h -- what a PNG promises, checked before a decoder believes it
#pragma once

#include <string_view>

#include "core/io/file.h"

namespace flash::io {

/// Whether these bytes begin as a PNG does.
bool is_png(ByteSpan file);

/// The file as it may be given to stb_image: every chunk lies inside, the picture's bytes can come
/// out of the compressed ones at all, and a palette has all of its 256 colours (stb_image takes
/// those that a file leaves out from memory that nobody wrote; here they are black). Throws IoError
/// naming `path`.
Bytes checked_png(ByteSpan file, std::string_view path);

}  // namespace flash::io
