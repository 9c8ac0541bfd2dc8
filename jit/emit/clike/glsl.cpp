// jit/emit/clike/glsl.cpp -- what GLSL sources begin with: types, memory, threads, rounded floats
#include "jit/emit/clike/glsl.h"

#include <string_view>

#include "jit/emit/clike/glsl_soft.h"
#include "jit/emit/clike/meaning.h"

namespace flash::emit {
namespace {

constexpr std::string_view kHead = R"source(#version 460
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#extension GL_EXT_shader_8bit_storage : require
#extension GL_EXT_shader_16bit_storage : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_spirv_intrinsics : require
#extension GL_KHR_shader_subgroup_basic : enable
#extension GL_KHR_shader_subgroup_shuffle : enable
)source";

constexpr std::string_view kTypes = R"source(
layout(local_size_x_id = 0, local_size_y_id = 1) in;
layout(push_constant, scalar) uniform Arguments {
  uint64_t args;
  int64_t tiles;
};
#define i32 int
#define u32 uint
#define i64 int64_t
#define u64 uint64_t
#define f32 float
#define f64 double
#define pred bool
#define FN
#define UNROLL [[unroll]]
#define KERNEL(name) void main()
#define ARGS args
#define ARG(n) (Words(args).w[n])
#define SHARED(type, name, count) shared type name[count];
#define TABLE(name, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p) \
  const u32 name[16] = {a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p};
#define BARRIER() barrier()
#define FENCE() memoryBarrier()
#define THREAD_X i32(gl_LocalInvocationID.x)
#define THREAD_Y i32(gl_LocalInvocationID.y)
#define SIZE_X i32(gl_WorkGroupSize.x)
#define SIZE_Y i32(gl_WorkGroupSize.y)
#define BLOCK_X i32(gl_WorkGroupID.x)
#define GRID_X i32(gl_NumWorkGroups.x)

// A zero that compilers do not know: they are known to drop signs of products and sums with one
// that they do.
#define UNKNOWN_ZERO (u32(tiles >> 62))
FN f32 bits_f32(u32 b) { return uintBitsToFloat(b); }
FN u32 f32_bits(f32 x) { return floatBitsToUint(x); }
FN f32 literal_f32(u32 b) { return b << 1 == 0u ? bits_f32(b | UNKNOWN_ZERO) : bits_f32(b); }
FN pred is_nan_f32(f32 x) { return (f32_bits(x) & 0x7fffffffu) > 0x7f800000u; }
#ifdef HAS_F64
FN f64 bits_f64(u64 b) { return uint64BitsToDouble(b); }
FN u64 f64_bits(f64 x) { return doubleBitsToUint64(x); }
FN f64 literal_f64(u64 b) {
  return b << 1 == u64(0) ? bits_f64(b | u64(UNKNOWN_ZERO)) : bits_f64(b);
}
FN pred is_nan_f64(f64 x) {
  return (f64_bits(x) & ~(u64(1) << 63)) > (u64(0x7ff00000u) << 32);
}
#endif
)source";

constexpr std::string_view kFloats = R"source(
// Of i64(a) in a comparison with a literal, Mesa 22.3 makes one that is wrong.
#define OWN_CAST_I64_I32
FN i64 cast_i64_i32(i32 a) { return i64(u64(u32(a)) | u64(u32(a >> 31)) << 32); }

#ifdef SOFT_DIV_F32
FN f32 div_f32(f32 a, f32 b) { return soft_div_f32(a, b); }
#else
FN f32 div_f32(f32 a, f32 b) { precise f32 r = a / b; return r; }
#endif
#ifdef SOFT_SQRT_F32
FN f32 sqrt_f32(f32 a) { return soft_sqrt_f32(a); }
#else
FN f32 sqrt_f32(f32 a) { precise f32 r = sqrt(a); return r; }
#endif

#ifdef FMA_F32_BY_F64
FN f32 fma_f32(f32 a, f32 b, f32 c) {
  precise f64 p = f64(a) * f64(b);  // exact
  return f32(sum_to_odd(p, f64(c)));
}
// Without that correction: wrong by one place only where the sum in f64 was rounded to just between
// two f32, which random operands do once in 2^29 times.
#define OWN_CHAIN_F32
FN f32 chain_f32(f32 a, f32 b, f32 c) {
  precise f64 p = f64(a) * f64(b);
  precise f64 s = p + f64(c);
  return f32(s);
}
#elif defined(SOFT_FMA_F32)
FN f32 fma_f32(f32 a, f32 b, f32 c) { return soft_fma_f32(a, b, c); }
#else
FN f32 fma_f32(f32 a, f32 b, f32 c) { precise f32 r = fma(a, b, c); return r; }
#endif

