#include <metal_stdlib>
#if __METAL_VERSION__ < 320
#error "Flash's kernels need Metal 3.2: macOS 15, iOS 18"
#endif
#pragma METAL fp math_mode(safe)
#pragma METAL fp contract(off)
using namespace metal;

typedef char i8;
typedef uchar u8;
typedef short i16;
typedef ushort u16;
typedef int i32;
typedef uint u32;
typedef long i64;
typedef ulong u64;
typedef float f32;
typedef bool pred;
#define FN static inline
#define UNROLL _Pragma("clang loop unroll(full)")
#define KERNEL(name)                                                                       \
  kernel void name(constant u64& args [[buffer(0)]], constant i64& tiles [[buffer(1)]],    \
                   uint3 thread_index [[thread_position_in_threadgroup]],                  \
                   uint3 block_size [[threads_per_threadgroup]],                           \
                   uint3 block_index [[threadgroup_position_in_grid]],                     \
                   uint3 grid_size [[threadgroups_per_grid]])
#define ARGS args
#define ARG(n) (((const device i64*)args)[n])
#define SHARED(type, name, count) threadgroup type name[count];
#define TABLE(name, ...) constant u32 name[16] = {__VA_ARGS__};
#define BARRIER() threadgroup_barrier(mem_flags::mem_threadgroup | mem_flags::mem_device)
#define FENCE() \
  atomic_thread_fence(mem_flags::mem_device, memory_order_seq_cst, thread_scope_device)
#define THREAD_X i32(thread_index.x)
#define THREAD_Y i32(thread_index.y)
#define SIZE_X i32(block_size.x)
#define SIZE_Y i32(block_size.y)
#define BLOCK_X i32(block_index.x)
#define GRID_X i32(grid_size.x)

FN f32 bits_f32(u32 b) { return as_type<f32>(b); }
FN u32 f32_bits(f32 x) { return as_type<u32>(x); }
FN f32 literal_f32(u32 b) { return bits_f32(b); }
FN pred is_nan_f32(f32 x) { return (f32_bits(x) & 0x7fffffffu) > 0x7f800000u; }
FN f32 div_f32(f32 a, f32 b) { return precise::divide(a, b); }
FN f32 sqrt_f32(f32 a) { return precise::sqrt(a); }
FN f32 fma_f32(f32 a, f32 b, f32 c) { return fma(a, b, c); }
FN f32 floor_f32(f32 a) { return floor(a); }
FN f32 ceil_f32(f32 a) { return ceil(a); }
FN f32 rint_f32(f32 a) { return rint(a); }
FN f32 trunc_f32(f32 a) { return trunc(a); }
#define precise  // a namespace up to here: the pragma keeps sums and products apart

FN i32 word_i32(i64 w) { return i32(w); }
FN i64 word_i64(i64 w) { return w; }
FN f32 word_f32(i64 w) { return bits_f32(u32(w)); }

