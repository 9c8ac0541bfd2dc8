// core/ops/elementwise.h -- operations on each element, broadcast as NumPy does, promoted as
// PyTorch does
//
// Scalars take part in promotion by their kind only (int32 tensor + 1.5 → f32; f16 tensor + 1.5 →
// f16). Float functions take floating dtypes; integer and bool operands are converted to f32 first.
#pragma once

#include "../tensor.h"

namespace flash {

FLASH_OP2(add)
FLASH_OP2(sub)  ///< of numbers: bool is refused
FLASH_OP2(mul)
FLASH_OP2(div)  ///< true division: integers give f32
/// The remainders of floating numbers, and the quotient made of one, are exact; in f64 while |a /
/// b| is less than 2^208 (about 4e62), and NaN beyond.
FLASH_OP2(floor_divide)  ///< toward -inf; integers by zero give 0
FLASH_OP2(remainder)     ///< sign of the divisor; integers by zero give the dividend
FLASH_OP2(fmod)          ///< sign of the dividend; integers by zero give the dividend
FLASH_OP2(pow)
FLASH_OP2(maximum)  ///< NaN if either is
FLASH_OP2(minimum)
FLASH_OP2(eq)  ///< comparisons give bool
FLASH_OP2(ne)
FLASH_OP2(lt)
FLASH_OP2(le)
FLASH_OP2(gt)
FLASH_OP2(ge)
FLASH_OP2(bitwise_and)  ///< integers and bool
FLASH_OP2(bitwise_or)
FLASH_OP2(bitwise_xor)
FLASH_OP2(bitwise_left_shift)  ///< a count outside of the width shifts everything out
FLASH_OP2(bitwise_right_shift)
FLASH_OP2(logical_and)  ///< any dtype, bool result
FLASH_OP2(logical_or)
FLASH_OP2(logical_xor)

FLASH_OP(neg, (x))
FLASH_OP(abs, (x))
FLASH_OP(sign, (x))    ///< NaN stays
FLASH_OP(square, (x))  ///< bool becomes i64
FLASH_OP(reciprocal, (x))
FLASH_OP(sqrt, (x))
FLASH_OP(rsqrt, (x))
FLASH_OP(exp, (x))
FLASH_OP(expm1, (x))
FLASH_OP(log, (x))
FLASH_OP(log1p, (x))
FLASH_OP(tanh, (x))
FLASH_OP(sigmoid, (x))
FLASH_OP(erf, (x))
FLASH_OP(sin, (x))
FLASH_OP(cos, (x))
FLASH_OP(floor, (x))  ///< integers stay as they are, here and in the next three
FLASH_OP(ceil, (x))
FLASH_OP(round, (x))  ///< to nearest, ties to even
FLASH_OP(trunc, (x))
FLASH_OP(relu, (x))  ///< max(x, 0); NaN stays
FLASH_OP(gelu, (x))  ///< x·Φ(x), not tanh's approximation
FLASH_OP(silu, (x))
FLASH_OP(logical_not, (x))
FLASH_OP(bitwise_not, (x))
FLASH_OP(isnan, (x))
FLASH_OP(isinf, (x))
FLASH_OP(isfinite, (x))

FLASH_OP(leaky_relu, (x, slope), double slope = 0.01)
/// One of the bounds may be left out ({}); where low > high the result is high. A bound that is NaN
/// makes every value NaN.
FLASH_OP(clamp, (x, low, high), std::optional<Scalar> low, std::optional<Scalar> high = {})
/// condition ? a : b, broadcast; condition is bool.
FLASH_API Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b);
FLASH_API Tensor where(const Tensor& condition, const Tensor& a, Scalar b);
FLASH_API Tensor where(const Tensor& condition, Scalar a, const Tensor& b);
FLASH_OP_ON_TEMPORARIES(where)
/// a·b + c, rounded once.
FLASH_API Tensor fma(const Tensor& a, const Tensor& b, const Tensor& c);
FLASH_OP_ON_TEMPORARIES(fma)
/// a + weight·(b - a), as torch computes it from b where |weight| >= 0.5: where b - a is finite,
/// weight 1 gives b itself.
FLASH_API Tensor lerp(const Tensor& a, const Tensor& b, Scalar weight);
FLASH_OP_ON_TEMPORARIES(lerp)
FLASH_OP(cast, (x, dtype), DType dtype)

}  // namespace flash
