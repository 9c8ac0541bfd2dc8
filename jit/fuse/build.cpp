// jit/fuse/build.cpp -- expressions of a group, their axes and phases, and the IR they become
#include "jit/fuse/build.h"

#include <algorithm>

#include "core/error.h"
#include "jit/fuse/expression.h"
#include "jit/fuse/lower.h"
#include "jit/ir/builder.h"

namespace flash::jit {
namespace {

class KernelBuilder {
 public:
  KernelBuilder(Graph& g, const Groups& groups, int id)
      : g_(g),
        groups_(groups),
        group_(groups.all[static_cast<std::size_t>(id)]),
        b_(out_.kernel),
        e_(g, groups, id, part_of_axis_) {}

  BuiltKernel run() {
    make_parts();
    make_roots();
    choose_axes();
    layout_words();
    emit();
    name();
    ir::verify(out_.kernel);
    return std::move(out_);
  }

 private:
  // -- domain -----------------------------------------------------------------
  void make_parts() {
    auto& parts = out_.spec.parts;
    if (group_.kind == GroupKind::kUpdate) {
      const int rank = (g_.node(group_.anchor).n_attr - 1) / 2;
      for (int d = 0; d < rank; ++d)
        parts.push_back({group_.anchor, static_cast<std::uint8_t>(1 + rank + d), true});
    } else if (group_.kind == GroupKind::kLeaf) {
      for (int d = 0; d < g_.node(group_.anchor).rank; ++d)
        parts.push_back({group_.anchor, static_cast<std::uint8_t>(d), false});
      for (std::uint8_t d : group_.axis_dim) part_of_axis_.push_back(d);
    } else {
      for (std::uint8_t d : group_.axis_dim) {
        part_of_axis_.push_back(static_cast<int>(parts.size()));
        parts.push_back({group_.shape_of, d, false});
      }
    }
    if (parts.empty()) parts.push_back({});
    n_parts_ = static_cast<int>(parts.size());
    for (std::size_t a = 0; a < group_.domain.size() && group_.kind == GroupKind::kFused; ++a)
      if ((group_.reduced >> a) & 1) reduced_parts_ |= 1u << part_of_axis_[a];
  }

  struct Store {
    NodeId node;
    int expr;
    DimMap map;
    bool row = false;
    int operand = -1;
  };

  void make_roots() {
    if (group_.kind == GroupKind::kUpdate) {
      const NodeId value = g_.in(group_.anchor)[1];
      DimMap all, m;
      all.fill(-1);
      m.fill(-1);
      const int r = g_.node(value).rank;
      const int rank = (g_.node(group_.anchor).n_attr - 1) / 2;
      for (int d = 0; d < rank; ++d) all[static_cast<std::size_t>(d)] = static_cast<std::int8_t>(d);
      for (int d = 0; d < r; ++d)
        if (g_.shape(value)[static_cast<std::size_t>(d)] != 1)
          m[static_cast<std::size_t>(d)] = static_cast<std::int8_t>(d + rank - r);
      stores_.push_back({group_.anchor, e_.make(value, m), all});
      return;
    }
    for (NodeId n : group_.members) {
      if (!groups_.stored[n]) continue;
      const DimMap m = e_.map_of(n);
      stores_.push_back({n, e_.make(n, m), m});
    }
  }

  // -- axes -------------------------------------------------------------------
  /// Shape and strides, as numbers of this trace; what is concluded from them is part of the key.
  void strides_of(NodeId node, NodeId view, Shape& shape, Strides& strides) const {
    if (view != kNoNode && g_.node(view).op == Prim::kUpdate) {
      const auto a = g_.attrs(view);
      const auto rank = (a.size() - 1) / 2;
      strides = Shape(a.subspan(1, rank));
      shape = Shape(a.subspan(1 + rank, rank));
    } else if (view != kNoNode) {
      shape = Shape(g_.shape(view));
      strides = Shape(g_.attrs(view).subspan(3));
    } else {
      shape = Shape(g_.shape(node));
      strides = contiguous_strides(shape);
    }
  }

