// jit/fuse/group.cpp -- greedy grouping in order of record, then what must be stored
#include "jit/fuse/group.h"

#include <algorithm>
#include <functional>

#include "core/tensor_impl.h"

namespace flash::jit {
namespace {

constexpr std::size_t kMaxReads = 20;  // operands of one kernel that come from memory
// Operations of one kernel. Compilers of GPUs take time that grows faster than a kernel does: LLVM,
// which Mesa's lavapipe calls, takes 0.3 s for 512 additions and 10 s for 2,048. And where so much
// is computed for what is read and written, another pass over memory costs nothing.
constexpr std::size_t kMaxMembers = 512;
constexpr int kMaxRecomputeLoads = 3;  // "at most 3 buffers more"
constexpr int kMaxRecomputeOps = 12;
// Reductions behind each other in one kernel. Each begins another loop, which computes again what
// it needs of the loops before it: softmax and layer norm have two, their gradients one or two
// more.
constexpr int kMaxPhases = 4;
constexpr std::size_t kMaxOpen = 64;  // reductions that a later one is compared with

class Grouper {
 public:
  Grouper(Graph& g, const std::function<bool(Prim, DType)>& takes_epilogue)
      : g_(g), takes_epilogue_(takes_epilogue) {
    out_.of.assign(g.count, -1);
    phase_.assign(g.count, 0);
  }

  Groups run() {
    for (NodeId n = 0; n < g_.count; ++n)
      if (g_.reachable[n]) place(n);
    join_siblings();
    join_again();
    decide_stored();
    schedule();
    return std::move(out_);
  }

 private:
  void place(NodeId n) {
    switch (g_.kind(n)) {
      case PrimKind::kView:
        return;
      case PrimKind::kSource:
        if (g_.node(n).op == Prim::kInput) return;
        if (g_.pinned[n] || (!g_.fuse && g_.node(n).op != Prim::kScalar)) start(n, n, 0);
        return;
      case PrimKind::kMap:
        return place_map(n);
      case PrimKind::kReduce:
        return place_reduce(n);
      case PrimKind::kUpdate:
      case PrimKind::kLeaf: {
        Group& group = start(n, n, 0);
        group.kind = g_.kind(n) == PrimKind::kLeaf ? GroupKind::kLeaf : GroupKind::kUpdate;
        group.anchor = n;
        group.members.clear();
        return;
      }
    }
  }

  /// Groups that produce the inputs of `n`, each once.
  std::vector<int> producers(NodeId n) const {
    std::vector<int> p;
    for (NodeId u : g_.in(n)) {
      if (g_.node(u).op == Prim::kView) u = g_.in(u)[0];
      const int h = out_.of[u];
      if (h >= 0 && std::find(p.begin(), p.end(), h) == p.end()) p.push_back(h);
    }
    return p;
  }

  bool needs(int later, int earlier) const {
    const auto& b = out_.all[static_cast<std::size_t>(later)].before;
    const auto w = static_cast<std::size_t>(earlier) / 64;
    return w < b.size() && ((b[w] >> (earlier % 64)) & 1);
  }

  static void set_bit(std::vector<std::uint64_t>& b, int i) {
    const auto w = static_cast<std::size_t>(i) / 64;
    if (b.size() <= w) b.resize(w + 1, 0);
    b[w] |= std::uint64_t{1} << (i % 64);
  }
  static bool join_bits(std::vector<std::uint64_t>& to, const std::vector<std::uint64_t>& from) {
    bool changed = false;
    if (to.size() < from.size()) to.resize(from.size(), 0);
    for (std::size_t i = 0; i < from.size(); ++i) {
      changed |= (from[i] & ~to[i]) != 0;
      to[i] |= from[i];
    }
    return changed;
  }

