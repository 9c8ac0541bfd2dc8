// jit/graph/normalise.cpp -- hash-consing and the rules of rules.h, in one pass over the nodes
#include "jit/graph/normalise.h"

#include <cstdio>
#include <string>
#include <unordered_set>

#include "core/tensor_impl.h"
#include "jit/debug/debug.h"
#include "jit/graph/rules.h"

namespace flash::jit {
namespace {

class Normaliser {
 public:
  explicit Normaliser(Graph& g)
      : g_(g), seen_(g.count, Hash{this}, Equal{this}), carries_(g.count, 0) {}

  void run() {
    std::size_t next_live = 0;
    for (NodeId n = 0; n < g_.count; ++n) {
      if (!g_.reachable[n]) continue;
      for (NodeId& u : g_.in(n)) u = g_.canonical(u);
      NodeId c = simplify(n);
      if (c == n && may_merge(n)) c = *seen_.insert(n).first;
      // What reads a view cannot be a view of a view: a copy of one stays.
      if (c != n && g_.kind(c) == PrimKind::kView && g_.kind(n) != PrimKind::kView) {
        become_copy(n, c);
        c = *seen_.insert(n).first;
      }
      g_.set_canonical(n, c);
      while (next_live < g_.carrier.size() && g_.carrier[next_live] < n) ++next_live;
      if (next_live == g_.carrier.size() || g_.carrier[next_live] != n) continue;
      if (c != n) carry(n, c, next_live);
      carries_[g_.carrier[next_live++]] = 1;
    }
  }

 private:
  // -- rules
  // ----------------------------------------------------------------------------------------
  /// Rewrites `n` in place as long as a rule fits; returns another node if `n` is that node's
  /// value.
  NodeId simplify(NodeId n) {
    for (;;) {
      if (const NodeId c = as_operand(n); c != n) return c;
      if (!rewrite(n)) return n;
    }
  }

  NodeId as_operand(NodeId n) {
    const Prim op = g_.node(n).op;
    const auto in = g_.in(n);
    if (kIdentities.has(op) && takes_place(n, in[0])) return told(n, in[0], "it changes nothing");
    if (op == Prim::kView) return keeps_dimensions(n) ? told(n, in[0], "it changes nothing") : n;
    if (op == Prim::kCast && g_.node(in[0]).op == Prim::kCast) {
      const NodeId x = g_.in(in[0])[0];
      if (holds(g_.node(in[0]).dtype, g_.node(x).dtype) && takes_place(n, x))
        return told(n, x, "there and back loses nothing");
    }
    for (const SameRule& r : kSameRules)
      if (r.op.has(op) && in[static_cast<std::size_t>(r.a)] == in[static_cast<std::size_t>(r.b)]) {
        const NodeId x = in[static_cast<std::size_t>(r.a)];
        if ((r.kinds & kind_bit(x)) && takes_place(n, x)) return told(n, x, r.why);
      }
    for (const NestedRule& r : kNestedRules) {
      if (r.then == NestedRule::kBecomes || !fits(r, n)) continue;
      const NodeId g = in[static_cast<std::size_t>(r.operand)];
      const NodeId x = r.then == NestedRule::kIsInside ? g_.in(g)[0] : g;
      if (takes_place(n, x)) return told(n, x, r.why);
    }
    return n;
  }

  bool rewrite(NodeId n) {
    const Node& node = g_.node(n);
    const auto in = g_.in(n);
    if (node.op == Prim::kCast && g_.node(in[0]).op == Prim::kCast) {
      const NodeId x = g_.in(in[0])[0];
      if (!holds(g_.node(in[0]).dtype, g_.node(x).dtype)) return false;
      told(n, x, "the cast between loses nothing");
      g_.rewrite(n, Prim::kCast, {&x, 1});
      return true;
    }
    for (const NestedRule& r : kNestedRules) {
      if (r.then != NestedRule::kBecomes || !fits(r, n)) continue;
      NodeId operands[3];
      std::size_t count = 0;
      for (std::size_t k = 0; k < in.size(); ++k) {
        if (static_cast<int>(k) != r.operand) {
          operands[count++] = in[k];
          continue;
        }
        for (NodeId u : g_.in(in[k])) operands[count++] = u;
      }
      if (r.swapped) std::swap(operands[0], operands[1]);
      told(n, operands[0], r.why);
      g_.rewrite(n, r.becomes, {operands, count});
      return true;
    }
    return false;
  }

  bool fits(const NestedRule& r, NodeId n) const {
    if (!r.outer.has(g_.node(n).op)) return false;
    const NodeId g = g_.in(n)[static_cast<std::size_t>(r.operand)];
    return r.inner.has(g_.node(g).op) && (r.kinds & kind_bit(g_.in(g)[0]));
  }

  unsigned kind_bit(NodeId n) const {
    return 1u << static_cast<int>(flash::info(g_.node(n).dtype).kind);
  }