// A result of zero has its operand's sign.
FN f32 like_f32(f32 r, f32 a) { return bits_f32(f32_bits(r) & 0x7fffffffu | f32_bits(a) & 0x80000000u); }
#ifdef SOFT_F32  // operands below the least normal number may be taken for 0
FN bool below_one(f32 a) { return (f32_bits(a) & 0x7fffffffu) < 0x3f800000u; }
FN f32 whole_f32(f32 a, u32 sign) {  // between 0 and 1: away from 0 for one sign
  const u32 b = f32_bits(a);
  return bits_f32(b << 1 != 0u && (b & 0x80000000u) == sign ? sign | 0x3f800000u : b & 0x80000000u);
}
FN f32 floor_f32(f32 a) { return below_one(a) ? whole_f32(a, 0x80000000u) : floor(a); }
FN f32 ceil_f32(f32 a) { return below_one(a) ? whole_f32(a, 0u) : ceil(a); }
#else
FN f32 floor_f32(f32 a) { return like_f32(floor(a), a); }
FN f32 ceil_f32(f32 a) { return like_f32(ceil(a), a); }
#endif
FN f32 rint_f32(f32 a) { return like_f32(roundEven(a), a); }
FN f32 trunc_f32(f32 a) { return like_f32(trunc(a), a); }

#ifdef HAS_F64
#ifdef SOFT_DIV_F64
FN f64 div_f64(f64 a, f64 b) { return soft_div_f64(a, b); }
#else
FN f64 div_f64(f64 a, f64 b) { precise f64 r = a / b; return r; }
#endif
#ifdef SOFT_SQRT_F64
FN f64 sqrt_f64(f64 a) { return soft_sqrt_f64(a); }
#else
FN f64 sqrt_f64(f64 a) { precise f64 r = sqrt(a); return r; }
#endif
#ifdef SOFT_FMA_F64
FN f64 fma_f64(f64 a, f64 b, f64 c) { return soft_fma_f64(a, b, c); }
#else
FN f64 fma_f64(f64 a, f64 b, f64 c) { precise f64 r = fma(a, b, c); return r; }
#endif
FN f64 like_f64(f64 r, f64 a) {
  const u64 sign = u64(1) << 63;
  return bits_f64(f64_bits(r) & ~sign | f64_bits(a) & sign);
}
FN f64 floor_f64(f64 a) { return like_f64(floor(a), a); }
FN f64 ceil_f64(f64 a) { return like_f64(ceil(a), a); }
// Drivers make these two of integers, and not all do it right: here a sum with 2^52 rounds.
FN f64 rint_f64(f64 a) {
  const f64 size = bits_f64(f64_bits(a) & ~(u64(1) << 63)), last = bits_f64(u64(1075) << 52);
  precise f64 sum = size + last;
  precise f64 whole = sum - last;
  return like_f64(size < last ? whole : size, a);
}
FN f64 trunc_f64(f64 a) { return f64_bits(a) >> 63 != u64(0) ? ceil_f64(a) : floor_f64(a); }
#endif

#ifdef SOFT_F32
FN f32 add_f32(f32 a, f32 b) { return soft_fma_f32(a, bits_f32(0x3f800000u), b); }
FN f32 sub_f32(f32 a, f32 b) { return add_f32(a, bits_f32(f32_bits(b) ^ 0x80000000u)); }
FN f32 mul_f32(f32 a, f32 b) {
  return soft_fma_f32(a, b, bits_f32((f32_bits(a) ^ f32_bits(b)) & 0x80000000u));
}
FN i32 order_f32(f32 a) {  // as the numbers, but for NaN
  const i32 size = i32(f32_bits(a) & 0x7fffffffu);
  return f32_bits(a) >> 31 != 0u ? -size : size;
}
FN pred numbers(f32 a, f32 b) { return !is_nan_f32(a) && !is_nan_f32(b); }
FN pred eq_f32(f32 a, f32 b) { return numbers(a, b) && order_f32(a) == order_f32(b); }
FN pred ne_f32(f32 a, f32 b) { return !eq_f32(a, b); }
FN pred lt_f32(f32 a, f32 b) { return numbers(a, b) && order_f32(a) < order_f32(b); }
FN pred le_f32(f32 a, f32 b) { return numbers(a, b) && order_f32(a) <= order_f32(b); }
FN pred to_pred_f32(f32 a) { return order_f32(a) != 0; }
FN f32 select_f32(pred p, f32 a, f32 b) { return bits_f32(p ? f32_bits(a) : f32_bits(b)); }
FN f32 max_f32(f32 a, f32 b) { return is_nan_f32(a) ? a : is_nan_f32(b) ? b : lt_f32(b, a) ? a : b; }
FN f32 min_f32(f32 a, f32 b) { return is_nan_f32(a) ? a : is_nan_f32(b) ? b : lt_f32(a, b) ? a : b; }
#ifdef HAS_F64
FN f64 cast_f64_f32(f32 a) {
  const u32 size = f32_bits(a) & 0x7fffffffu;
  if (size >= 0x00800000u || size == 0u) return f64(a);
  precise f64 r = f64(size) * bits_f64(u64(1023 - 149) << 52);
  return f32_bits(a) >> 31 != 0u ? -r : r;
}
FN f32 cast_f32_f64(f64 a) {
  const u64 bits = f64_bits(a), size = bits & ~(u64(1) << 63);
  if (size >= u64(1023 - 120) << 52 || size == u64(0)) return f32(a);
  const Parts x = parts_of(size, 52, 1023);
  return bits_f32(u32(bits >> 63) << 31 | u32(rounded(u64vec2(x.m, 0), x.e - 64, 23, 127)));
}
#endif
#endif
)source";