  /// A new group around `n` whose domain is the shape of `domain`.
  Group& start(NodeId n, NodeId domain, std::uint32_t reduced) {
    const int id = static_cast<int>(out_.all.size());
    Group& group = out_.all.emplace_back();
    group.shape_of = domain;
    group.reduced = reduced;
    for (int d = 0; d < g_.node(domain).rank; ++d)
      if (const Symbol s = g_.symbol(domain, d); s != kOne) {
        group.domain.push_back(s);
        group.axis_dim.push_back(static_cast<std::uint8_t>(d));
      }
    join(n, id);
    return out_.all.back();
  }

  void join(NodeId n, int id) {
    Group& group = out_.all[static_cast<std::size_t>(id)];
    group.members.push_back(n);
    group.forward |= g_.node(n).pass == Pass::kForward;
    group.again |= g_.node(n).pass == Pass::kAgain;
    for (NodeId u : g_.in(n)) {
      const NodeId base = g_.node(u).op == Prim::kView ? g_.in(u)[0] : u;
      if (out_.of[base] != id && g_.node(base).op != Prim::kScalar &&
          std::find(group.reads.begin(), group.reads.end(), base) == group.reads.end())
        group.reads.push_back(base);
    }
    for (int h : producers(n))
      if (h != id) add_need(id, h);
    out_.of[n] = id;
    phase_[n] = g_.kind(n) == PrimKind::kReduce ? 1 : 0;
    for (NodeId u : g_.in(n)) {
      const NodeId base = g_.node(u).op == Prim::kView ? g_.in(u)[0] : u;
      if (out_.of[base] == id)
        phase_[n] = std::max(phase_[n], phase_[base] + (g_.kind(n) == PrimKind::kReduce));
    }
  }

  void add_need(int id, int h) {
    std::vector<std::uint64_t> more = out_.all[static_cast<std::size_t>(h)].before;
    set_bit(more, h);
    if (!join_bits(out_.all[static_cast<std::size_t>(id)].before, more)) return;
    const auto all = out_.all[static_cast<std::size_t>(id)].before;
    for (std::size_t k = 0; k < out_.all.size(); ++k)
      if (needs(static_cast<int>(k), id)) join_bits(out_.all[k].before, all);
  }

  /// -1: does not fit; otherwise the mask of the group's axes that a node with these symbols has.
  std::int64_t level(const Group& group, const std::vector<Symbol>& s) const {
    const auto n = group.domain.size();
    if (s == group.domain) return (std::int64_t{1} << n) - 1;
    if (!group.reduced || s.size() >= n) return -1;
    std::size_t k = 0;
    std::int64_t mask = 0;
    for (std::size_t i = 0; i < n; ++i) {
      if ((group.reduced >> i) & 1) continue;
      if (k == s.size() || s[k] != group.domain[i]) return -1;
      mask |= std::int64_t{1} << i;
      ++k;
    }
    return k == s.size() ? mask : -1;
  }

  /// The axis that each dimension of a node at `mask` walks; -1 for size 1.
  std::vector<int> axes_of(NodeId n, std::int64_t mask) {
    std::vector<int> a;
    int axis = -1;
    for (int d = 0; d < g_.node(n).rank; ++d) {
      if (g_.symbol(n, d) == kOne) {
        a.push_back(-1);
        continue;
      }
      do ++axis;
      while (!((mask >> axis) & 1));
      a.push_back(axis);
    }
    return a;
  }

  /// True if `n`, with its dimensions on these axes, reads its input `u`, a member of the group, at
  /// the very index it is computed for.
  bool same_index(int id, const std::vector<int>& axes, NodeId u) {
    std::vector<int> dims;
    const int rank = g_.node(u).rank;
    const NodeId v = in_order_source(g_, u, dims);
    if (v == kNoNode || out_.of[v] != id) return false;
    const Group& group = out_.all[static_cast<std::size_t>(id)];
    const std::int64_t mask = level(group, g_.symbols(v));
    if (mask < 0) return false;
    const std::vector<int> at = axes_of(v, mask);
    int shown = 0, owned = 0;
    for (int d = 0; d < rank; ++d) {
      const int from = dims[static_cast<std::size_t>(d)];
      if (from < 0 || at[static_cast<std::size_t>(from)] < 0) continue;
      const auto to = static_cast<std::size_t>(d + static_cast<int>(axes.size()) - rank);
      if (axes[to] != at[static_cast<std::size_t>(from)]) return false;
      ++shown;
    }
    for (int a : at) owned += a >= 0;
    return shown == owned;  // a view that hides an axis (select) does not walk the same index
  }

