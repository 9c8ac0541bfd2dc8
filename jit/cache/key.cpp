// jit/cache/key.cpp -- one pass over a trace, a few nanoseconds a node
#include "jit/cache/key.h"

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
};

/// What kernels conclude from strides: zero, one, and which dimensions walk memory as one.
/// Dimensions of size 1 don't count.
std::uint64_t stride_class(std::span<const std::int64_t> shape,
                           std::span<const std::int64_t> strides) {
  std::uint64_t c = 0;
  int next = -1;  // the next dimension to the right that is not 1
  for (int d = static_cast<int>(shape.size()) - 1; d >= 0; --d) {
    const auto i = static_cast<std::size_t>(d);
    std::uint64_t bits = 0;
    if (shape[i] != 1) {
      if (strides[i] == 0) bits |= 1;
      if (strides[i] == 1) bits |= 2;
      if (next >= 0 && strides[i] == strides[static_cast<std::size_t>(next)] *
                                         shape[static_cast<std::size_t>(next)])
        bits |= 4;
      next = d;
    }
    c = (c << 3) | bits;
  }
  return c;
}

}  // namespace

PlanKey plan_key(const EvaluationRequest& r) {
  Hasher h;
  const Trace& t = r.trace;
  std::size_t next_live = 0;
  for (std::size_t i = 0; i < r.count; ++i) {
    const Node& n = t.nodes[i];
    const auto shape = t.shape(n);
    std::uint64_t head =
        static_cast<std::uint64_t>(n.op) | static_cast<std::uint64_t>(n.dtype) << 8 |
        static_cast<std::uint64_t>(n.rank) << 16 | static_cast<std::uint64_t>(n.n_in) << 24;
    std::uint64_t ones = 0;
    for (std::size_t d = 0; d < shape.size(); ++d)
      ones |= static_cast<std::uint64_t>(shape[d] == 1) << d;
    head |= ones << 32;
    if (next_live < r.live.size() && r.live[next_live].node == i) {
      head |= (r.live[next_live].soft ? std::uint64_t{2} : std::uint64_t{1}) << 40;
      ++next_live;
    }
    if (r.dying[i]) head |= std::uint64_t{1} << 42;
    h.add(head);
    const auto in = t.in(n);
    for (NodeId u : in) h.add(i - u);
    const auto attrs = t.attrs(n);
    const int fixed = info(n.op).static_attrs;
    for (int a = 0; a < fixed; ++a)
      h.add(static_cast<std::uint64_t>(attrs[static_cast<std::size_t>(a)]));
    if (n.op == Prim::kView) {
      h.add(stride_class(shape, attrs.subspan(3)));
    } else if (n.op == Prim::kUpdate) {
      const auto rank = (attrs.size() - 1) / 2;
      std::uint64_t view_ones = rank;
      for (std::size_t d = 0; d < rank; ++d)
        view_ones = view_ones << 1 | static_cast<std::uint64_t>(attrs[1 + rank + d] == 1);
      h.add(view_ones);
      h.add(stride_class(attrs.subspan(1 + rank), attrs.subspan(1, rank)));
    }
  }
  h.add(r.count);
  return {h.lo, h.hi};
}

}  // namespace flash::jit