// -- integers: they wrap
FN i32 add_i32(i32 a, i32 b) { return i32(u32(a) + u32(b)); }
FN i32 sub_i32(i32 a, i32 b) { return i32(u32(a) - u32(b)); }
FN i32 mul_i32(i32 a, i32 b) { return i32(u32(a) * u32(b)); }
FN i32 neg_i32(i32 a) { return i32(u32(0) - u32(a)); }
FN i32 abs_i32(i32 a) { return a < i32(0) ? neg_i32(a) : a; }
FN u32 magnitude_i32(i32 a) { return (u32(a) ^ u32(a >> 31)) - u32(a >> 31); }
// 0 for a divisor of 0. Without a condition: compilers copy a loop for each condition that it does
// not change, and each for each other, so that five divisors took NVRTC minutes.
FN i32 div_i32(i32 a, i32 b) {
  const u32 none = u32(b == i32(0)), sign = u32((a ^ b) >> 31);
  const u32 q = magnitude_i32(a) / (magnitude_i32(b) + none);
  return i32(((q ^ sign) - sign) & (none - u32(1)));
}
FN i32 rem_i32(i32 a, i32 b) { return i32(u32(a) - u32(div_i32(a, b)) * u32(b)); }
FN i32 max_i32(i32 a, i32 b) { return a > b ? a : b; }
FN i32 min_i32(i32 a, i32 b) { return a < b ? a : b; }
FN i32 and_i32(i32 a, i32 b) { return a & b; }
FN i32 or_i32(i32 a, i32 b) { return a | b; }
FN i32 xor_i32(i32 a, i32 b) { return a ^ b; }
FN i32 not_i32(i32 a) { return ~a; }
FN i32 shl_i32(i32 a, i32 b) { return i32(u32(a) << i32(b & i32(31))); }
FN i32 shr_a_i32(i32 a, i32 b) { return a >> i32(b & i32(31)); }
FN i32 shr_l_i32(i32 a, i32 b) { return i32(u32(a) >> i32(b & i32(31))); }
FN i64 add_i64(i64 a, i64 b) { return i64(u64(a) + u64(b)); }
FN i64 sub_i64(i64 a, i64 b) { return i64(u64(a) - u64(b)); }
FN i64 mul_i64(i64 a, i64 b) { return i64(u64(a) * u64(b)); }
FN i64 neg_i64(i64 a) { return i64(u64(0) - u64(a)); }
FN i64 abs_i64(i64 a) { return a < i64(0) ? neg_i64(a) : a; }
FN u64 magnitude_i64(i64 a) { return (u64(a) ^ u64(a >> 63)) - u64(a >> 63); }
// 0 for a divisor of 0. Without a condition: compilers copy a loop for each condition that it does
// not change, and each for each other, so that five divisors took NVRTC minutes.
FN i64 div_i64(i64 a, i64 b) {
  const u64 none = u64(b == i64(0)), sign = u64((a ^ b) >> 63);
  const u64 q = magnitude_i64(a) / (magnitude_i64(b) + none);
  return i64(((q ^ sign) - sign) & (none - u64(1)));
}
FN i64 rem_i64(i64 a, i64 b) { return i64(u64(a) - u64(div_i64(a, b)) * u64(b)); }
FN i64 max_i64(i64 a, i64 b) { return a > b ? a : b; }
FN i64 min_i64(i64 a, i64 b) { return a < b ? a : b; }
FN i64 and_i64(i64 a, i64 b) { return a & b; }
FN i64 or_i64(i64 a, i64 b) { return a | b; }
FN i64 xor_i64(i64 a, i64 b) { return a ^ b; }
FN i64 not_i64(i64 a) { return ~a; }
FN i64 shl_i64(i64 a, i64 b) { return i64(u64(a) << i32(b & i64(63))); }
FN i64 shr_a_i64(i64 a, i64 b) { return a >> i32(b & i64(63)); }
FN i64 shr_l_i64(i64 a, i64 b) { return i64(u64(a) >> i32(b & i64(63))); }
FN i32 mul_hi_u_i32(i32 a, i32 b) { return i32(u32((u64(u32(a)) * u64(u32(b))) >> 32)); }
FN i32 wrap_i8_i32(i32 a) { return i32(u32(a) << 24) >> 24; }
FN i32 wrap_u8_i32(i32 a) { return a & 255; }
FN i32 wrap_i16_i32(i32 a) { return i32(u32(a) << 16) >> 16; }