  /// What is made again in the backward pass is not computed with the forward pass.
  bool passes_fit(NodeId n, const Group& group) const {
    const Pass pass = g_.node(n).pass;
    return !(pass == Pass::kAgain && group.forward) && !(pass == Pass::kForward && group.again);
  }

  static bool full(const Group& group) {
    return group.reads.size() >= kMaxReads || group.members.size() >= kMaxMembers;
  }

  bool fits(NodeId n, int id) {
    const Group& group = out_.all[static_cast<std::size_t>(id)];
    if (!passes_fit(n, group)) return false;
    if (group.kind == GroupKind::kUpdate || full(group)) return false;
    if (group.kind == GroupKind::kLeaf &&
        !takes_epilogue_(g_.node(group.anchor).op, g_.node(group.anchor).dtype))
      return false;
    const std::int64_t mask = level(group, g_.symbols(n));
    if (mask < 0) return false;
    const std::vector<int> axes = axes_of(n, mask);
    for (NodeId u : g_.in(n)) {
      const NodeId base = g_.node(u).op == Prim::kView ? g_.in(u)[0] : u;
      if (out_.of[base] == id && !same_index(id, axes, u)) return false;
    }
    return true;
  }

  void place_map(NodeId n) {
    if (!g_.fuse) {
      start(n, n, 0);
      return;
    }
    std::vector<int> all = producers(n), chosen;
    std::vector<int> candidates;
    for (int h : all)
      if (fits(n, h)) candidates.push_back(h);
    std::sort(candidates.rbegin(), candidates.rend());
    for (int c : candidates) {
      bool ok = true;
      // Nothing else that n needs may itself need this group.
      for (int h : all)
        if (h != c && std::find(chosen.begin(), chosen.end(), h) == chosen.end() && needs(h, c))
          ok = false;
      for (int s : chosen) ok = ok && mergeable(s, c);
      if (ok) chosen.push_back(c);
    }
    if (chosen.empty()) {
      start(n, n, 0);
      return;
    }
    int into = chosen[0];
    for (int c : chosen)
      if (out_.all[static_cast<std::size_t>(c)].kind == GroupKind::kLeaf) into = c;
    for (int c : chosen)
      if (c != into) merge(into, c);
    join(n, into);
  }

  bool mergeable(int a, int b) const {
    const Group &x = out_.all[static_cast<std::size_t>(a)],
                &y = out_.all[static_cast<std::size_t>(b)];
    // A leaf's epilogue takes in what else its consumers need (a dropout's mask), but no reduction.
    const bool leaf = x.kind == GroupKind::kLeaf || y.kind == GroupKind::kLeaf;
    if (x.kind != GroupKind::kFused && y.kind != GroupKind::kFused) return false;
    if (x.kind == GroupKind::kUpdate || y.kind == GroupKind::kUpdate) return false;
    if (leaf && (x.reduced || y.reduced)) return false;
    if ((x.forward && y.again) || (x.again && y.forward)) return false;
    if (x.domain != y.domain || (x.reduced && y.reduced && x.reduced != y.reduced)) return false;
    if (x.reads.size() + y.reads.size() > kMaxReads) return false;
    if (x.members.size() + y.members.size() > kMaxMembers) return false;
    return !needs(a, b) && !needs(b, a);
  }

