// tests/files/harnesses.h -- one harness a format, each with files to begin from
#pragma once

#include <vector>

#include "core/host_array.h"
#include "core/io/file.h"

namespace flash::test {

/// Whether the reader took the file (false: it refused it with an error); throws Finding.
bool read_idx(io::ByteSpan file);
bool read_gz(io::ByteSpan file);
bool read_npy(io::ByteSpan file);
bool read_npz(io::ByteSpan file);
bool read_safetensors(io::ByteSpan file);
bool read_trace(io::ByteSpan file);
bool read_checkpoint(io::ByteSpan file);
bool read_image(io::ByteSpan file);
bool read_kernel_entry(io::ByteSpan file);

std::vector<io::Bytes> idx_seeds();
std::vector<io::Bytes> gz_seeds();
std::vector<io::Bytes> npy_seeds();
std::vector<io::Bytes> npz_seeds();
std::vector<io::Bytes> safetensors_seeds();
std::vector<io::Bytes> trace_seeds();
std::vector<io::Bytes> checkpoint_seeds();
std::vector<io::Bytes> image_seeds();
std::vector<io::Bytes> kernel_entry_seeds();

/// Bytes that are all different, as far as there are so many.
HostArray some_array(DType dtype, const Shape& shape);

}  // namespace flash::test