  bool merges(const DimMap& map, NodeId node, NodeId view, bool affine, int p) const {
    const int a = dim_on(map, p), c = dim_on(map, p + 1);
    if (a < 0 && c < 0) return true;
    if (a < 0 || c < 0 || !affine || c < a) return false;
    Shape shape;
    Strides strides;
    strides_of(node, view, shape, strides);
    // A stride along one element is no part of a plan's key: nothing may follow from it.
    if (shape[a] == 1 || shape[c] == 1) return false;
    for (int d = a + 1; d < c; ++d)
      if (shape[d] != 1) return false;
    if (view == kNoNode) return true;
    return strides[a] == strides[c] * shape[c];
  }
  bool all_merge(int p) const {
    for (const Expr& e : e_.all) {
      if (e.kind == Expr::kMap || e.kind == Expr::kReduce || e.kind == Expr::kScalar) continue;
      if (!merges(e.map, e.node, e.view, e.kind != Expr::kIota, p)) return false;
    }
    for (const Store& s : stores_)
      if (!merges(s.map, s.node, store_view(s), true, p)) return false;
    return true;
  }
  NodeId store_view(const Store& s) const {
    return group_.kind == GroupKind::kUpdate ? s.node : kNoNode;
  }

  void choose_axes() {
    auto& axes = out_.spec.axes;
    auto& k = out_.kernel;
    const bool reduces = reduced_parts_ != 0;
    const bool column = reduces && !((reduced_parts_ >> (n_parts_ - 1)) & 1);
    const bool merge = group_.kind != GroupKind::kLeaf;
    if (group_.kind == GroupKind::kLeaf) k.mode = ir::Mode::kEpilogue;
    std::vector<std::vector<int>> kept, looped;
    for (int p = 0; p < n_parts_; ++p) {
      const bool r = (reduced_parts_ >> p) & 1;
      auto& to = r ? looped : kept;
      const bool adjacent = !to.empty() && to.back().back() == p - 1;
      // Adjacent reduced axes are one run by definition of the tree; kept ones merge when that is
      // free.
      if (adjacent && (r || (merge && all_merge(p - 1))))
        to.back().push_back(p);
      else
        to.push_back({p});
    }
    std::vector<int> last;
    if (!reduces || column) {
      last = kept.back();
      kept.pop_back();
    }
    for (auto& a : kept) {
      axes.push_back(a);
      k.axes.push_back(ir::Role::kGrid);
    }
    for (auto& a : looped) {
      axes.push_back(a);
      k.axes.push_back(ir::Role::kLoop);
    }
    if (!last.empty()) {
      axes.push_back(last);
      k.axes.push_back(column ? ir::Role::kLane : ir::Role::kLoop);
    }
    k.form = column ? ir::Form::kColumn : ir::Form::kRow;
    for (std::size_t a = 0; a < axes.size(); ++a)
      if (k.axes[a] == ir::Role::kLoop)
        for (int p : axes[a]) loop_parts_ |= 1u << p;
    for (Expr& e : e_.all) {
      e.row = e.kind == Expr::kScalar || e.kind == Expr::kReduce || e.kind == Expr::kMap;
      if (e.kind == Expr::kMap)
        for (int i : e.in) e.row = e.row && e_.all[static_cast<std::size_t>(i)].row;
      else if (e.kind != Expr::kScalar && e.kind != Expr::kReduce)
        e.row = !varies(e);
    }
    for (Store& s : stores_) {
      s.row = reduces;
      for (std::int8_t p : s.map)
        if (p >= 0 && ((loop_parts_ >> p) & 1)) s.row = false;
    }
  }

  bool varies(const Expr& e) const {
    if (e.kind == Expr::kIota) {
      const int p = e.map[static_cast<std::size_t>(g_.attrs(e.node)[0])];
      return p >= 0 && ((loop_parts_ >> p) & 1);
    }
    for (std::int8_t p : e.map)
      if (p >= 0 && ((loop_parts_ >> p) & 1)) return true;
    return false;
  }

  // -- words ------------------------------------------------------------------
  int word() { return out_.spec.words++; }
  int words(int n) {
    const int first = out_.spec.words;
    out_.spec.words += n;
    return first;
  }
  int scalar_word(ScalarWord w) {
    for (const ScalarWord& have : out_.spec.scalars)
      if (have.kind == w.kind && have.node == w.node && have.index == w.index &&
          have.end == w.end && have.operand == w.operand)
        return have.word;
    w.word = word();
    out_.spec.scalars.push_back(w);
    return w.word;
  }
  void layout_words() { out_.spec.words = ir::kArgExtents + out_.kernel.n_axes(); }