  void merge(int into, int from) {
    Group y = std::move(out_.all[static_cast<std::size_t>(from)]);
    out_.all[static_cast<std::size_t>(from)] = Group{};
    Group& x = out_.all[static_cast<std::size_t>(into)];
    for (NodeId m : y.members) out_.of[m] = into;
    std::vector<NodeId> members;
    std::merge(x.members.begin(), x.members.end(), y.members.begin(), y.members.end(),
               std::back_inserter(members));
    x.members = std::move(members);
    x.reduced |= y.reduced;
    x.forward |= y.forward;
    x.again |= y.again;
    for (NodeId u : y.reads)
      if (std::find(x.reads.begin(), x.reads.end(), u) == x.reads.end()) x.reads.push_back(u);
    join_bits(x.before, y.before);
    const auto all = x.before;
    for (std::size_t k = 0; k < out_.all.size(); ++k) {
      const int id = static_cast<int>(k);
      if (!needs(id, from) && !needs(id, into)) continue;
      set_bit(out_.all[k].before, into);
      join_bits(out_.all[k].before, all);
    }
  }

  void place_reduce(NodeId n) {
    const std::uint32_t axes = reduced_axes(g_, n);
    const NodeId u = g_.in(n)[0];
    const NodeId base = g_.node(u).op == Prim::kView ? g_.in(u)[0] : u;
    const int h = out_.of[base];
    if (g_.fuse && h >= 0) {
      const Group& group = out_.all[static_cast<std::size_t>(h)];
      const bool open = group.kind == GroupKind::kFused && passes_fit(n, group) &&
                        (group.reduced == 0 || group.reduced == axes) && phase_[base] < kMaxPhases;
      if (open && g_.symbols(u) == group.domain && !full(group) &&
          same_index(h, axes_of(u, (std::int64_t{1} << group.domain.size()) - 1), u)) {
        out_.all[static_cast<std::size_t>(h)].reduced = axes;
        join(n, h);
        return;
      }
    }
    start(n, u, axes);
  }

  /// The full-size values that a group reads, and what maps on the way to them read.
  std::vector<NodeId> sources(const Group& group) {
    std::vector<NodeId> all = group.reads;
    for (NodeId u : group.reads)
      if (g_.kind(u) == PrimKind::kMap) all.insert(all.end(), g_.in(u).begin(), g_.in(u).end());
    std::erase_if(all, [&](NodeId u) { return g_.symbols(u) != group.domain; });
    return all;
  }

  /// Reductions over the same axes that read the same values run in one kernel, as gradients of a
  /// scale and a shift do.
  void join_siblings() {
    std::vector<int> open;
    for (std::size_t k = 0; g_.fuse && k < out_.all.size(); ++k) {
      const Group& group = out_.all[k];
      if (group.kind != GroupKind::kFused || !group.reduced || group.members.empty()) continue;
      const int id = static_cast<int>(k);
      const std::vector<NodeId> mine = sources(group);
      bool joined = false;
      for (int other : open) {
        const Group& o = out_.all[static_cast<std::size_t>(other)];
        if (o.reduced != group.reduced || !mergeable(other, id)) continue;
        const std::vector<NodeId> theirs = sources(o);
        for (NodeId u : mine)
          joined = joined || std::find(theirs.begin(), theirs.end(), u) != theirs.end();
        if (joined) {
          merge(other, id);
          break;
        }
      }
      if (!joined && open.size() < kMaxOpen) open.push_back(id);
    }
  }

