// tests/emulation/kernel.h -- what stands in front of an emitted CUDA or HIP source so that the
// host's compiler makes a library of it, which engine.h runs
//
// Compiled once a kernel: so it includes next to nothing, and all that takes long stands in the
// engine. What the sources need of a GPU is in `emulation_state`, which the engine fills.
#pragma once

#define __global__
#define __device__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
// Together, so that the engine can spoil a block's shared memory before the next block runs.
#define __shared__ __attribute__((section("emulated_shared")))

#include "kernel_state.h"

extern "C" {
__attribute__((visibility("default"))) flash::test::emulation::State emulation_state;
// The bounds of the shared memory; a kernel without any has neither.
extern char __start_emulated_shared[] __attribute__((weak, visibility("hidden")));
extern char __stop_emulated_shared[] __attribute__((weak, visibility("hidden")));
float fmaf(float, float, float) noexcept;
double fma(double, double, double) noexcept;
float sqrtf(float) noexcept;
double sqrt(double) noexcept;
float floorf(float) noexcept;
double floor(double) noexcept;
float ceilf(float) noexcept;
double ceil(double) noexcept;
float rintf(float) noexcept;
double rint(double) noexcept;
float truncf(float) noexcept;
double trunc(double) noexcept;
__attribute__((visibility("default"), no_sanitize("thread"))) void emulation_shared(char** begin,
                                                                                    char** end) {
  *begin = __start_emulated_shared;
  *end = __stop_emulated_shared;
}
}

#define threadIdx emulation_state.thread
#define blockIdx emulation_state.block
#define blockDim emulation_state.block_size
#define gridDim emulation_state.grid

inline void __syncthreads() { emulation_state.calls.barrier(); }
inline void __threadfence() { emulation_state.calls.fence(); }

namespace flash::test::emulation {
template <class T>
inline T shuffled(T v, int offset, bool down) {
  emulation_state.calls.shuffle(&v, sizeof v, static_cast<unsigned>(offset), down);
  return v;
}
}  // namespace flash::test::emulation
template <class T>
inline T __shfl_down_sync(unsigned, T v, int n) {
  return flash::test::emulation::shuffled(v, n, true);
}
template <class T>
inline T __shfl_sync(unsigned, T v, int lane) {
  return flash::test::emulation::shuffled(v, lane, false);
}
template <class T>
inline T __shfl_down(T v, int n, int) {
  return flash::test::emulation::shuffled(v, n, true);
}
template <class T>
inline T __shfl(T v, int lane, int) {
  return flash::test::emulation::shuffled(v, lane, false);
}
#include "tensor_cores.h"
template <class T>
inline T __ldg(const T* at) {
  return *at;
}
inline unsigned atomicAdd(unsigned* at, unsigned n) {
  return emulation_state.calls.atomic_add(at, n);
}

// With -fsanitize=thread the compiler puts a call in front of every access to memory. No library of
// the sanitizer's is linked: the calls come here, and the engine looks for races of its own kind of
// threads, and for accesses out of bounds.
#ifdef EMULATION_CHECKS
#define EMULATION_ACCESS(name, bytes, kind)                                                     \
  extern "C" __attribute__((no_sanitize("thread"), visibility("hidden"))) void name(void* at) { \
    emulation_state.calls.access(at, bytes, flash::test::emulation::kind);                      \
  }
#define EMULATION_ACCESSES(n)                                 \
  EMULATION_ACCESS(__tsan_read##n, n, kRead)                  \
  EMULATION_ACCESS(__tsan_write##n, n, kWrite)                \
  EMULATION_ACCESS(__tsan_unaligned_read##n, n, kRead)        \
  EMULATION_ACCESS(__tsan_unaligned_write##n, n, kWrite)      \
  EMULATION_ACCESS(__tsan_volatile_read##n, n, kVolatileRead) \
  EMULATION_ACCESS(__tsan_volatile_write##n, n, kVolatileWrite)
EMULATION_ACCESSES(1)
EMULATION_ACCESSES(2)
EMULATION_ACCESSES(4)
EMULATION_ACCESSES(8)
EMULATION_ACCESSES(16)
#define EMULATION_RANGE(name, kind)                                                               \
  extern "C" __attribute__((no_sanitize("thread"), visibility("hidden"))) void name(              \
      void* at, unsigned long bytes) {                                                            \
    emulation_state.calls.access(at, static_cast<unsigned>(bytes), flash::test::emulation::kind); \
  }
EMULATION_RANGE(__tsan_read_range, kRead)
EMULATION_RANGE(__tsan_write_range, kWrite)
#define EMULATION_NOTHING(name, arguments) \
  extern "C" __attribute__((no_sanitize("thread"), visibility("hidden"))) void name arguments {}
EMULATION_NOTHING(__tsan_init, ())
EMULATION_NOTHING(__tsan_func_entry, (void*))
EMULATION_NOTHING(__tsan_func_exit, (void*))
#endif
