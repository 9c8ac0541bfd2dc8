// jit/cache/key.cpp -- one pass over a trace, a few nanoseconds a node
#include "jit/cache/key.h"

#include "jit/cache/key_walk.h"

namespace flash::jit {
namespace {

/// Two independent multiply-xorshift chains (constants of MurmurHash3's and splitmix64's
/// finalisers).
struct Hasher {
  std::uint64_t lo = 0x243F6A8885A308D3u, hi = 0x13198A2E03707344u;
  void add(std::uint64_t v) {
    lo = (lo ^ v) * 0xFF51AFD7ED558CCDu;
    lo ^= lo >> 32;
    hi = (hi + v) * 0xC4CEB9FE1A85EC53u;
    hi ^= hi >> 29;
  }
  void node(std::uint64_t head) { add(head); }
  void input(std::uint64_t distance) { add(distance); }
  void attribute(std::uint64_t word) { add(word); }
};

}  // namespace

PlanKey plan_key(const EvaluationRequest& r) {
  Hasher h;
  walk_key(r, h);
  h.add(r.count);
  return {h.lo, h.hi};
}

}  // namespace flash::jit