  bool same_dimensions(NodeId a, NodeId b) {
    if (g_.node(a).rank != g_.node(b).rank) return false;
    for (int d = 0; d < g_.node(a).rank; ++d)
      if (g_.symbol(a, d) != g_.symbol(b, d)) return false;
    return true;
  }
  bool takes_place(NodeId n, NodeId x) {
    return g_.node(n).dtype == g_.node(x).dtype && same_dimensions(n, x);
  }
  /// A view that shows its base as it is.
  bool keeps_dimensions(NodeId n) {
    if (g_.view_kind(n) != ViewKind::kDims || !same_dimensions(n, g_.in(n)[0])) return false;
    const auto dims = static_cast<std::uint64_t>(g_.attrs(n)[1]);
    for (int d = 0; d < g_.node(n).rank; ++d)
      if (dim_of(dims, d) != d && g_.symbol(n, d) != kOne) return false;
    return true;
  }

  NodeId told(NodeId n, NodeId to, std::string_view why) const {
    if (debug_level() >= 5)
      std::fprintf(stderr, "flash: rewrite %%%u %s of %%%u: %.*s\n", n,
                   std::string(flash::info(g_.node(n).op).name).c_str(), to,
                   static_cast<int>(why.size()), why.data());
    return to;
  }

  // -- equal nodes
  // ----------------------------------------------------------------------------------
  /// Attributes that are parameters may differ from trace to trace: nodes with such stay apart. The
  /// strides of a view that keeps dimensions whole follow from its base.
  bool may_merge(NodeId n) const {
    switch (g_.kind(n)) {
      case PrimKind::kSource:
      case PrimKind::kUpdate:
        return false;
      case PrimKind::kView:
        return g_.view_kind(n) == ViewKind::kDims;
      default:
        return g_.node(n).n_attr == flash::info(g_.node(n).op).static_attrs;
    }
  }

  /// The operands in an order that does not depend on the one they were written in.
  std::array<NodeId, 3> operands(NodeId n) const {
    std::array<NodeId, 3> u{kNoNode, kNoNode, kNoNode};
    const auto in = g_.in(n);
    for (std::size_t k = 0; k < in.size(); ++k) u[k] = in[k];
    if (commutes(g_.node(n).op) && u[1] < u[0]) std::swap(u[0], u[1]);
    return u;
  }
  std::span<const std::int64_t> fixed(NodeId n) const {
    return g_.attrs(n).first(static_cast<std::size_t>(flash::info(g_.node(n).op).static_attrs));
  }
  std::size_t hash(NodeId n) const {
    std::uint64_t h = static_cast<std::uint64_t>(g_.node(n).op) |
                      static_cast<std::uint64_t>(g_.node(n).dtype) << 8;
    const auto add = [&h](std::uint64_t v) {
      h = (h ^ v) * 0xFF51AFD7ED558CCDu;
      h ^= h >> 32;
    };
    for (NodeId u : operands(n)) add(u);
    for (std::int64_t a : fixed(n)) add(static_cast<std::uint64_t>(a));
    return static_cast<std::size_t>(h);
  }
  bool equal(NodeId a, NodeId b) {
    if (a == b) return true;
    const Node &x = g_.node(a), &y = g_.node(b);
    // What is made again is there so that the first need not wait in memory.
    if ((x.pass == Pass::kAgain) != (y.pass == Pass::kAgain)) return false;
    if (x.op != y.op || x.dtype != y.dtype || x.n_in != y.n_in || operands(a) != operands(b))
      return false;
    const auto p = fixed(a), q = fixed(b);
    return std::equal(p.begin(), p.end(), q.begin(), q.end()) && same_dimensions(a, b);
  }
  struct Hash {
    const Normaliser* self;
    std::size_t operator()(NodeId n) const { return self->hash(n); }
  };
  struct Equal {
    Normaliser* self;
    bool operator()(NodeId a, NodeId b) const { return self->equal(a, b); }
  };

  // -- live values
  // ----------------------------------------------------------------------------------
  /// `n` is live and its value is that of `c`: `c` is kept in its place, unless it cannot be.
  void carry(NodeId n, NodeId c, std::size_t live) {
    const PrimKind kind = g_.kind(c);
    if (kind != PrimKind::kSource && kind != PrimKind::kView && !carries_[c]) {
      g_.carrier[live] = c;
    } else {
      become_copy(n, c);
    }
  }
  void become_copy(NodeId n, NodeId of) { g_.rewrite(n, Prim::kCopy, {&of, 1}); }

  Graph& g_;
  std::unordered_set<NodeId, Hash, Equal> seen_;
  std::vector<char> carries_;  // node → some live value is kept there
};

}  // namespace

void normalise(Graph& g) { Normaliser(g).run(); }

}  // namespace flash::jit
