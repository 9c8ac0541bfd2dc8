// tests/jit/metal_emulation.h -- stands for <metal_stdlib>, so that the host's compiler builds MSL
// sources and emulation.h runs them
//
// As far as C++ lets it, it refuses what Metal does: f64, 64-bit values in shuffles, and memory of
// a thread group that is declared outside of a function. Address spaces it does not see.
#pragma once

#include <utility>

#include "emulation.h"

typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long ulong;
static_assert(sizeof(ulong) == 8, "MSL's long has 64 bits");

namespace metal {

struct uint3 {
  uint x, y, z;
};

template <class To, class From>
To as_type(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

// fma is rounded once whatever fast-math says; of quotients and roots the precise ones are.
using std::ceil, std::floor, std::fma, std::rint, std::trunc;
namespace precise {
inline float divide(float a, float b) { return a / b; }
inline float sqrt(float a) { return std::sqrt(a); }
}  // namespace precise

enum class mem_flags { mem_none = 0, mem_device = 1, mem_threadgroup = 2 };
inline mem_flags operator|(mem_flags a, mem_flags b) {
  return static_cast<mem_flags>(static_cast<int>(a) | static_cast<int>(b));
}
enum memory_order { memory_order_relaxed, memory_order_seq_cst };
enum thread_scope { thread_scope_threadgroup, thread_scope_device };
inline void threadgroup_barrier(mem_flags) { emulation::wait(emulation::Waits::kBlock); }
inline void atomic_thread_fence(mem_flags, memory_order, thread_scope) {}

struct atomic_uint {
  uint value;
};
inline uint atomic_load_explicit(const atomic_uint* at, memory_order) { return at->value; }
inline void atomic_store_explicit(atomic_uint* at, uint v, memory_order) { at->value = v; }
inline uint atomic_fetch_add_explicit(atomic_uint* at, uint n, memory_order) {
  return std::exchange(at->value, at->value + n);
}

template <class T>
T simd_shuffle_down(T v, ushort distance) {
  static_assert(sizeof(T) <= 4, "shuffles of 64 bits do not exist");
  return emulation::from_lane(v, distance, true);
}
template <class T>
T simd_broadcast(T v, ushort lane) {
  static_assert(sizeof(T) <= 4, "shuffles of 64 bits do not exist");
  return emulation::from_lane(v, lane, false);
}

}  // namespace metal

namespace emulation {

using MetalKernel = void (*)(const ulong& args, const long& tiles, metal::uint3 thread,
                             metal::uint3 size, metal::uint3 block, metal::uint3 grid);
inline MetalKernel metal_kernel = nullptr;

inline metal::uint3 uint3_of(const Dim& d) { return {d.x, d.y, d.z}; }
inline void run_metal_kernel(unsigned long long args, long long tiles) {
  metal_kernel(ulong{args}, long{tiles}, uint3_of(thread_index), uint3_of(block_size),
               uint3_of(block_index), uint3_of(grid_size));
}

}  // namespace emulation

/// Launches a kernel whose parameters are those of an MSL kernel; its type is emulate()'s.
extern "C" void emulate_metal(void (*kernel)(unsigned long long, long long), unsigned grid,
                              unsigned x, unsigned y, unsigned long long args, long long tiles) {
  emulation::metal_kernel = reinterpret_cast<emulation::MetalKernel>(kernel);
  emulate(emulation::run_metal_kernel, grid, x, y, args, tiles);
}

#define __METAL_VERSION__ 320
#define kernel extern "C"
#define device
#define constant const
#define threadgroup \
  (void)0;          \
  static  // a statement: an error outside of functions
#pragma GCC poison double goto new delete throw virtual thread_local
