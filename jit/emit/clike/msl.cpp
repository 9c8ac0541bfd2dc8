// jit/emit/clike/msl.cpp -- what sources in the Metal Shading Language begin with
//
// MSL 3.2 or later, the first with a fence across thread groups and a pragma against fast-math. The
// language has no f64, and neither shuffles nor atomics of 64 bits: those go by halves. A thread's
// indices are parameters of the kernel and known there only, as is memory of a thread group.
//
// A launch gives the ArgBlock's address as bytes of buffer 0 and the number of tiles as those of
// buffer 1. Addresses are those of MTLBuffer.gpuAddress.
#include "jit/emit/clike/clike.h"
#include "jit/emit/clike/meaning.h"

namespace flash::emit {
namespace {

constexpr std::string_view kLanguage = R"source(#include <metal_stdlib>
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
)source";

constexpr std::string_view kMachine = R"source(
// -- memory: storage type to register type and back; half types by their bits
%each NAME R S
  | bool i32 u8 | u8 i32 u8 | i8 i32 i8 | i16 i32 i16 | i32 i32 i32 | i64 i64 i64 | f32 f32 f32
FN $R load_$NAME(u64 at) { return $R(*(const device $S*)at); }
FN void store_$NAME(u64 at, $R v) { *(device $S*)at = $S(v); }
%end
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
)source";

}  // namespace

Dialect msl_dialect() {
  static const Prelude prelude(std::string(kLanguage).append(common_meaning()).append(kMachine));
  Dialect msl{"msl", &prelude};
  msl.has_f64 = false;
  msl.shared_in_kernel = true;
  return msl;
}

}  // namespace flash::emit