constexpr std::string_view kMemory = R"source(
layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer Words { i64 w[]; };
%each NAME R S ALIGNMENT
  | bool i32 uint8_t 1 | u8 i32 uint8_t 1 | i8 i32 int8_t 1 | i16 i32 int16_t 2
  | i32 i32 int 4 | i64 i64 int64_t 8 | f32 f32 float 4 | f64 f64 double 8
layout(buffer_reference, scalar, buffer_reference_align = $ALIGNMENT) buffer At_$NAME { $S v; };
FN $R load_$NAME(u64 at) { return $R(At_$NAME(at).v); }
FN void store_$NAME(u64 at, $R x) { At_$NAME(at).v = $S(x); }
%end
layout(buffer_reference, scalar, buffer_reference_align = 2) buffer At_half { uint16_t v; };
FN f32 load_f16(u64 at) { return f16_value(u32(At_half(at).v)); }
FN f32 load_bf16(u64 at) { return bf16_value(u32(At_half(at).v)); }
FN void store_f16(u64 at, f32 x) { At_half(at).v = uint16_t(f16_bits(x)); }
FN void store_bf16(u64 at, f32 x) { At_half(at).v = uint16_t(bf16_bits(x)); }
layout(buffer_reference, scalar, buffer_reference_align = 16) buffer At_words_4 { uvec4 v; };
layout(buffer_reference, scalar, buffer_reference_align = 8) buffer At_words_2 { uvec2 v; };
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer At_words_1 { u32 v; };
FN void load_words_4(u64 at, out u32 w[4]) {
  const uvec4 v = At_words_4(at).v;
  w = u32[4](v.x, v.y, v.z, v.w);
}
FN void load_words_2(u64 at, out u32 w[2]) {
  const uvec2 v = At_words_2(at).v;
  w = u32[2](v.x, v.y);
}
FN void load_words_1(u64 at, out u32 w[1]) { w = u32[1](At_words_1(at).v); }
FN void store_words_4(u64 at, u32 w[4]) { At_words_4(at).v = uvec4(w[0], w[1], w[2], w[3]); }
FN void store_words_2(u64 at, u32 w[2]) { At_words_2(at).v = uvec2(w[0], w[1]); }
FN void store_words_1(u64 at, u32 w[1]) { At_words_1(at).v = w[0]; }
%each T ALIGNMENT | i32 4 | i64 8 | f32 4 | f64 8
layout(buffer_reference, scalar, buffer_reference_align = $ALIGNMENT) coherent buffer Of_$T {
  $T v;
};
FN $T fresh_$T(u64 at) { return Of_$T(at).v; }
FN void publish_$T(u64 at, $T x) { Of_$T(at).v = x; }
%end
layout(buffer_reference, scalar, buffer_reference_align = 4) coherent buffer Tally { u32 v; };
FN u32 atomic_add_u32(u64 at, u32 n) { return atomicAdd(Tally(at).v, n); }
)source";

