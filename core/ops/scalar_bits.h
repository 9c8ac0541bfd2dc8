// core/ops/scalar_bits.h -- numbers as 0-d tensors whose value is a kernel parameter
#pragma once

#include "core/tensor.h"

namespace flash {

/// The bits of `v` converted to `dtype`, as kernels read them: f64 and i64 whole, narrower integers
/// sign- or zero-extended, f32 and the halves as the bits of a float.
std::int64_t scalar_bits(Scalar v, DType dtype);

/// A 0-d tensor on a device.
/// Throws ValueError naming `op` where an integer dtype does not hold the number, but for what
/// follows its point. Arithmetic wraps instead, as it does between tensors.
void check_holds(DType dtype, Scalar value, const char* op);
Tensor scalar_on(Scalar value, DType dtype, Device device);

}  // namespace flash