  /// An activation that is made again for a leaf kernel is one more result of the kernel that
  /// computes its gradient: both read its operand.
  void join_again() {
    const auto reads_of = [](const Group& a, const Group& b) {
      return std::any_of(a.reads.begin(), a.reads.end(), [&](NodeId u) {
        return std::find(b.reads.begin(), b.reads.end(), u) != b.reads.end();
      });
    };
    for (std::size_t k = 0; k < out_.all.size(); ++k) {
      const int id = static_cast<int>(k);
      if (!out_.all[k].again || out_.all[k].kind != GroupKind::kFused || out_.all[k].reduced)
        continue;
      for (std::size_t o = 0; o < out_.all.size(); ++o) {
        const Group& other = out_.all[o];
        const int into = static_cast<int>(o);
        if (o == k || !other.again || other.domain != out_.all[k].domain) continue;
        if (!reads_of(other, out_.all[k]) || !mergeable(into, id)) continue;
        merge(into, id);
        break;
      }
    }
  }

  /// What is written: live values, what leaf kernels and opaque views read, and what other groups
  /// read unless it is cheap to compute again from what is in memory.
  void decide_stored() {
    std::vector<char>& stored = out_.stored;
    stored.assign(g_.count, 0);
    std::vector<char> crosses(g_.count, 0);
    for (NodeId n = 0; n < g_.count; ++n) {
      if (!g_.reachable[n] || g_.node(n).op == Prim::kView) continue;
      for (NodeId u : g_.in(n)) {
        const NodeId base = g_.node(u).op == Prim::kView ? g_.in(u)[0] : u;
        const bool anchored =
            out_.of[n] >= 0 && out_.all[static_cast<std::size_t>(out_.of[n])].anchor == base;
        if (out_.of[base] >= 0 && out_.of[base] != out_.of[n] && !anchored) crosses[base] = 1;
      }
    }
    struct Cost {
      int loads = 0, ops = 0;
      bool ok = false;
    };
    std::vector<Cost> cost(g_.count);
    for (NodeId n = 0; n < g_.count; ++n) {
      if (!g_.reachable[n]) continue;
      Cost c;
      const Prim op = g_.node(n).op;
      if (op == Prim::kInput) {
        c = {1, 0, true};
      } else if (op == Prim::kScalar) {
        c = {0, 0, true};
      } else if (g_.generator(n)) {
        c = {0, 1, true};
      } else if (g_.kind(n) == PrimKind::kMap && (info(op).cheap || op == Prim::kUniform)) {
        c.ok = true;
        c.ops = 1;
      }
      if (g_.node(n).op == Prim::kView || (g_.kind(n) == PrimKind::kMap && c.ok)) {
        c.ok = true;
        const std::size_t width = g_.symbols(n).size();
        for (NodeId u : g_.in(n)) {
          c.ok = c.ok && cost[u].ok;
          // A row's values, read for every element of the row, come from the cache.
          if (g_.symbols(u).size() == width) c.loads += cost[u].loads;
          c.ops += cost[u].ops;
        }
        // Doubles with every node of a chain of diamonds: what is too much stays just that.
        c.loads = std::min(c.loads, kMaxRecomputeLoads + 1);
        c.ops = std::min(c.ops, kMaxRecomputeOps + 1);
      }
      const bool computed = g_.kind(n) != PrimKind::kView && op != Prim::kInput && out_.of[n] >= 0;
      if (computed) {
        const bool leaf = g_.kind(n) == PrimKind::kLeaf || g_.kind(n) == PrimKind::kUpdate;
        const bool cheap =
            g_.fuse && c.ok && c.loads <= kMaxRecomputeLoads && c.ops <= kMaxRecomputeOps;
        stored[n] = g_.pinned[n] || !g_.fuse || (crosses[n] && !cheap) || (leaf && crosses[n]);
      }
      if (stored[n] || (computed && !c.ok)) c = {1, 0, stored[n] != 0};
      cost[n] = c;
    }
  }

