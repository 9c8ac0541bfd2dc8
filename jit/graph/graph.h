// jit/graph/graph.h -- a trace as the planner sees it: normalised nodes, reachability, dimension
// symbols
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
  std::vector<char> live;       ///< carries a live value
  std::vector<char> dying;
  /// For each live value of the request, the node that it is kept in: itself, or an equal one.
  std::vector<NodeId> carrier;
  std::vector<char>
      pinned;  ///< must be in memory: live, a leaf's operand, or read through an opaque view

  /// The node as it is planned: normalising may have given it another operation and other inputs
  /// than the trace. Shape, dtype and sources are the trace's.
  const Node& node(NodeId n) const { return nodes_[n]; }
  std::span<const NodeId> in(NodeId n) const {
    return {inputs_.data() + nodes_[n].in, nodes_[n].n_in};
  }
  std::span<NodeId> in(NodeId n) { return {inputs_.data() + nodes_[n].in, nodes_[n].n_in}; }
  std::span<const std::int64_t> shape(NodeId n) const { return trace.shape(nodes_[n]); }
  std::span<const std::int64_t> attrs(NodeId n) const { return trace.attrs(nodes_[n]); }
  PrimKind kind(NodeId n) const { return info(nodes_[n].op).kind; }
  ViewKind view_kind(NodeId n) const { return static_cast<ViewKind>(attrs(n)[0]); }
  Symbol symbol(NodeId n, int dim) {
    return find(symbols_[nodes_[n].shape + static_cast<std::size_t>(dim)]);
  }
  /// The non-1 dimensions' symbols in order.
  std::vector<Symbol> symbols(NodeId n);
  /// Sources that are computed where they are needed instead of being read: scalar, iota, uniform.
  bool generator(NodeId n) const {
    const Prim op = nodes_[n].op;
    return op == Prim::kScalar || op == Prim::kIota || op == Prim::kUniform;
  }

  /// The node that stands for the value of `n` wherever it is read.
  NodeId canonical(NodeId n) const { return canonical_[n]; }
  void set_canonical(NodeId n, NodeId to) { canonical_[n] = to; }
  /// Another operation of other inputs with the same value.
  void rewrite(NodeId n, Prim op, std::span<const NodeId> in);

 private:
  void mark_reachable();
  void infer_symbols();
  void unify(NodeId a, int da, NodeId b, int db);
  Symbol find(Symbol s);
  std::vector<Node> nodes_;
  std::vector<NodeId> inputs_;
  std::vector<NodeId> canonical_;
  std::vector<Symbol> symbols_;  // by position in trace.words
  std::vector<Symbol> parent_;
};

}  // namespace flash::jit
