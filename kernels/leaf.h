// kernels/leaf.h -- what every device says alike about leaf kernels
#pragma once

#include <cstdint>
#include <string>

#include "core/primitive.h"

namespace flash {

/// Whether the leaf kernel of `op` calls an epilogue on what it has finished of its output: a
/// tile on the CPU, an element on GPUs. Backward kernels that accumulate into their output do not.
constexpr bool leaf_takes_epilogue(Prim op) {
  switch (op) {
    case Prim::kMatmul:
    case Prim::kConv2d:
    case Prim::kMaxPool2d:
    case Prim::kAvgPool2d:
      return true;
    default:
      return false;
  }
}

/// Of an operand of indices: the row that item `item` (row-major) asks for is not there.
inline std::string bad_index(std::int64_t row, std::int64_t item, std::int64_t rows) {
  const std::string what =
      "index " + std::to_string(row) + " (item " + std::to_string(item) + ") is out of range";
  if (rows == 0) return what + ": there are no rows";
  return what + " for " + std::to_string(rows) + " rows; want 0 to " + std::to_string(rows - 1);
}

}  // namespace flash