// -- floats
#if !defined(SOFT_F32)
FN f32 add_f32(f32 a, f32 b) { precise f32 r = a + b; return r; }
FN f32 sub_f32(f32 a, f32 b) { precise f32 r = a - b; return r; }
FN f32 mul_f32(f32 a, f32 b) { precise f32 r = a * b; return r; }
FN f32 max_f32(f32 a, f32 b) { return is_nan_f32(a) ? a : is_nan_f32(b) ? b : a > b ? a : b; }
FN f32 min_f32(f32 a, f32 b) { return is_nan_f32(a) ? a : is_nan_f32(b) ? b : a < b ? a : b; }
#endif
#if defined(HAS_F64)
FN f64 add_f64(f64 a, f64 b) { precise f64 r = a + b; return r; }
FN f64 sub_f64(f64 a, f64 b) { precise f64 r = a - b; return r; }
FN f64 mul_f64(f64 a, f64 b) { precise f64 r = a * b; return r; }
FN f64 max_f64(f64 a, f64 b) { return is_nan_f64(a) ? a : is_nan_f64(b) ? b : a > b ? a : b; }
FN f64 min_f64(f64 a, f64 b) { return is_nan_f64(a) ? a : is_nan_f64(b) ? b : a < b ? a : b; }
#endif
// A step of a product's sum: an fma, unless the dialect has its own.
#if !defined(OWN_CHAIN_F32)
FN f32 chain_f32(f32 a, f32 b, f32 c) { return fma_f32(a, b, c); }
#endif
#if defined(HAS_F64)
FN f64 chain_f64(f64 a, f64 b, f64 c) { return fma_f64(a, b, c); }
#endif
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
#if 1
FN pred eq_i32(i32 a, i32 b) { return a == b; }
FN pred ne_i32(i32 a, i32 b) { return a != b; }
FN pred lt_i32(i32 a, i32 b) { return a < b; }
FN pred le_i32(i32 a, i32 b) { return a <= b; }
FN pred to_pred_i32(i32 a) { return a != i32(0); }
FN i32 select_i32(pred p, i32 a, i32 b) { return p ? a : b; }
#endif
#if 1
FN pred eq_i64(i64 a, i64 b) { return a == b; }
FN pred ne_i64(i64 a, i64 b) { return a != b; }
FN pred lt_i64(i64 a, i64 b) { return a < b; }
FN pred le_i64(i64 a, i64 b) { return a <= b; }
FN pred to_pred_i64(i64 a) { return a != i64(0); }
FN i64 select_i64(pred p, i64 a, i64 b) { return p ? a : b; }
#endif
#if !defined(SOFT_F32)
FN pred eq_f32(f32 a, f32 b) { return a == b; }
FN pred ne_f32(f32 a, f32 b) { return a != b; }
FN pred lt_f32(f32 a, f32 b) { return a < b; }
FN pred le_f32(f32 a, f32 b) { return a <= b; }
FN pred to_pred_f32(f32 a) { return a != f32(0); }
FN f32 select_f32(pred p, f32 a, f32 b) { return p ? a : b; }
#endif
#if defined(HAS_F64)
FN pred eq_f64(f64 a, f64 b) { return a == b; }
FN pred ne_f64(f64 a, f64 b) { return a != b; }
FN pred lt_f64(f64 a, f64 b) { return a < b; }
FN pred le_f64(f64 a, f64 b) { return a <= b; }
FN pred to_pred_f64(f64 a) { return a != f64(0); }
FN f64 select_f64(pred p, f64 a, f64 b) { return p ? a : b; }
#endif
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
#if 1
FN i32 cast_i32_f32(f32 a) { return a >= -f32(2147483648.0f) && a < f32(2147483648.0f) ? i32(a) : i32(0x80000000u); }
#endif
#if 1
FN i64 cast_i64_f32(f32 a) { return a >= -f32(9223372036854775808.0f) && a < f32(9223372036854775808.0f) ? i64(a) : i64(u64(1)<<63); }
#endif
#if defined(HAS_F64)
FN i32 cast_i32_f64(f64 a) { return a >= -f64(2147483648.0f) && a < f64(2147483648.0f) ? i32(a) : i32(0x80000000u); }
#endif
#if defined(HAS_F64)
FN i64 cast_i64_f64(f64 a) { return a >= -f64(9223372036854775808.0f) && a < f64(9223372036854775808.0f) ? i64(a) : i64(u64(1)<<63); }
#endif
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

