// kernels/leaf.h -- what every device says alike about leaf kernels
#pragma once

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

}  // namespace flash
