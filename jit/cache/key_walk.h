// jit/cache/key_walk.h -- the words of a plan's key, in order: hashed by plan_key, kept by explain
#pragma once

#include <cstdint>
#include <span>

#include "core/evaluator.h"
#include "core/mutants.h"

namespace flash::jit {

/// What kernels conclude from strides: zero, one, and which dimensions walk memory as one.
/// Dimensions of size 1 don't count.
inline std::uint64_t stride_class(std::span<const std::int64_t> shape,
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

/// Fields of a node's head word.
struct KeyHead {
  static constexpr int kDType = 8, kRank = 16, kInputs = 24, kOnes = 32, kLive = 40, kDying = 42,
                       kPass = 43;
};

/// For each node calls sink.node(head), then sink.input(distance) and sink.attribute(word) for what
/// belongs to it.
template <class Sink>
void walk_key(const EvaluationRequest& r, Sink& sink) {
  const Trace& t = r.trace;
  std::size_t next_live = 0;
  for (std::size_t i = 0; i < r.count; ++i) {
    const Node& n = t.nodes[i];
    const auto shape = t.shape(n);
    std::uint64_t head = static_cast<std::uint64_t>(n.op) |
                         static_cast<std::uint64_t>(n.dtype) << KeyHead::kDType |
                         static_cast<std::uint64_t>(n.rank) << KeyHead::kRank |
                         static_cast<std::uint64_t>(n.n_in) << KeyHead::kInputs |
                         static_cast<std::uint64_t>(n.pass) << KeyHead::kPass;
    std::uint64_t ones = 0;
    for (std::size_t d = 0; d < shape.size(); ++d)
      ones |= static_cast<std::uint64_t>(shape[d] == 1) << d;
    head |= ones << KeyHead::kOnes;
    if (next_live < r.live.size() && r.live[next_live].node == i) {
      if (!mutant(Mutant::kLivenessMask))
        head |= (r.live[next_live].soft ? std::uint64_t{2} : std::uint64_t{1}) << KeyHead::kLive;
      ++next_live;
    }
    if (r.dying[i]) head |= std::uint64_t{1} << KeyHead::kDying;
    sink.node(head);
    for (NodeId u : t.in(n)) sink.input(i - u);
    const auto attrs = t.attrs(n);
    const int fixed = info(n.op).static_attrs;
    for (int a = 0; a < fixed; ++a)
      sink.attribute(static_cast<std::uint64_t>(attrs[static_cast<std::size_t>(a)]));
    if (n.op == Prim::kView) {
      sink.attribute(stride_class(shape, attrs.subspan(3)));
    } else if (n.op == Prim::kUpdate) {
      const auto rank = (attrs.size() - 1) / 2;
      std::uint64_t view_ones = rank;
      for (std::size_t d = 0; d < rank; ++d)
        view_ones = view_ones << 1 | static_cast<std::uint64_t>(attrs[1 + rank + d] == 1);
      sink.attribute(view_ones);
      sink.attribute(stride_class(attrs.subspan(1 + rank), attrs.subspan(1, rank)));
    }
  }
}

}  // namespace flash::jit
