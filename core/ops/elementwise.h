// core/ops/elementwise.h -- operations on each element, broadcast as NumPy does, promoted as
// PyTorch does
//
// Scalars take part in promotion by their kind only (int32 tensor + 1.5 → f32; f16 tensor + 1.5 →
// f16). Float functions take floating dtypes; integer and bool operands are converted to f32 first.
#pragma once

#include "../tensor.h"

namespace flash {

#define FLASH_BINARY(name)                                 \
  FLASH_API Tensor name(const Tensor& a, const Tensor& b); \
  FLASH_API Tensor name(const Tensor& a, Scalar b);        \
  FLASH_API Tensor name(Scalar a, const Tensor& b);
FLASH_BINARY(add)
FLASH_BINARY(sub)
FLASH_BINARY(mul)
FLASH_BINARY(div)           ///< true division: integers give f32
FLASH_BINARY(floor_divide)  ///< toward -inf; integers by zero give 0
FLASH_BINARY(remainder)     ///< sign of the divisor; integers by zero give the dividend
FLASH_BINARY(fmod)          ///< sign of the dividend
FLASH_BINARY(pow)
FLASH_BINARY(maximum)  ///< NaN if either is
FLASH_BINARY(minimum)
FLASH_BINARY(eq)  ///< comparisons give bool
FLASH_BINARY(ne)
FLASH_BINARY(lt)
FLASH_BINARY(le)
FLASH_BINARY(gt)
FLASH_BINARY(ge)
FLASH_BINARY(bitwise_and)  ///< integers and bool
FLASH_BINARY(bitwise_or)
FLASH_BINARY(bitwise_xor)
FLASH_BINARY(bitwise_left_shift)
FLASH_BINARY(bitwise_right_shift)
FLASH_BINARY(logical_and)  ///< any dtype, bool result
FLASH_BINARY(logical_or)
FLASH_BINARY(logical_xor)
#undef FLASH_BINARY

#define FLASH_UNARY(name) FLASH_API Tensor name(const Tensor& x);
FLASH_UNARY(neg)
FLASH_UNARY(abs)
FLASH_UNARY(sign)
FLASH_UNARY(square)
FLASH_UNARY(reciprocal)
FLASH_UNARY(sqrt)
FLASH_UNARY(rsqrt)
FLASH_UNARY(exp)
FLASH_UNARY(expm1)
FLASH_UNARY(log)
FLASH_UNARY(log1p)
FLASH_UNARY(tanh)
FLASH_UNARY(sigmoid)
FLASH_UNARY(erf)
FLASH_UNARY(sin)
FLASH_UNARY(cos)
FLASH_UNARY(floor)
FLASH_UNARY(ceil)
FLASH_UNARY(round)  ///< to nearest, ties to even
FLASH_UNARY(trunc)
FLASH_UNARY(relu)  ///< max(x, 0); NaN stays
FLASH_UNARY(gelu)  ///< x·Φ(x), exact (erf)
FLASH_UNARY(silu)
FLASH_UNARY(logical_not)
FLASH_UNARY(bitwise_not)
FLASH_UNARY(isnan)
FLASH_UNARY(isinf)
FLASH_UNARY(isfinite)
#undef FLASH_UNARY

FLASH_API Tensor leaky_relu(const Tensor& x, double slope = 0.01);
FLASH_API Tensor clamp(const Tensor& x, Scalar low, Scalar high);
/// condition ? a : b, broadcast; condition is bool.
FLASH_API Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b);
FLASH_API Tensor where(const Tensor& condition, const Tensor& a, Scalar b);
FLASH_API Tensor where(const Tensor& condition, Scalar a, const Tensor& b);
/// a·b + c, rounded once.
FLASH_API Tensor fma(const Tensor& a, const Tensor& b, const Tensor& c);
FLASH_API Tensor lerp(const Tensor& a, const Tensor& b, Scalar weight);
FLASH_API Tensor cast(const Tensor& x, DType dtype);

}  // namespace flash