  /// Registers a memory operand and returns its access.
  int add_operand(NodeId node, NodeId view, const DimMap& map, bool store, bool indirect) {
    MemoryOperand o;
    o.node = node;
    o.view = view;
    o.store = store;
    o.loop = loop_;
    o.pointer = word();
    o.strides = words(out_.kernel.n_axes());
    Shape shape;
    Strides strides;
    strides_of(node, view, shape, strides);
    ir::Access a;
    a.dtype = g_.node(node).dtype;
    a.pointer = o.pointer;
    a.strides = o.strides;
    a.stored = store;
    const int n = out_.kernel.n_axes();
    for (int axis = 0; axis < n; ++axis) {
      const int part = out_.spec.axes[static_cast<std::size_t>(axis)].back();
      int dim = dim_on(map, part);
      if (indirect && broken_run(map, node, view, axis)) dim = -1;
      o.dims.push_back(static_cast<std::int8_t>(dim));
      ir::Step step = dim < 0 ? ir::Step::kZero : ir::Step::kAny;
      if (dim >= 0 && axis == out_.kernel.vector_axis() && unit(view, shape, strides, dim))
        step = ir::Step::kUnit;
      a.step.push_back(step);
    }
    out_.spec.operands.push_back(o);
    out_.kernel.accesses.push_back(a);
    return static_cast<int>(out_.kernel.accesses.size() - 1);
  }

  static int dim_on(const DimMap& map, int part) {
    for (int d = 0; d < kMaxRank; ++d)
      if (map[static_cast<std::size_t>(d)] == part) return d;
    return -1;
  }

  /// Stride 1: for contiguous memory the last dimension that is not 1; for views their class says
  /// it.
  static bool unit(NodeId view, const Shape& shape, const Strides& strides, int dim) {
    if (view != kNoNode) return strides[dim] == 1;
    for (int d = dim + 1; d < shape.rank(); ++d)
      if (shape[d] != 1) return false;
    return true;
  }

  /// A merged loop axis whose parts this operand does not walk as one: its index is computed.
  bool broken_run(const DimMap& map, NodeId node, NodeId view, int axis) const {
    const auto& parts = out_.spec.axes[static_cast<std::size_t>(axis)];
    for (std::size_t i = 0; i + 1 < parts.size(); ++i)
      if (!merges(map, node, view, true, parts[i])) return true;
    return false;
  }

  // -- emission ---------------------------------------------------------------
  ir::Value index_scalar(ScalarWord w) { return b_.scalar(ir::Type::kI64, scalar_word(w)); }

  /// Index along one axis, as a kI64 value.
  ir::Value axis_index(int axis) {
    if (axis_slots_.empty()) axis_slots_.assign(static_cast<std::size_t>(out_.kernel.n_axes()), -1);
    int& slot = axis_slots_[static_cast<std::size_t>(axis)];
    if (slot < 0) slot = add_iota({.kind = IotaWords::kAxis, .axis = axis, .dims = {}});
    return b_.iota(slot);
  }
  int add_iota(IotaWords w) {
    w.slot = words(1 + out_.kernel.n_axes());
    out_.spec.iotas.push_back(w);
    return w.slot;
  }
  /// Index along one part: a digit of its axis' index.
  ir::Value part_index(int part) {
    for (std::size_t axis = 0; axis < out_.spec.axes.size(); ++axis) {
      const auto& parts = out_.spec.axes[axis];
      if (std::find(parts.begin(), parts.end(), part) == parts.end()) continue;
      ir::Value i = axis_index(static_cast<int>(axis));
      if (part != parts.back())
        i = b_.div(i,
                   index_scalar({.kind = ScalarWord::kInner, .index = part, .end = parts.back()}));
      if (part != parts.front())
        i = b_.binary(ir::Op::kRem, i, index_scalar({.kind = ScalarWord::kSize, .index = part}));
      return i;
    }
    throw InternalError("build: a part without an axis");
  }

  ir::Value emit_load(const Expr& e) {
    bool indirect = false;
    for (int axis = 0; axis < out_.kernel.n_axes(); ++axis)
      indirect = indirect || broken_run(e.map, e.node, e.view, axis);
    const int access = add_operand(e.node, e.view, e.map, false, indirect);
    ir::Value index = ir::kNone;
    if (indirect) {
      const int operand = static_cast<int>(out_.spec.operands.size() - 1);
      for (int axis = 0; axis < out_.kernel.n_axes(); ++axis) {
        if (!broken_run(e.map, e.node, e.view, axis)) continue;
        for (int part : out_.spec.axes[static_cast<std::size_t>(axis)])
          for (int d = 0; d < kMaxRank; ++d) {
            if (e.map[static_cast<std::size_t>(d)] != part) continue;
            const ir::Value term =
                b_.mul(part_index(part),
                       index_scalar({.kind = ScalarWord::kStride, .index = d, .operand = operand}));
            index = index == ir::kNone ? term : b_.add(index, term);
          }
      }
    }
    const DType d = g_.node(e.node).dtype;
    return from_memory(b_, b_.load(access, memory_type(d), index), d);
  }