constexpr std::string_view kThreads = R"source(
#ifdef SHUFFLES
FN u32 of_thread(u32 v, i32 thread) { return subgroupShuffle(v, u32(thread)); }
FN i32 warp_begin() { return i32(gl_SubgroupInvocationID) & ~31; }
#else
shared u32 exchanged[32];
FN u32 of_thread(u32 v, i32 thread) {
  exchanged[THREAD_X] = v;
  barrier();
  const u32 r = exchanged[thread];
  barrier();
  return r;
}
FN i32 warp_begin() { return 0; }
#endif
FN i32 warp_further(i32 n) {
  const i32 to = (THREAD_X & 31) + n;
  return warp_begin() + (to < 32 ? to : 31);
}
FN u64 of_thread64(u64 v, i32 thread) {
  const u32 high = of_thread(u32(v >> 32), thread);
  return u64(high) << 32 | u64(of_thread(u32(v), thread));
}
FN i32 below_i32(i32 v, i32 n) { return i32(of_thread(u32(v), warp_further(n))); }
FN i32 first_i32(i32 v) { return i32(of_thread(u32(v), warp_begin())); }
FN i64 below_i64(i64 v, i32 n) { return i64(of_thread64(u64(v), warp_further(n))); }
FN i64 first_i64(i64 v) { return i64(of_thread64(u64(v), warp_begin())); }
FN f32 below_f32(f32 v, i32 n) { return bits_f32(of_thread(f32_bits(v), warp_further(n))); }
FN f32 first_f32(f32 v) { return bits_f32(of_thread(f32_bits(v), warp_begin())); }
#ifdef HAS_F64
FN f64 below_f64(f64 v, i32 n) { return bits_f64(of_thread64(f64_bits(v), warp_further(n))); }
FN f64 first_f64(f64 v) { return bits_f64(of_thread64(f64_bits(v), warp_begin())); }
#endif
)source";

// Modes of SPIR-V's float controls, as far as the device has them.
std::string float_controls(const GlslTraits& t, bool f64) {
  std::string s;
  const auto ask = [&](int widths, std::string_view capability, std::string_view mode) {
    for (const int bits : {32, 64})
      if ((widths & bits / 32) != 0 && (bits == 32 || f64))
        s.append("spirv_execution_mode(extensions = [\"SPV_KHR_float_controls\"], capabilities = [")
            .append(capability)
            .append("], ")
            .append(mode)
            .append(", ")
            .append(std::to_string(bits))
            .append(");\n");
  };
  ask(t.keeps_subnormals, "4464", "4459");
  ask(t.keeps_specials, "4466", "4461");
  ask(t.rounds_to_even, "4467", "4462");
  return s;
}

}  // namespace

std::string glsl_prelude(const GlslTraits& t) {
  std::string s(kHead);
  const auto define = [&](bool wanted, std::string_view name) {
    if (wanted) s.append("#define ").append(name).append("\n");
  };
  const bool f64 = t.has_f64 && t.f64_arithmetic, soft = !t.f32_arithmetic;
  const bool by_f64 = f64 && !soft && !t.f32_fma;
  define(f64, "HAS_F64");
  define(soft, "SOFT_F32");
  define(soft || !t.f32_div, "SOFT_DIV_F32");
  define(soft || !t.f32_sqrt, "SOFT_SQRT_F32");
  define(by_f64, "FMA_F32_BY_F64");
  define(soft || (!t.f32_fma && !by_f64), "SOFT_FMA_F32");
  define(!t.f64_div, "SOFT_DIV_F64");
  define(!t.f64_sqrt, "SOFT_SQRT_F64");
  define(!t.f64_fma, "SOFT_FMA_F64");
  define(t.shuffles, "SHUFFLES");
  return s.append(float_controls(t, f64))
      .append(kTypes)
      .append(glsl_soft_floats())
      .append(kFloats)
      .append(common_meaning())
      .append(kMemory)
      .append(kThreads);
}

std::string to_string(const GlslTraits& t) {
  std::string s;
  const auto say = [&](bool native, std::string_view what) {
    if (!native) s.append(s.empty() ? "" : "; ").append(what);
  };
  const bool f64 = t.has_f64 && t.f64_arithmetic, all = t.f32_arithmetic;
  say(all, "f32 by integers");
  say(!all || t.f32_fma, f64 ? "f32 fma by f64" : "f32 fma by integers");
  say(!all || t.f32_div, "f32 division by integers");
  say(!all || t.f32_sqrt, "f32 square root by integers");
  say(f64, t.has_f64 ? "no f64 (its arithmetic is not IEEE's)" : "no f64");
  say(!f64 || t.f64_fma, "f64 fma by sums");
  say(!f64 || t.f64_div, "f64 division by integers");
  say(!f64 || t.f64_sqrt, "f64 square root by integers");
  say(t.shuffles, "warps by barriers");
  return s;
}

}  // namespace flash::emit
