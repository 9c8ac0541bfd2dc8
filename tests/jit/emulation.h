// tests/jit/emulation.h -- runs emitted CUDA and HIP sources on the host, in front of which it
// stands: blocks one after another, threads of a block as fibers that switch at barriers and
// shuffles
//
// Standard library only, for it is compiled together with the sources. A barrier that not all
// threads of a block reach, or a shuffle that not all threads of a warp reach, ends the run with an
// error, as a device might hang.
#pragma once

#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline
#define __shared__

namespace emulation {

struct Dim {
  unsigned x = 1, y = 1, z = 1;
};

enum class Waits : std::uint8_t { kNot, kBlock, kWarp, kDone };

struct Thread {
  ucontext_t context;
  std::unique_ptr<char[]> stack;
  Waits waits = Waits::kNot;
  unsigned char value[8];  // for the warp to see
};

inline Dim thread_index, block_index, block_size, grid_size;
inline std::vector<Thread> threads;
inline std::size_t current = 0;
inline ucontext_t scheduler;
inline void (*body)(unsigned long long, long long) = nullptr;
inline unsigned long long body_args = 0;
inline long long body_tiles = 0;

constexpr std::size_t kStack = 256 << 10, kWarp = 32;

inline void wait(Waits what) {
  threads[current].waits = what;
  swapcontext(&threads[current].context, &scheduler);
}

inline void start() {
  body(body_args, body_tiles);
  threads[current].waits = Waits::kDone;
  swapcontext(&threads[current].context, &scheduler);
}

inline void resume(std::size_t t) {
  current = t;
  const auto x = static_cast<unsigned>(t % block_size.x),
             y = static_cast<unsigned>(t / block_size.x);
  thread_index = {x, y, 0};
  swapcontext(&scheduler, &threads[t].context);
}

// Whether all of threads first … last - 1 wait for `what`; then they go on.
inline bool release(std::size_t first, std::size_t last, Waits what) {
  for (std::size_t t = first; t < last; ++t)
    if (threads[t].waits != what) return false;
  for (std::size_t t = first; t < last; ++t) threads[t].waits = Waits::kNot;
  return true;
}

inline void run_block() {
  const std::size_t n = std::size_t{block_size.x} * block_size.y;
  if (threads.size() < n) threads.resize(n);
  for (std::size_t t = 0; t < n; ++t) {
    Thread& th = threads[t];
    if (!th.stack) th.stack = std::make_unique<char[]>(kStack);
    getcontext(&th.context);
    th.context.uc_stack.ss_sp = th.stack.get();
    th.context.uc_stack.ss_size = kStack;
    th.context.uc_link = nullptr;
    th.waits = Waits::kNot;
    makecontext(&th.context, start, 0);
  }
  for (;;) {
    bool ran = false, alive = false;
    for (std::size_t t = 0; t < n; ++t) {
      if (threads[t].waits == Waits::kNot) {
        resume(t);
        ran = true;
      }
      alive = alive || threads[t].waits != Waits::kDone;
    }
    if (!alive) return;
    bool freed = release(0, n, Waits::kBlock);
    for (std::size_t w = 0; w < n; w += kWarp)
      if (release(w, w + kWarp < n ? w + kWarp : n, Waits::kWarp)) freed = true;
    if (!ran && !freed) {
      std::fprintf(stderr, "emulation: threads of a block wait for different things\n");
      std::abort();
    }
  }
}

template <class T>
T from_lane(T v, unsigned offset, bool down) {
  Thread& me = threads[current];
  std::memcpy(me.value, &v, sizeof v);
  wait(Waits::kWarp);
  const std::size_t lane = current % kWarp, warp = current - lane;
  const std::size_t other = down ? (lane + offset < kWarp ? lane + offset : lane) : offset;
  T got;
  std::memcpy(&got, threads[warp + other].value, sizeof got);
  wait(Waits::kWarp);
  return got;
}

}  // namespace emulation

#define threadIdx emulation::thread_index
#define blockIdx emulation::block_index
#define blockDim emulation::block_size
#define gridDim emulation::grid_size

inline void __syncthreads() { emulation::wait(emulation::Waits::kBlock); }
inline void __threadfence() {}
template <class T>
T __shfl_down_sync(unsigned, T v, int n) {
  return emulation::from_lane(v, static_cast<unsigned>(n), true);
}
template <class T>
T __shfl_sync(unsigned, T v, int lane) {
  return emulation::from_lane(v, static_cast<unsigned>(lane), false);
}
template <class T>
T __shfl_down(T v, int n, int) {
  return emulation::from_lane(v, static_cast<unsigned>(n), true);
}
template <class T>
T __shfl(T v, int lane, int) {
  return emulation::from_lane(v, static_cast<unsigned>(lane), false);
}
template <class T>
T __ldg(const T* at) {
  return *at;
}
inline unsigned atomicAdd(unsigned* at, unsigned n) {
  const unsigned before = *at;
  *at += n;
  return before;
}

/// Launches a kernel: blocks of x times y threads. The last block runs first, so that order shows.
extern "C" void emulate(void (*kernel)(unsigned long long, long long), unsigned grid, unsigned x,
                        unsigned y, unsigned long long args, long long tiles) {
  using namespace emulation;
  body = kernel;
  body_args = args;
  body_tiles = tiles;
  block_size = {x, y, 1};
  grid_size = {grid, 1, 1};
  for (unsigned b = grid; b-- > 0;) {
    block_index = {b, 0, 0};
    run_block();
  }
}