  ir::Value emit_uniform(const Expr& e) {
    bool broken = false;
    for (int axis = 0; axis < out_.kernel.n_axes(); ++axis)
      broken = broken || broken_run(e.map, e.node, kNoNode, axis);
    ir::Value flat;
    if (!broken) {
      IotaWords w{.kind = IotaWords::kFlat, .node = e.node, .dims = {}};
      for (const auto& parts : out_.spec.axes)
        w.dims.push_back(static_cast<std::int8_t>(dim_on(e.map, parts.back())));
      flat = b_.iota(add_iota(w));
    } else {
      flat = b_.i64(0);
      for (int d = 0; d < g_.node(e.node).rank; ++d) {
        const int part = e.map[static_cast<std::size_t>(d)];
        if (part < 0) continue;
        flat = b_.add(
            flat,
            b_.mul(part_index(part),
                   index_scalar({.kind = ScalarWord::kFlatStride, .node = e.node, .index = d})));
      }
    }
    const ir::Value seed = index_scalar({.kind = ScalarWord::kAttr, .node = e.node, .index = 0});
    const ir::Value first = index_scalar({.kind = ScalarWord::kAttr, .node = e.node, .index = 1});
    return lower_uniform(b_, flat, seed, first, g_.node(e.node).dtype);
  }

  ir::Value emit_expr(Expr& e) {
    const Node& n = g_.node(e.node);
    switch (e.kind) {
      case Expr::kLoad:
        return emit_load(e);
      case Expr::kScalar: {
        const int w = scalar_word({.kind = ScalarWord::kAttr, .node = e.node, .index = 0});
        return from_memory(b_, b_.scalar(memory_type(n.dtype), w), n.dtype);
      }
      case Expr::kIota: {
        const int part = e.map[static_cast<std::size_t>(g_.attrs(e.node)[0])];
        for (std::size_t axis = 0; axis < out_.spec.axes.size(); ++axis)
          if (out_.spec.axes[axis] == std::vector<int>{part})
            return b_.iota(add_iota({.kind = IotaWords::kRange,
                                     .axis = static_cast<int>(axis),
                                     .node = e.node,
                                     .dims = {}}));
        const ir::Value start =
            index_scalar({.kind = ScalarWord::kAttr, .node = e.node, .index = 1});
        if (part < 0) return start;
        const ir::Value step =
            index_scalar({.kind = ScalarWord::kAttr, .node = e.node, .index = 2});
        return b_.add(start, b_.mul(part_index(part), step));
      }
      case Expr::kUniform:
        return emit_uniform(e);
      case Expr::kReduce:
        return from_memory(b_, round_to(b_, e.reduced, n.dtype), n.dtype);
      case Expr::kMap: {
        ir::Value in[3] = {};
        for (std::size_t i = 0; i < e.in.size(); ++i)
          in[i] = values_[static_cast<std::size_t>(e.in[i])];
        const NodeId typed = g_.in(e.node)[n.op == Prim::kWhere ? 1 : 0];
        return lower_map(b_, n.op, {in, e.in.size()}, g_.node(typed).dtype, n.dtype);
      }
    }
    return ir::kNone;
  }

  void emit_store(Store& s) {
    const int access = add_operand(s.node, store_view(s), s.map, true, false);
    b_.store(access,
             to_memory(b_, values_[static_cast<std::size_t>(s.expr)], g_.node(s.node).dtype));
  }

