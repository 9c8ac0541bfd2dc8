// core/ops/iota.h -- indices along a dimension, on any device
#pragma once

#include "core/ops/bind.h"

namespace flash {

/// 0, 1, … n − 1 as i64: an index that kernels compute, never memory.
inline Tensor iota_on(std::int64_t n, Device device) {
  const std::int64_t attrs[] = {0, 0, 1};  // axis, start, step
  return bind_source(Prim::kIota, {n}, DType::kI64, device, attrs);
}

}  // namespace flash