// -- memory: storage type to register type and back; half types by their bits
FN i32 load_bool(u64 at) { return i32(*(const device u8*)at); }
FN void store_bool(u64 at, i32 v) { *(device u8*)at = u8(v); }
FN i32 load_u8(u64 at) { return i32(*(const device u8*)at); }
FN void store_u8(u64 at, i32 v) { *(device u8*)at = u8(v); }
FN i32 load_i8(u64 at) { return i32(*(const device i8*)at); }
FN void store_i8(u64 at, i32 v) { *(device i8*)at = i8(v); }
FN i32 load_i16(u64 at) { return i32(*(const device i16*)at); }
FN void store_i16(u64 at, i32 v) { *(device i16*)at = i16(v); }
FN i32 load_i32(u64 at) { return i32(*(const device i32*)at); }
FN void store_i32(u64 at, i32 v) { *(device i32*)at = i32(v); }
FN i64 load_i64(u64 at) { return i64(*(const device i64*)at); }
FN void store_i64(u64 at, i64 v) { *(device i64*)at = i64(v); }
FN f32 load_f32(u64 at) { return f32(*(const device f32*)at); }
FN void store_f32(u64 at, f32 v) { *(device f32*)at = f32(v); }
FN f32 load_f16(u64 at) { return f16_value(*(const device u16*)at); }
FN f32 load_bf16(u64 at) { return bf16_value(*(const device u16*)at); }
FN void store_f16(u64 at, f32 v) { *(device u16*)at = u16(f16_bits(v)); }
FN void store_bf16(u64 at, f32 v) { *(device u16*)at = u16(bf16_bits(v)); }

// Atomics go past caches that other thread groups do not see. Halves may be torn, but nobody reads
// before the tally has said that they are all there.
#define WORD(at) ((device atomic_uint*)(at))
FN u32 atomic_add_u32(u64 at, u32 n) {  // no atomic is ordered but by its own thread's fences
  FENCE();
  const u32 before = atomic_fetch_add_explicit(WORD(at), n, memory_order_relaxed);
  FENCE();
  return before;
}
FN u32 fresh_u32(u64 at) { return atomic_load_explicit(WORD(at), memory_order_relaxed); }
FN void publish_u32(u64 at, u32 v) { atomic_store_explicit(WORD(at), v, memory_order_relaxed); }
FN i32 fresh_i32(u64 at) { return i32(fresh_u32(at)); }
FN f32 fresh_f32(u64 at) { return bits_f32(fresh_u32(at)); }
FN i64 fresh_i64(u64 at) { return i64(u64(fresh_u32(at + 4)) << 32 | u64(fresh_u32(at))); }
FN void publish_i32(u64 at, i32 v) { publish_u32(at, u32(v)); }
FN void publish_f32(u64 at, f32 v) { publish_u32(at, f32_bits(v)); }
FN void publish_i64(u64 at, i64 v) {
  publish_u32(at, u32(u64(v)));
  publish_u32(at + 4, u32(u64(v) >> 32));
}

// -- threads: a simd group is a warp
FN u32 below_u32(u32 v, i32 n) { return simd_shuffle_down(v, ushort(n)); }
FN u32 first_u32(u32 v) { return simd_broadcast(v, ushort(0)); }
FN i32 below_i32(i32 v, i32 n) { return i32(below_u32(u32(v), n)); }
FN i32 first_i32(i32 v) { return i32(first_u32(u32(v))); }
FN f32 below_f32(f32 v, i32 n) { return bits_f32(below_u32(f32_bits(v), n)); }
FN f32 first_f32(f32 v) { return bits_f32(first_u32(f32_bits(v))); }
FN i64 below_i64(i64 v, i32 n) {
  const u32 high = below_u32(u32(u64(v) >> 32), n);
  return i64(u64(high) << 32 | u64(below_u32(u32(u64(v)), n)));
}
FN i64 first_i64(i64 v) {
  const u32 high = first_u32(u32(u64(v) >> 32));
  return i64(u64(high) << 32 | u64(first_u32(u32(u64(v)))));
}
