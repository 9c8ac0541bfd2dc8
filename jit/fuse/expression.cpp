// jit/fuse/expression.cpp -- from a group's members to expressions: what is loaded, what is
// computed
#include "jit/fuse/expression.h"

#include <algorithm>

#include "core/error.h"
#include "core/tensor_impl.h"

namespace flash::jit {

DimMap Expressions::map_of(NodeId n) {
  DimMap m;
  m.fill(-1);
  const std::vector<Symbol> s = g_.symbols(n);
  const bool full = s.size() == group_.domain.size();
  std::size_t axis = 0;
  for (int d = 0; d < g_.node(n).rank; ++d) {
    if (g_.symbol(n, d) == kOne) continue;
    while (!full && ((group_.reduced >> axis) & 1)) ++axis;
    m[static_cast<std::size_t>(d)] = static_cast<std::int8_t>(part_of_axis_[axis++]);
  }
  return m;
}

bool Expressions::in_memory(NodeId n) const {
  if (g_.node(n).op == Prim::kInput || n == group_.anchor) return true;
  return groups_.stored[n] && groups_.of[n] != id_;
}

/// What `k` needs first. Fills `e` but for its inputs.
void Expressions::describe(const Key& k, Expr& e, std::vector<Key>& needs) {
  NodeId n = k.node;
  e.node = n;
  e.map = k.map;
  if (g_.node(n).op == Prim::kView) {
    const NodeId base = g_.in(n)[0];
    if (in_memory(base)) {
      e.kind = Expr::kLoad;
      e.node = base;
      e.view = n;
      return;
    }
    if (g_.view_kind(n) != ViewKind::kDims)
      throw InternalError("build: an opaque view of a value not in memory");
    DimMap m;
    m.fill(-1);
    const auto dims = static_cast<std::uint64_t>(g_.attrs(n)[1]);
    for (int d = 0; d < g_.node(n).rank; ++d)
      if (const int from = dim_of(dims, d); from != static_cast<int>(kDimNone))
        if (k.map[static_cast<std::size_t>(d)] >= 0)
          m[static_cast<std::size_t>(from)] = k.map[static_cast<std::size_t>(d)];
    e.kind = Expr::kMap;  // an alias: the value itself
    e.node = kNoNode;
    needs.push_back({base, m});
    return;
  }
  if (in_memory(n)) {
    e.kind = Expr::kLoad;
    return;
  }
  switch (g_.node(n).op) {
    case Prim::kScalar:
      e.kind = Expr::kScalar;
      return;
    case Prim::kIota:
      e.kind = Expr::kIota;
      return;
    case Prim::kUniform:
      e.kind = Expr::kUniform;
      return;
    default:
      break;
  }
  if (g_.kind(n) == PrimKind::kReduce) {
    e.kind = Expr::kReduce;
    needs.push_back({g_.in(n)[0], map_of(g_.in(n)[0])});
    return;
  }
  if (g_.kind(n) != PrimKind::kMap) throw InternalError("build: a leaf's value is not in memory");
  e.kind = Expr::kMap;
  const int rank = g_.node(n).rank;
  for (NodeId u : g_.in(n)) {
    DimMap m;
    m.fill(-1);
    const int r = g_.node(u).rank;
    for (int d = 0; d < r; ++d)
      if (g_.shape(u)[static_cast<std::size_t>(d)] != 1)
        m[static_cast<std::size_t>(d)] = k.map[static_cast<std::size_t>(d + rank - r)];
    needs.push_back({u, m});
  }
}

/// Expressions are made inputs first, without recursion: traces may be thousands of nodes deep.
int Expressions::make(NodeId node, const DimMap& map) {
  const Key root{node, map};
  std::vector<Key> stack{root};
  while (!stack.empty()) {
    const Key k = stack.back();
    if (memo_.contains(k)) {
      stack.pop_back();
      continue;
    }
    Expr e;
    std::vector<Key> needs;
    describe(k, e, needs);
    bool ready = true;
    for (const Key& need : needs)
      if (!memo_.contains(need)) {
        stack.push_back(need);
        ready = false;
      }
    if (!ready) continue;
    for (const Key& need : needs) {
      const int i = memo_.at(need);
      e.in.push_back(i);
      e.phase = std::max(e.phase, all[static_cast<std::size_t>(i)].phase);
    }
    stack.pop_back();
    if (e.node == kNoNode) {
      memo_[k] = e.in[0];
      continue;
    }
    if (e.kind == Expr::kReduce) ++e.phase;
    memo_[k] = static_cast<int>(all.size());
    all.push_back(std::move(e));
  }
  return memo_.at(root);
}

}  // namespace flash::jit
