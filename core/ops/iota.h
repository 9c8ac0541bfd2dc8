// core/ops/iota.h -- indices along a dimension, on any device
#pragma once

#include "core/ops/bind.h"

namespace flash {

/// start, start + step, … (n numbers) as i64: an index that kernels compute, never memory.
inline Tensor iota_on(std::int64_t n, Device device, std::int64_t start = 0,
                      std::int64_t step = 1) {
  const std::int64_t attrs[] = {0, start, step};  // axis 0
  return bind_source(Prim::kIota, {n}, DType::kI64, device, attrs);
}

}  // namespace flash
