// core/host_array.h -- a plain array in host memory: what file readers return and writers take
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "dtype.h"
#include "shape.h"

namespace flash {

/// Row-major, contiguous, native byte order. Readers of files make these; tensors are made of them.
struct HostArray {
  DType dtype = DType::kF32;
  Shape shape;
  std::vector<std::byte> bytes;
};

using HostArrays = std::map<std::string, HostArray>;  ///< by name, in name order

}  // namespace flash