  /// Topological order, earliest recorded first; maps that nothing else needs go last, so that
  /// equal kernels among them (an optimizer's updates) stand together. Leaf kernels and reductions
  /// don't wait: what they read, larger than their results, would wait in memory with them.
  void schedule() {
    const auto n = out_.all.size();
    std::vector<std::vector<int>> users(n);
    std::vector<int> missing(n, 0);
    std::vector<char> alive(n, 0);
    std::vector<char>& sink = out_.sink;
    sink.assign(n, 0);
    for (std::size_t k = 0; k < n; ++k) {
      const Group& group = out_.all[k];
      bool writes = group.anchor != kNoNode;
      for (NodeId m : group.members) writes = writes || out_.stored[m];
      alive[k] = writes;
      sink[k] = group.kind == GroupKind::kFused && !group.reduced;
    }
    for (std::size_t k = 0; k < n; ++k) {
      if (!alive[k]) continue;
      for (std::size_t h = 0; h < n; ++h)
        if (alive[h] && needs(static_cast<int>(k), static_cast<int>(h))) {
          users[h].push_back(static_cast<int>(k));
          ++missing[k];
          sink[h] = 0;
        }
    }
    const auto first = [&](std::size_t k) {
      const Group& group = out_.all[k];
      return group.anchor != kNoNode ? group.anchor : group.members.front();
    };
    std::vector<std::pair<NodeId, int>> ready, last;
    const auto push = [&](std::size_t k) {
      (sink[k] ? last : ready).emplace_back(first(k), static_cast<int>(k));
    };
    for (std::size_t k = 0; k < n; ++k)
      if (alive[k] && missing[k] == 0) push(k);
    std::make_heap(ready.begin(), ready.end(), std::greater<>());
    while (!ready.empty()) {
      std::pop_heap(ready.begin(), ready.end(), std::greater<>());
      const int k = ready.back().second;
      ready.pop_back();
      out_.order.push_back(k);
      for (int user : users[static_cast<std::size_t>(k)])
        if (--missing[static_cast<std::size_t>(user)] == 0) {
          push(static_cast<std::size_t>(user));
          if (!sink[static_cast<std::size_t>(user)])
            std::push_heap(ready.begin(), ready.end(), std::greater<>());
        }
    }
    std::sort(last.begin(), last.end());
    for (const auto& [id, k] : last) out_.order.push_back(k);
  }

  Graph& g_;
  const std::function<bool(Prim, DType)>& takes_epilogue_;
  Groups out_;
  std::vector<int> phase_;  ///< of each node: reductions of its group up to and with it
};

}  // namespace

Groups make_groups(Graph& g, const std::function<bool(Prim, DType)>& takes_epilogue) {
  return Grouper(g, takes_epilogue).run();
}

std::uint32_t reduced_axes(const Graph& g, NodeId reduce) {
  const NodeId u = g.in(reduce)[0];
  const std::int64_t mask = g.attrs(reduce)[0];
  std::uint32_t axes = 0;
  int axis = 0;
  for (int d = 0; d < g.node(u).rank; ++d) {
    if (g.shape(u)[static_cast<std::size_t>(d)] == 1) continue;
    if ((mask >> d) & 1) axes |= 1u << axis;
    ++axis;
  }
  return axes;
}

NodeId in_order_source(const Graph& g, NodeId n, std::vector<int>& dims) {
  dims.resize(g.node(n).rank);
  for (int d = 0; d < g.node(n).rank; ++d) dims[static_cast<std::size_t>(d)] = d;
  if (g.node(n).op != Prim::kView) return n;
  if (g.view_kind(n) != ViewKind::kDims) return kNoNode;
  const auto map = static_cast<std::uint64_t>(g.attrs(n)[1]);
  const NodeId u = g.in(n)[0];
  int last = -1;
  for (int d = 0; d < g.node(n).rank; ++d) {
    const int from = dim_of(map, d);
    dims[static_cast<std::size_t>(d)] = from == static_cast<int>(kDimNone) ? -1 : from;
    if (from == static_cast<int>(kDimNone) || g.shape(u)[static_cast<std::size_t>(from)] == 1)
      continue;
    if (from <= last) return kNoNode;
    last = from;
  }
  return u;
}

}  // namespace flash::jit
