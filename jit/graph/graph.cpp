// jit/graph/graph.cpp -- reachability, and which dimensions are equal because an operation says so
#include "jit/graph/graph.h"

#include "core/mutants.h"
#include "core/tensor_impl.h"
#include "jit/graph/normalise.h"

namespace flash::jit {

Graph::Graph(const EvaluationRequest& request, bool fuse_ops)
    : trace(request.trace),
      count(request.count),
      fuse(fuse_ops),
      dying(request.dying.begin(), request.dying.end()),
      nodes_(trace.nodes.begin(), trace.nodes.begin() + static_cast<std::ptrdiff_t>(count)),
      inputs_(trace.inputs),
      canonical_(count) {
  for (NodeId n = 0; n < count; ++n) canonical_[n] = n;
  for (const LiveOut& l : request.live) carrier.push_back(l.node);
  mark_reachable();
  infer_symbols();
  if (!fuse) return;
  normalise(*this);
  mark_reachable();
}

void Graph::rewrite(NodeId n, Prim op, std::span<const NodeId> in) {
  Node& node = nodes_[n];
  node.op = op;
  node.n_attr = static_cast<std::uint8_t>(info(op).static_attrs);
  node.n_in = static_cast<std::uint8_t>(in.size());
  node.in = static_cast<std::uint32_t>(inputs_.size());
  inputs_.insert(inputs_.end(), in.begin(), in.end());
}

void Graph::mark_reachable() {
  reachable.assign(count, 0);
  live.assign(count, 0);
  pinned.assign(count, 0);
  for (NodeId n : carrier) live[n] = reachable[n] = pinned[n] = 1;
  for (NodeId i = static_cast<NodeId>(count); i-- > 0;) {
    if (!reachable[i]) continue;
    const bool needs_memory = kind(i) == PrimKind::kLeaf || kind(i) == PrimKind::kUpdate;
    for (NodeId u : in(i)) {
      reachable[u] = 1;
      const bool opaque = node(i).op == Prim::kView && view_kind(i) != ViewKind::kDims;
      // A leaf reads strided memory: what it reads through a view must be in memory.
      if (needs_memory || opaque) pinned[u] = 1;
      if (node(i).op == Prim::kView && pinned[i]) pinned[u] = 1;
    }
  }
}

Symbol Graph::find(Symbol s) {
  while (parent_[static_cast<std::size_t>(s)] != s) {
    Symbol& p = parent_[static_cast<std::size_t>(s)];
    p = parent_[static_cast<std::size_t>(p)];
    s = p;
  }
  return s;
}

void Graph::unify(NodeId a, int da, NodeId b, int db) {
  const Symbol x = symbol(a, da), y = symbol(b, db);
  if (x == kOne || y == kOne || x == y) return;
  parent_[static_cast<std::size_t>(std::max(x, y))] = std::min(x, y);
}

std::vector<Symbol> Graph::symbols(NodeId n) {
  std::vector<Symbol> s;
  for (int d = 0; d < node(n).rank; ++d)
    if (const Symbol x = symbol(n, d); x != kOne) s.push_back(x);
  return s;
}

void Graph::infer_symbols() {
  symbols_.assign(trace.words.size(), kOne);
  parent_.assign(1, kOne);
  for (NodeId n = 0; n < count; ++n) {
    if (!reachable[n]) continue;
    const Node& node = nodes_[n];
    const auto sizes = shape(n);
    for (int d = 0; d < node.rank; ++d) {
      if (sizes[static_cast<std::size_t>(d)] == 1) continue;
      parent_.push_back(static_cast<Symbol>(parent_.size()));
      symbols_[node.shape + static_cast<std::size_t>(d)] = static_cast<Symbol>(parent_.size() - 1);
      if (mutant(Mutant::kEqualByChance))
        for (NodeId m = 0; m < n; ++m)
          for (int e = 0; reachable[m] && e < this->node(m).rank; ++e)
            if (shape(m)[static_cast<std::size_t>(e)] == sizes[static_cast<std::size_t>(d)])
              unify(n, d, m, e);
    }
    const auto ins = in(n);
    const auto align = [&](NodeId u) {  // broadcasting: trailing dimensions are equal or 1
      for (int d = 0; d < this->node(u).rank; ++d)
        if (shape(u)[static_cast<std::size_t>(d)] != 1)
          unify(n, d + node.rank - this->node(u).rank, u, d);
    };
    const auto same = [&](int d, NodeId u, int du) { unify(n, d, u, du); };
    switch (info(node.op).kind) {
      case PrimKind::kSource:
        break;
      case PrimKind::kMap:
        for (NodeId u : ins) align(u);
        break;
      case PrimKind::kView:
        if (view_kind(n) == ViewKind::kDims) {
          const auto dims = static_cast<std::uint64_t>(attrs(n)[1]);
          for (int d = 0; d < node.rank; ++d)
            if (const int from = dim_of(dims, d); from != static_cast<int>(kDimNone))
              same(d, ins[0], from);
        }
        break;
      case PrimKind::kReduce: {
        const bool keep = attrs(n)[1] != 0;
        int to = 0;
        for (int d = 0; d < this->node(ins[0]).rank; ++d) {
          const bool reduced = (attrs(n)[0] >> d) & 1;
          if (!reduced) same(to, ins[0], d);
          if (!reduced || keep) ++to;
        }
        break;
      }
      case PrimKind::kUpdate:
        align(ins[0]);
        break;
      case PrimKind::kLeaf:
        switch (node.op) {
          case Prim::kMatmul:
            same(node.rank - 2, ins[0], this->node(ins[0]).rank - 2);
            same(node.rank - 1, ins[1], this->node(ins[1]).rank - 1);
            unify(ins[0], this->node(ins[0]).rank - 1, ins[1], this->node(ins[1]).rank - 2);
            for (NodeId u : {ins[0], ins[1]})
              for (int d = 0; d + 2 < this->node(u).rank; ++d)
                same(d + node.rank - this->node(u).rank, u, d);
            break;
          case Prim::kConv2d:
            same(0, ins[0], 0);
            same(1, ins[1], 0);
            break;
          case Prim::kMaxPool2d:
          case Prim::kAvgPool2d:
          case Prim::kAvgPool2dDx:
            same(0, ins[0], 0);
            same(1, ins[0], 1);
            break;
          case Prim::kMaxPool2dDx:
            for (int d = 0; d < 4; ++d) same(d, ins[1], d);
            break;
          case Prim::kConv2dDx:
            same(0, ins[0], 0);
            break;
          case Prim::kConv2dDw:
            same(0, ins[0], 1);
            break;
          case Prim::kGatherRows:
            for (int d = 0; d < this->node(ins[1]).rank; ++d) same(d, ins[1], d);
            same(node.rank - 1, ins[0], 1);
            break;
          case Prim::kScatterAddRows:
            same(1, ins[0], this->node(ins[0]).rank - 1);
            break;
          default:
            break;
        }
        break;
    }
  }
}

}  // namespace flash::jit