  void emit_reduce(Expr& e) {
    const DType in = g_.node(g_.in(e.node)[0]).dtype;
    const ir::Value v = to_memory(b_, values_[static_cast<std::size_t>(e.in[0])], in);
    ir::Access partial;
    const ir::Type t = b_.type(v);
    partial.dtype = t == ir::Type::kF32   ? DType::kF32
                    : t == ir::Type::kF64 ? DType::kF64
                    : t == ir::Type::kI64 ? DType::kI64
                                          : DType::kI32;
    partial.pointer = word();
    partial.strides = words(out_.kernel.n_axes());
    partial.step.assign(static_cast<std::size_t>(out_.kernel.n_axes()), ir::Step::kZero);
    partial.stored = true;
    out_.spec.partials.push_back(partial.pointer);
    out_.spec.partial_dtypes.push_back(partial.dtype);
    out_.kernel.accesses.push_back(partial);
    e.reduced = b_.reduce(reduce_kind(g_.node(e.node).op), v,
                          static_cast<int>(out_.kernel.accesses.size() - 1));
  }

  void emit() {
    const std::size_t n = e_.all.size();
    values_.assign(n, ir::kNone);
    const bool reduces = reduced_parts_ != 0;
    int loops = reduces ? 0 : 1;
    for (const Expr& e : e_.all)
      if (e.kind == Expr::kReduce) loops = std::max(loops, e.phase);
    for (const Store& s : stores_)
      if (!s.row) loops = std::max(loops, e_.all[static_cast<std::size_t>(s.expr)].phase + 1);
    // Row values that something needs.
    std::vector<char> needed(n, 0);
    for (const Store& s : stores_) needed[static_cast<std::size_t>(s.expr)] = 1;
    for (std::size_t i = n; i-- > 0;)
      if (needed[i])
        for (int u : e_.all[i].in) needed[static_cast<std::size_t>(u)] = 1;
    for (int k = 0; k <= loops; ++k) {
      loop_ = k;
      bool rows = false;
      for (std::size_t i = 0; i < n; ++i) {
        Expr& e = e_.all[i];
        if (!e.row || !needed[i] || e.phase != k) continue;
        if (!rows) b_.begin_row();
        rows = true;
        values_[i] = emit_expr(e);
      }
      for (Store& s : stores_) {
        if (!s.row || e_.all[static_cast<std::size_t>(s.expr)].phase != k) continue;
        if (!rows) b_.begin_row();
        rows = true;
        emit_store(s);
      }
      if (k < loops) emit_loop(k);
    }
    out_.kernel.words = out_.spec.words;
    out_.splittable = reduces && loops == 1;
    for (const Store& s : stores_)
      out_.splittable = out_.splittable && !(s.row && store_phase(s) == 0);
  }

  void emit_loop(int k) {
    const std::size_t n = e_.all.size();
    std::vector<char> here(n, 0);
    const auto root = [&](int i) {
      if (!e_.all[static_cast<std::size_t>(i)].row) here[static_cast<std::size_t>(i)] = 1;
    };
    for (const Expr& e : e_.all)
      if (e.kind == Expr::kReduce && e.phase == k + 1) root(e.in[0]);
    for (const Store& s : stores_)
      if (!s.row && store_phase(s) == k) root(s.expr);
    for (std::size_t i = n; i-- > 0;)
      if (here[i])
        for (int u : e_.all[i].in) root(u);
    b_.begin_loop();
    for (std::size_t i = 0; i < n; ++i)
      if (here[i]) values_[i] = emit_expr(e_.all[i]);
    for (Expr& e : e_.all)
      if (e.kind == Expr::kReduce && e.phase == k + 1) emit_reduce(e);
    for (Store& s : stores_)
      if (!s.row && store_phase(s) == k) emit_store(s);
  }
  int store_phase(const Store& s) const { return e_.all[static_cast<std::size_t>(s.expr)].phase; }

  void name() {
    std::string& s = out_.kernel.name;
    const auto add = [&](NodeId m) {
      const std::string_view op = info(g_.node(m).op).name;
      if (s.size() + op.size() > 72) return;
      if (!s.empty()) s += '_';
      s += op;
    };
    if (group_.anchor != kNoNode) add(group_.anchor);
    for (NodeId m : group_.members) add(m);
  }

  Graph& g_;
  const Groups& groups_;
  const Group& group_;
  BuiltKernel out_;
  ir::Builder b_;
  int n_parts_ = 0, loop_ = 0;
  std::vector<int> part_of_axis_;
  std::uint32_t reduced_parts_ = 0, loop_parts_ = 0;
  Expressions e_;
  std::vector<Store> stores_;
  std::vector<ir::Value> values_;
  std::vector<int> axis_slots_;
};

}  // namespace

BuiltKernel build_kernel(Graph& g, const Groups& groups, int group) {
  return KernelBuilder(g, groups, group).run();
}

}  // namespace flash::jit
