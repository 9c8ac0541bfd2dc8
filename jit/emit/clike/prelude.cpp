// jit/emit/clike/prelude.cpp -- what CUDA and HIP sources begin with: types, and every op's meaning
//
// A function's name is the op's with the type it computes in: the emitter writes nothing else. The
// sources are compiled without contraction and with correctly rounded division and square root.
#include "jit/emit/clike/clike.h"

namespace flash::emit {
namespace {

// Both languages; FLASH_* of the dialects in front.
constexpr std::string_view kCommon = R"source(
typedef int i32;
typedef unsigned int u32;
typedef long long i64;
typedef unsigned long long u64;
typedef float f32;
typedef double f64;
typedef bool pred;
#define FN __device__ __forceinline__

FN f32 bits_f32(u32 b) { return __builtin_bit_cast(f32, b); }
FN f64 bits_f64(u64 b) { return __builtin_bit_cast(f64, b); }
FN u32 f32_bits(f32 x) { return __builtin_bit_cast(u32, x); }
FN u64 f64_bits(f64 x) { return __builtin_bit_cast(u64, x); }
FN i32 word_i32(i64 w) { return (i32)w; }
FN i64 word_i64(i64 w) { return w; }
FN f32 word_f32(i64 w) { return bits_f32((u32)w); }
FN f64 word_f64(i64 w) { return bits_f64((u64)w); }

// -- integers: they wrap
#define INTEGERS(T, U, MASK)                                                     \
  FN T add_##T(T a, T b) { return (T)((U)a + (U)b); }                            \
  FN T sub_##T(T a, T b) { return (T)((U)a - (U)b); }                            \
  FN T mul_##T(T a, T b) { return (T)((U)a * (U)b); }                            \
  FN T neg_##T(T a) { return (T)(0 - (U)a); }                                    \
  FN T abs_##T(T a) { return a < 0 ? neg_##T(a) : a; }                           \
  FN T div_##T(T a, T b) { return b == 0 ? 0 : b == -1 ? neg_##T(a) : a / b; }   \
  FN T rem_##T(T a, T b) { return b == 0 ? a : b == -1 ? 0 : a % b; }            \
  FN T max_##T(T a, T b) { return a > b ? a : b; }                               \
  FN T min_##T(T a, T b) { return a < b ? a : b; }                               \
  FN T and_##T(T a, T b) { return a & b; }                                       \
  FN T or_##T(T a, T b) { return a | b; }                                        \
  FN T xor_##T(T a, T b) { return a ^ b; }                                       \
  FN T not_##T(T a) { return ~a; }                                               \
  FN T shl_##T(T a, T b) { return (T)((U)a << (b & MASK)); }                     \
  FN T shr_a_##T(T a, T b) { return a >> (b & MASK); }                           \
  FN T shr_l_##T(T a, T b) { return (T)((U)a >> (b & MASK)); }
INTEGERS(i32, u32, 31)
INTEGERS(i64, u64, 63)
FN i32 mul_hi_u_i32(i32 a, i32 b) { return (i32)(u32)(((u64)(u32)a * (u32)b) >> 32); }
FN i32 wrap_i8_i32(i32 a) { return (signed char)a; }
FN i32 wrap_u8_i32(i32 a) { return (unsigned char)a; }
FN i32 wrap_i16_i32(i32 a) { return (short)a; }

// -- floats
#define FLOATS(T, S)                                                                   \
  FN T add_##T(T a, T b) { return a + b; }                                             \
  FN T sub_##T(T a, T b) { return a - b; }                                             \
  FN T mul_##T(T a, T b) { return a * b; }                                             \
  FN T div_##T(T a, T b) { return a / b; }                                             \
  FN T max_##T(T a, T b) { return a != a ? a : b != b ? b : a > b ? a : b; }           \
  FN T min_##T(T a, T b) { return a != a ? a : b != b ? b : a < b ? a : b; }           \
  FN T fma_##T(T a, T b, T c) { return fma##S(a, b, c); }                              \
  FN T sqrt_##T(T a) { return sqrt##S(a); }                                            \
  FN T floor_##T(T a) { return floor##S(a); }                                          \
  FN T ceil_##T(T a) { return ceil##S(a); }                                            \
  FN T rint_##T(T a) { return rint##S(a); }                                            \
  FN T trunc_##T(T a) { return trunc##S(a); }
FLOATS(f32, f)
FLOATS(f64, )
FN f32 neg_f32(f32 a) { return bits_f32(f32_bits(a) ^ 0x80000000u); }
FN f64 neg_f64(f64 a) { return bits_f64(f64_bits(a) ^ 0x8000000000000000ull); }
FN f32 abs_f32(f32 a) { return bits_f32(f32_bits(a) & 0x7fffffffu); }
FN f64 abs_f64(f64 a) { return bits_f64(f64_bits(a) & 0x7fffffffffffffffull); }
// Two powers: the first product is exact, the second is rounded once.
FN f32 scale_f32(f32 a, f32 n) {
  if (a != a) return a;
  const i32 k = (i32)n, first = k < -100 ? -100 : k > 100 ? 100 : k, rest = k - first;
  const i32 second = rest < -126 ? -126 : rest > 127 ? 127 : rest;
  return a * bits_f32((u32)(first + 127) << 23) * bits_f32((u32)(second + 127) << 23);
}
FN f64 scale_f64(f64 a, f64 n) {
  if (a != a) return a;
  const i32 k = (i32)n, first = k < -900 ? -900 : k > 900 ? 900 : k, rest = k - first;
  const i32 second = rest < -1022 ? -1022 : rest > 1023 ? 1023 : rest;
  return a * bits_f64((u64)(first + 1023) << 52) * bits_f64((u64)(second + 1023) << 52);
}

// -- comparisons, predicates, choice
#define COMPARISONS(T)                                            \
  FN pred eq_##T(T a, T b) { return a == b; }                     \
  FN pred ne_##T(T a, T b) { return a != b; }                     \
  FN pred lt_##T(T a, T b) { return a < b; }                      \
  FN pred le_##T(T a, T b) { return a <= b; }                     \
  FN pred to_pred_##T(T a) { return a != 0; }                     \
  FN T select_##T(pred p, T a, T b) { return p ? a : b; }
COMPARISONS(i32)
COMPARISONS(i64)
COMPARISONS(f32)
COMPARISONS(f64)
FN pred p_and(pred a, pred b) { return a & b; }
FN pred p_or(pred a, pred b) { return a | b; }
FN pred p_not(pred a) { return !a; }

// -- conversions; floats out of an integer's range and NaN give its least value
FN i32 cast_i32_pred(pred a) { return a ? 1 : 0; }
FN i32 cast_i32_i32(i32 a) { return a; }
FN i64 cast_i64_i64(i64 a) { return a; }
FN f32 cast_f32_f32(f32 a) { return a; }
FN f64 cast_f64_f64(f64 a) { return a; }
FN i64 cast_i64_i32(i32 a) { return a; }
FN i32 cast_i32_i64(i64 a) { return (i32)(u32)(u64)a; }
FN f32 cast_f32_i32(i32 a) { return (f32)a; }
FN f64 cast_f64_i32(i32 a) { return (f64)a; }
FN f32 cast_f32_i64(i64 a) { return (f32)a; }
FN f64 cast_f64_i64(i64 a) { return (f64)a; }
FN f64 cast_f64_f32(f32 a) { return (f64)a; }
FN f32 cast_f32_f64(f64 a) { return (f32)a; }
#define TO_INTEGER(T, F, LIMIT, LEAST) \
  FN T cast_##T##_##F(F a) { return a >= -LIMIT && a < LIMIT ? (T)a : LEAST; }
TO_INTEGER(i32, f32, 2147483648.0f, (-2147483647 - 1))
TO_INTEGER(i32, f64, 2147483648.0, (-2147483647 - 1))
TO_INTEGER(i64, f32, 9223372036854775808.0f, (-9223372036854775807ll - 1))
TO_INTEGER(i64, f64, 9223372036854775808.0, (-9223372036854775807ll - 1))
FN i32 bitcast_i32_f32(f32 a) { return (i32)f32_bits(a); }
FN f32 bitcast_f32_i32(i32 a) { return bits_f32((u32)a); }
FN i64 bitcast_i64_f64(f64 a) { return (i64)f64_bits(a); }
FN f64 bitcast_f64_i64(i64 a) { return bits_f64((u64)a); }

// -- half types, by their bits: to nearest, ties to even; NaN stays one
FN u32 bf16_bits(f32 x) {
  const u32 b = f32_bits(x);
  return x != x ? (b >> 16) | 0x40u : (b + 0x7fffu + (b >> 16 & 1u)) >> 16;
}
FN f32 bf16_value(u32 h) { return bits_f32(h << 16); }
FN f32 f16_value(u32 h) {
  const u32 sign = (h & 0x8000u) << 16, rest = h & 0x7fffu;
  if (rest >= 0x7c00u) return bits_f32(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
  if (rest >= 0x400u) return bits_f32(sign | ((rest << 13) + 0x38000000u));
  return bits_f32(sign | f32_bits((f32)rest * 5.9604644775390625e-8f));  // 2^-24
}
FN u32 f16_bits(f32 x) {
  const u32 b = f32_bits(x), sign = b >> 16 & 0x8000u, rest = b & 0x7fffffffu;
  if (rest > 0x7f800000u) return sign | 0x7e00u | (rest >> 13 & 0x3ffu);
  if (rest >= 0x477ff000u) return sign | 0x7c00u;  // 65520 and more round to infinity
  if (rest >= 0x38800000u) return sign | ((rest - 0x38000000u + 0xfffu + (rest >> 13 & 1u)) >> 13);
  return sign | (f32_bits(bits_f32(rest) + 0.5f) & 0x7ffu);  // 2^-24 is the last place of 0.5
}
FN f32 round_bf16_f32(f32 x) { return bf16_value(bf16_bits(x)); }
FN f32 round_f16_f32(f32 x) { return f16_value(f16_bits(x)); }

// -- memory: storage type to register type and back
#define MEMORY(NAME, R, S)                                                 \
  FN R load_##NAME(const char* p) { return (R) * (const S*)p; }            \
  FN void store_##NAME(char* p, R v) { *(S*)p = (S)v; }
MEMORY(bool, i32, unsigned char)
MEMORY(u8, i32, unsigned char)
MEMORY(i8, i32, signed char)
MEMORY(i16, i32, short)
MEMORY(i32, i32, i32)
MEMORY(i64, i64, i64)
MEMORY(f32, f32, f32)
MEMORY(f64, f64, f64)
FN f32 load_f16(const char* p) { return f16_value(*(const unsigned short*)p); }
FN f32 load_bf16(const char* p) { return bf16_value(*(const unsigned short*)p); }
FN void store_f16(char* p, f32 v) { *(unsigned short*)p = (unsigned short)f16_bits(v); }
FN void store_bf16(char* p, f32 v) { *(unsigned short*)p = (unsigned short)bf16_bits(v); }
// What another block has written.
#define PARTIAL(T) \
  FN T fresh_##T(const char* p) { return *(const volatile T*)p; }
PARTIAL(i32)
PARTIAL(i64)
PARTIAL(f32)
PARTIAL(f64)

// -- threads
#define BELOW(T)                                                     \
  FN T below_##T(T v, int distance) { return WARP_DOWN(v, distance); } \
  FN T first_##T(T v) { return WARP_FIRST(v); }
BELOW(i32)
BELOW(i64)
BELOW(f32)
BELOW(f64)
)source";

constexpr std::string_view kCuda = R"source(
#define WARP_DOWN(v, n) __shfl_down_sync(0xffffffffu, v, n)
#define WARP_FIRST(v) __shfl_sync(0xffffffffu, v, 0)
)source";

// Waves have 32 or 64 threads: each half of one of 64 is a warp here.
constexpr std::string_view kHip = R"source(
#define WARP_DOWN(v, n) __shfl_down(v, n, 32)
#define WARP_FIRST(v) __shfl(v, 0, 32)
)source";

std::string joined(std::string_view dialect) { return std::string(dialect) + std::string(kCommon); }

}  // namespace

Dialect cuda_dialect() {
  static const std::string prelude = joined(kCuda);
  return {"cuda", prelude};
}
Dialect hip_dialect() {
  static const std::string prelude = joined(kHip);
  return {"hip", prelude};
}

}  // namespace flash::emit
