// jit/emit/clike/cuda_hip.cpp -- what CUDA and HIP sources begin with
//
// The sources are compiled without contraction and with correctly rounded division and square root.
#include "jit/emit/clike/clike.h"
#include "jit/emit/clike/meaning.h"

namespace flash::emit {
namespace {

constexpr std::string_view kCuda = R"source(
#define ARG(n) __ldg((const i64*)args + (n))
#define WARP_DOWN(v, n) __shfl_down_sync(0xffffffffu, v, n)
#define WARP_FIRST(v) __shfl_sync(0xffffffffu, v, 0)
)source";

// Waves have 32 or 64 threads: each half of one of 64 is a warp here.
constexpr std::string_view kHip = R"source(
#define ARG(n) (((const i64*)args)[n])
#define WARP_DOWN(v, n) __shfl_down(v, n, 32)
#define WARP_FIRST(v) __shfl(v, 0, 32)
)source";

constexpr std::string_view kBoth = R"source(
typedef signed char i8;
typedef unsigned char u8;
typedef short i16;
typedef unsigned short u16;
typedef int i32;
typedef unsigned int u32;
typedef long long i64;
typedef unsigned long long u64;
typedef float f32;
typedef double f64;
typedef bool pred;
#define FN __device__ __forceinline__
#define precise
#define HAS_F64
#define UNROLL _Pragma("unroll")
#define KERNEL(name) extern "C" __global__ void name(u64 args, i64 tiles)
#define ARGS args
#define SHARED(type, name, count) alignas(16) static __shared__ type name[count];
#define TABLE(name, ...) static __device__ const u32 name[16] = {__VA_ARGS__};
#define BARRIER() __syncthreads()
#define FENCE() __threadfence()
#define THREAD_X i32(threadIdx.x)
#define THREAD_Y i32(threadIdx.y)
#define SIZE_X i32(blockDim.x)
#define SIZE_Y i32(blockDim.y)
#define BLOCK_X i32(blockIdx.x)
#define GRID_X i32(gridDim.x)

FN f32 bits_f32(u32 b) { return __builtin_bit_cast(f32, b); }
FN f64 bits_f64(u64 b) { return __builtin_bit_cast(f64, b); }
FN u32 f32_bits(f32 x) { return __builtin_bit_cast(u32, x); }
FN u64 f64_bits(f64 x) { return __builtin_bit_cast(u64, x); }
FN f32 literal_f32(u32 b) { return bits_f32(b); }
FN f64 literal_f64(u64 b) { return bits_f64(b); }

%each T S | f32 f | f64
FN pred is_nan_$T($T a) { return a != a; }
FN $T div_$T($T a, $T b) { return a / b; }
FN $T fma_$T($T a, $T b, $T c) { return fma$S(a, b, c); }
FN $T sqrt_$T($T a) { return sqrt$S(a); }
FN $T floor_$T($T a) { return floor$S(a); }
FN $T ceil_$T($T a) { return ceil$S(a); }
FN $T rint_$T($T a) { return rint$S(a); }
FN $T trunc_$T($T a) { return trunc$S(a); }
%end

// -- memory: storage type to register type and back
struct alignas(16) Words4 { u32 x, y, z, w; };
struct alignas(8) Words2 { u32 x, y; };
FN void load_words_4(u64 at, u32* w) {
  const Words4 v = *(const Words4*)at;
  w[0] = v.x;
  w[1] = v.y;
  w[2] = v.z;
  w[3] = v.w;
}
FN void load_words_2(u64 at, u32* w) {
  const Words2 v = *(const Words2*)at;
  w[0] = v.x;
  w[1] = v.y;
}
FN void load_words_1(u64 at, u32* w) { w[0] = *(const u32*)at; }
FN void store_words_4(u64 at, const u32* w) { *(Words4*)at = Words4{w[0], w[1], w[2], w[3]}; }
FN void store_words_2(u64 at, const u32* w) { *(Words2*)at = Words2{w[0], w[1]}; }
FN void store_words_1(u64 at, const u32* w) { *(u32*)at = w[0]; }
%each NAME R S
  | bool i32 u8 | u8 i32 u8 | i8 i32 i8 | i16 i32 i16
  | i32 i32 i32 | i64 i64 i64 | f32 f32 f32 | f64 f64 f64
FN $R load_$NAME(u64 at) { return $R(*(const $S*)at); }
FN void store_$NAME(u64 at, $R v) { *($S*)at = $S(v); }
%end
%each T | i32 | i64 | f32 | f64
FN $T fresh_$T(u64 at) { return *(const volatile $T*)at; }
FN void publish_$T(u64 at, $T v) { *(volatile $T*)at = v; }
%end
FN u32 atomic_add_u32(u64 at, u32 n) { return atomicAdd((u32*)at, n); }

// -- threads
%each T | i32 | i64 | f32 | f64
FN $T below_$T($T v, i32 distance) { return WARP_DOWN(v, distance); }
FN $T first_$T($T v) { return WARP_FIRST(v); }
%end
)source";

// Half types by the functions of common_meaning().
constexpr std::string_view kHalves = R"source(
FN f32 load_f16(u64 at) { return f16_value(*(const u16*)at); }
FN f32 load_bf16(u64 at) { return bf16_value(*(const u16*)at); }
FN void store_f16(u64 at, f32 v) { *(u16*)at = u16(f16_bits(v)); }
FN void store_bf16(u64 at, f32 v) { *(u16*)at = u16(bf16_bits(v)); }
)source";

Prelude joined(std::string_view dialect) {
  std::string all(dialect);
  all.append(kBoth).append(common_meaning()).append(kHalves);
  return Prelude(all);
}

}  // namespace

Dialect cuda_dialect() {
  static const Prelude prelude = joined(kCuda);
  return {.name = "cuda", .prelude = &prelude, .wide = true};
}
Dialect hip_dialect() {
  static const Prelude prelude = joined(kHip);
  return {.name = "hip", .prelude = &prelude, .wide = true};
}

}  // namespace flash::emit
