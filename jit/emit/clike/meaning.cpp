// jit/emit/clike/meaning.cpp -- every op's meaning in the subset that all dialects share
//
// A function's name is the op's with the type it computes in: the emitter writes nothing else.
#include "jit/emit/clike/meaning.h"

namespace flash::emit {

std::string_view common_meaning() {
  return R"source(
FN i32 word_i32(i64 w) { return i32(w); }
FN i64 word_i64(i64 w) { return w; }
FN f32 word_f32(i64 w) { return bits_f32(u32(w)); }

// -- integers: they wrap
%each T U MASK | i32 u32 31 | i64 u64 63
FN $T add_$T($T a, $T b) { return $T($U(a) + $U(b)); }
FN $T sub_$T($T a, $T b) { return $T($U(a) - $U(b)); }
FN $T mul_$T($T a, $T b) { return $T($U(a) * $U(b)); }
FN $T neg_$T($T a) { return $T($U(0) - $U(a)); }
FN $T abs_$T($T a) { return a < $T(0) ? neg_$T(a) : a; }
FN $U magnitude_$T($T a) { return ($U(a) ^ $U(a >> $MASK)) - $U(a >> $MASK); }
// 0 for a divisor of 0. Without a condition: compilers copy a loop for each condition that it does
// not change, and each for each other, so that five divisors took NVRTC minutes.
FN $T div_$T($T a, $T b) {
  const $U none = $U(b == $T(0)), sign = $U((a ^ b) >> $MASK);
  const $U q = magnitude_$T(a) / (magnitude_$T(b) + none);
  return $T(((q ^ sign) - sign) & (none - $U(1)));
}
FN $T rem_$T($T a, $T b) { return $T($U(a) - $U(div_$T(a, b)) * $U(b)); }
FN $T max_$T($T a, $T b) { return a > b ? a : b; }
FN $T min_$T($T a, $T b) { return a < b ? a : b; }
FN $T and_$T($T a, $T b) { return a & b; }
FN $T or_$T($T a, $T b) { return a | b; }
FN $T xor_$T($T a, $T b) { return a ^ b; }
FN $T not_$T($T a) { return ~a; }
FN $T shl_$T($T a, $T b) { return $T($U(a) << i32(b & $T($MASK))); }
FN $T shr_a_$T($T a, $T b) { return a >> i32(b & $T($MASK)); }
FN $T shr_l_$T($T a, $T b) { return $T($U(a) >> i32(b & $T($MASK))); }
%end
FN i32 mul_hi_u_i32(i32 a, i32 b) { return i32(u32((u64(u32(a)) * u64(u32(b))) >> 32)); }
FN i32 wrap_i8_i32(i32 a) { return i32(u32(a) << 24) >> 24; }
FN i32 wrap_u8_i32(i32 a) { return a & 255; }
FN i32 wrap_i16_i32(i32 a) { return i32(u32(a) << 16) >> 16; }

// -- floats
%each T IF | f32 !defined(SOFT_F32) | f64 defined(HAS_F64)
#if $IF
FN $T add_$T($T a, $T b) { precise $T r = a + b; return r; }
FN $T sub_$T($T a, $T b) { precise $T r = a - b; return r; }
FN $T mul_$T($T a, $T b) { precise $T r = a * b; return r; }
FN $T max_$T($T a, $T b) { return is_nan_$T(a) ? a : is_nan_$T(b) ? b : a > b ? a : b; }
FN $T min_$T($T a, $T b) { return is_nan_$T(a) ? a : is_nan_$T(b) ? b : a < b ? a : b; }
#endif
%end
// A step of a product's sum: an fma, unless the dialect has its own.
%each T IF | f32 !defined(OWN_CHAIN_F32) | f64 defined(HAS_F64)
#if $IF
FN $T chain_$T($T a, $T b, $T c) { return fma_$T(a, b, c); }
#endif
%end
FN f32 neg_f32(f32 a) { return bits_f32(f32_bits(a) ^ 0x80000000u); }
FN f32 abs_f32(f32 a) { return bits_f32(f32_bits(a) & 0x7fffffffu); }
// Two powers: the first product is exact, the second is rounded once.
FN f32 scale_f32(f32 a, f32 n) {
  if (is_nan_f32(a)) return a;
  const i32 k = i32(n), first = k < -100 ? -100 : k > 100 ? 100 : k, rest = k - first;
  const i32 second = rest < -126 ? -126 : rest > 127 ? 127 : rest;
  const f32 near = mul_f32(a, bits_f32(u32(first + 127) << 23));
  return mul_f32(near, bits_f32(u32(second + 127) << 23));
}

// -- comparisons, predicates, choice
%each T IF | i32 1 | i64 1 | f32 !defined(SOFT_F32) | f64 defined(HAS_F64)
#if $IF
FN pred eq_$T($T a, $T b) { return a == b; }
FN pred ne_$T($T a, $T b) { return a != b; }
FN pred lt_$T($T a, $T b) { return a < b; }
FN pred le_$T($T a, $T b) { return a <= b; }
FN pred to_pred_$T($T a) { return a != $T(0); }
FN $T select_$T(pred p, $T a, $T b) { return p ? a : b; }
#endif
%end
FN pred p_and(pred a, pred b) { return a && b; }
FN pred p_or(pred a, pred b) { return a || b; }
FN pred p_not(pred a) { return !a; }

// -- conversions; floats out of an integer's range and NaN give its least value
FN i32 cast_i32_pred(pred a) { return a ? 1 : 0; }
FN i32 cast_i32_i32(i32 a) { return a; }
FN i64 cast_i64_i64(i64 a) { return a; }
FN f32 cast_f32_f32(f32 a) { return a; }
#ifndef OWN_CAST_I64_I32
FN i64 cast_i64_i32(i32 a) { return i64(a); }
#endif
FN i32 cast_i32_i64(i64 a) { return i32(u32(u64(a))); }
FN f32 cast_f32_i32(i32 a) { return f32(a); }
FN f32 cast_f32_i64(i64 a) { return f32(a); }
%each T F LIMIT LEAST IF
  | i32 f32 2147483648.0f i32(0x80000000u) 1
  | i64 f32 9223372036854775808.0f i64(u64(1)<<63) 1
  | i32 f64 2147483648.0f i32(0x80000000u) defined(HAS_F64)
  | i64 f64 9223372036854775808.0f i64(u64(1)<<63) defined(HAS_F64)
#if $IF
FN $T cast_$T_$F($F a) { return a >= -$F($LIMIT) && a < $F($LIMIT) ? $T(a) : $LEAST; }
#endif
%end
FN i32 bitcast_i32_f32(f32 a) { return i32(f32_bits(a)); }
FN f32 bitcast_f32_i32(i32 a) { return bits_f32(u32(a)); }

#ifdef HAS_F64
FN f64 word_f64(i64 w) { return bits_f64(u64(w)); }
FN f64 neg_f64(f64 a) { return bits_f64(f64_bits(a) ^ u64(0x80000000u) << 32); }
FN f64 abs_f64(f64 a) { return bits_f64(f64_bits(a) & ~(u64(0x80000000u) << 32)); }
FN f64 scale_f64(f64 a, f64 n) {
  if (is_nan_f64(a)) return a;
  const i32 k = i32(n), first = k < -900 ? -900 : k > 900 ? 900 : k, rest = k - first;
  const i32 second = rest < -1022 ? -1022 : rest > 1023 ? 1023 : rest;
  const f64 near = mul_f64(a, bits_f64(u64(first + 1023) << 52));
  return mul_f64(near, bits_f64(u64(second + 1023) << 52));
}
FN f64 cast_f64_f64(f64 a) { return a; }
FN f64 cast_f64_i32(i32 a) { return f64(a); }
FN f64 cast_f64_i64(i64 a) { return f64(a); }
#ifndef SOFT_F32
FN f64 cast_f64_f32(f32 a) { return f64(a); }
FN f32 cast_f32_f64(f64 a) { return f32(a); }
#endif
FN i64 bitcast_i64_f64(f64 a) { return i64(f64_bits(a)); }
FN f64 bitcast_f64_i64(i64 a) { return bits_f64(u64(a)); }
#endif

// -- half types, by their bits: to nearest, ties to even; NaN stays one
FN u32 bf16_bits(f32 x) {
  const u32 b = f32_bits(x);
  return is_nan_f32(x) ? (b >> 16) | 0x40u : (b + 0x7fffu + (b >> 16 & 1u)) >> 16;
}
FN f32 bf16_value(u32 h) { return bits_f32(h << 16); }
FN f32 f16_value(u32 h) {
  const u32 sign = (h & 0x8000u) << 16, rest = h & 0x7fffu;
  if (rest >= 0x7c00u) return bits_f32(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
  if (rest >= 0x400u) return bits_f32(sign | ((rest << 13) + 0x38000000u));
  return bits_f32(sign | f32_bits(mul_f32(f32(rest), bits_f32(0x33800000u))));  // 2^-24
}
FN u32 f16_bits(f32 x) {
  const u32 b = f32_bits(x), sign = b >> 16 & 0x8000u, rest = b & 0x7fffffffu;
  if (rest > 0x7f800000u) return sign | 0x7e00u | (rest >> 13 & 0x3ffu);
  if (rest >= 0x477ff000u) return sign | 0x7c00u;  // 65520 and more round to infinity
  if (rest >= 0x38800000u) return sign | ((rest - 0x38000000u + 0xfffu + (rest >> 13 & 1u)) >> 13);
  const f32 placed = add_f32(bits_f32(rest), 0.5f);  // whose last place is 2^-24
  return sign | (f32_bits(placed) & 0x7ffu);
}
FN f32 round_bf16_f32(f32 x) { return bf16_value(bf16_bits(x)); }
FN f32 round_f16_f32(f32 x) { return f16_value(f16_bits(x)); }
)source";
}

}  // namespace flash::emit
