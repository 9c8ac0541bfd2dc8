// tests/jit/metal_emulation.h -- stands for <metal_stdlib>, so that the host's compiler builds MSL
// sources behind tests/emulation/kernel.h and its engine runs them
//
// As far as C++ lets it, it refuses what Metal does: f64, 64-bit values in shuffles, and memory of
// a thread group that is declared outside of a function. Address spaces it does not see.
#pragma once

#include <cmath>
#include <cstring>

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
inline void threadgroup_barrier(mem_flags) { __syncthreads(); }
inline void atomic_thread_fence(mem_flags, memory_order, thread_scope) { __threadfence(); }

struct atomic_uint {
  uint value;
};
inline uint atomic_load_explicit(const atomic_uint* at, memory_order) { return at->value; }
inline void atomic_store_explicit(atomic_uint* at, uint v, memory_order) { at->value = v; }
inline uint atomic_fetch_add_explicit(atomic_uint* at, uint n, memory_order) {
  return atomicAdd(&at->value, n);
}

template <class T>
T simd_shuffle_down(T v, ushort distance) {
  static_assert(sizeof(T) <= 4, "shuffles of 64 bits do not exist");
  return flash::test::emulation::shuffled(v, distance, true);
}
template <class T>
T simd_broadcast(T v, ushort lane) {
  static_assert(sizeof(T) <= 4, "shuffles of 64 bits do not exist");
  return flash::test::emulation::shuffled(v, lane, false);
}

}  // namespace metal

inline metal::uint3 uint3_of(const flash::test::emulation::Dim& d) { return {d.x, d.y, d.z}; }

/// The function that a launch of an MSL kernel calls.
#define METAL_ENTRY(name)                                                                       \
  extern "C" void entry_##name(unsigned long long args, long long tiles) {                      \
    name(ulong{args}, long{tiles}, uint3_of(threadIdx), uint3_of(blockDim), uint3_of(blockIdx), \
         uint3_of(gridDim));                                                                    \
  }

#define __METAL_VERSION__ 320
#define kernel extern "C"
#define device
#define constant const
#define threadgroup \
  (void)0;          \
  static __shared__  // a statement: an error outside of functions
#pragma GCC poison double goto new delete throw virtual thread_local
