// tests/emulation/kernel_state.h -- what emulated kernels and their engine tell each other
#pragma once

namespace flash::test::emulation {

struct Dim {
  unsigned x, y, z;
};

/// How an access of a kernel's looks to the engine's checks.
enum Access : unsigned { kRead, kWrite, kVolatileRead, kVolatileWrite };

constexpr unsigned kMostShuffled = 24;

struct Calls {
  void (*barrier)();
  void (*fence)();
  /// Replaces the value of every thread of a warp, at most kMostShuffled bytes, by another's.
  void (*shuffle)(void* value, unsigned bytes, unsigned offset, bool down);
  unsigned (*atomic_add)(unsigned* at, unsigned n);
  void (*access)(const void* at, unsigned bytes, unsigned kind);
};

struct State {
  Dim thread, block, block_size, grid;
  Calls calls;  // by value: a kernel's reads of it are of its own image
};

}  // namespace flash::test::emulation
