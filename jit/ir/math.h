// jit/ir/math.h -- transcendental functions as kernel IR: one set of polynomials for every device
//
// Each function writes straight-line IR for kF32 or kF64 operands out of exact and correctly
// rounded instructions only (add, mul, fma, div, sqrt, bit operations, selects, tables). So every
// emitter gives the same bits. Errors: at most 1 ULP in f32, 2 ULP in f64; NaN, ±0, ±inf and
// subnormals as IEEE 754 / C99 Annex F say.
#pragma once

#include "jit/ir/builder.h"

namespace flash::ir {

Value exp(Builder& b, Value x);
Value expm1(Builder& b, Value x);
Value log(Builder& b, Value x);
Value log1p(Builder& b, Value x);
Value tanh(Builder& b, Value x);
Value tanh_f32(Builder& b, Value x);  ///< what tanh and erf write for kF32
Value erf_f32(Builder& b, Value x);
Value sigmoid(Builder& b, Value x);  ///< 1 / (1 + exp(-x))
Value silu(Builder& b, Value x);     ///< x sigmoid(x)
Value gelu(Builder& b, Value x);     ///< x Φ(x), Φ of the normal distribution
Value erf(Builder& b, Value x);
Value sin(Builder& b,
          Value x);  ///< full range (Payne-Hanek or Cody-Waite with a large-argument path)
Value cos(Builder& b, Value x);
Value rsqrt(Builder& b, Value x);         ///< 1 / sqrt(x), error at most 1 ULP
Value pow(Builder& b, Value x, Value y);  ///< C99 pow, all special cases
Value log2(Builder& b, Value x);
Value exp2(Builder& b, Value x);

/// Word `word` (0…3, a kI32 value) of Philox 4x32-10 with counter {lo, hi, 0, 0} and key {k0, k1},
/// all kI32 bit patterns. Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC
/// 2011.
Value philox(Builder& b, Value lo, Value hi, Value k0, Value k1, Value word);

/// Uniform in [0, 1): the top 24 of 32 random bits times 2^-24.
Value uniform_f32(Builder& b, Value bits);
/// Uniform in [0, 1): the top 27 bits of `bits_hi` and the top 26 of `bits_lo` times 2^-53.
Value uniform_f64(Builder& b, Value bits_hi, Value bits_lo);

}  // namespace flash::ir
