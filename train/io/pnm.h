// train/io/pnm.h -- the binary PGM and PPM (P5 and P6 of netpbm)
#pragma once

#include <string_view>

#include "core/host_array.h"
#include "core/io/file.h"

namespace flash::io {

/// Whether these bytes begin as a PGM or PPM does.
bool is_pnm(ByteSpan file);

/// u8 [H, W, 1] or [H, W, 3]; values are scaled so that the file's largest becomes 255. Throws
/// IoError: no size, a size of 0, more pixels than bytes, values above the largest.
HostArray decode_pnm(ByteSpan file, std::string_view path);

}  // namespace flash::io
