// jit/graph/graph.h -- a trace as the planner sees it: reachability, uses, dimension symbols
//
// Everything here follows from what a plan's key hashes (ops, input slots, size-1 flags, static
// attributes, view classes, live and dying masks), so that a plan holds for every trace with that
// key.
#pragma once

#include <span>
#include <vector>

#include "core/evaluator.h"
#include "core/trace.h"

namespace flash::jit {

/// Symbol of a dimension: equal symbols are equal sizes because an operation demanded it, never
/// because two values coincide. kOne stands for size 1.
using Symbol = std::int32_t;
inline constexpr Symbol kOne = 0;

struct Graph {
  Graph(const EvaluationRequest& request, bool fuse);

  const Trace& trace;
  std::size_t count;
  bool fuse;                    ///< false: one operation a kernel
  std::vector<char> reachable;  ///< needed for a live value
  std::vector<char> live;
  std::vector<char> dying;
  std::vector<char>
      pinned;  ///< must be in memory: live, a leaf's operand, or read through an opaque view

  const Node& node(NodeId n) const { return trace.nodes[n]; }
  std::span<const NodeId> in(NodeId n) const { return trace.in(trace.nodes[n]); }
  std::span<const std::int64_t> shape(NodeId n) const { return trace.shape(trace.nodes[n]); }
  std::span<const std::int64_t> attrs(NodeId n) const { return trace.attrs(trace.nodes[n]); }
  PrimKind kind(NodeId n) const { return info(trace.nodes[n].op).kind; }
  ViewKind view_kind(NodeId n) const { return static_cast<ViewKind>(attrs(n)[0]); }
  Symbol symbol(NodeId n, int dim) {
    return find(symbols_[trace.nodes[n].shape + static_cast<std::size_t>(dim)]);
  }
  /// The non-1 dimensions' symbols in order.
  std::vector<Symbol> symbols(NodeId n);
  /// Sources that are computed where they are needed instead of being read: scalar, iota, uniform.
  bool generator(NodeId n) const {
    const Prim op = trace.nodes[n].op;
    return op == Prim::kScalar || op == Prim::kIota || op == Prim::kUniform;
  }

 private:
  void mark_reachable(const EvaluationRequest& request);
  void infer_symbols();
  void unify(NodeId a, int da, NodeId b, int db);
  Symbol find(Symbol s);
  std::vector<Symbol> symbols_;  // by position in trace.words
  std::vector<Symbol> parent_;
};

}  // namespace flash::jit
