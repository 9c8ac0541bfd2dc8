// core/autograd/rules_view.cpp -- gradients of views
#include "core/autograd/hooks.h"
#include "core/autograd/meta.h"
#include "core/autograd/strided.h"
#include "core/ops/create.h"

namespace flash::autograd {
namespace {

void reshape_vjp(BackwardCall& c) { c.give(0, c.grad().reshape(c.input_shape(0))); }
void expand_vjp(BackwardCall& c) { c.give(0, c.grad()); }  // give() sums

// Words: the view's dimension that each dimension of the base became.
void permute_vjp(BackwardCall& c) {
  int order[kMaxRank];
  const int rank = c.grad().dim();
  for (int i = 0; i < rank; ++i) order[i] = static_cast<int>(c.word(i));
  c.give(0, c.grad().permute(std::span<const int>(order, static_cast<std::size_t>(rank))));
}

/// The view written as an index map over a contiguous tensor of the base's shape.
ViewMap over_contiguous(const Shape& base, const Shape& view) {
  ViewMap m{base, Geometry::contiguous(base), {}};
  m.view = m.base;
  m.view.shape = view;
  return m;
}

// Words: dim, start, step.
void slice_vjp(BackwardCall& c) {
  const int d = static_cast<int>(c.word(0));
  ViewMap m = over_contiguous(c.input_shape(0), c.grad().shape());
  const std::int64_t stride = m.base.strides[d];
  m.view.offset = c.grad().numel() > 0 ? c.word(1) * stride : 0;
  m.view.strides[d] = c.word(2) * stride;
  c.give(0, strided_put(c.grad(), m));
}
// Words: dim, index.
void select_vjp(BackwardCall& c) {
  const int d = static_cast<int>(c.word(0));
  ViewMap m = over_contiguous(c.input_shape(0), c.grad().shape());
  m.view.offset = c.word(1) * m.base.strides[d];
  m.view.strides.erase(d);
  c.give(0, strided_put(c.grad(), m));
}
// Words: dim, step.
void unfold_vjp(BackwardCall& c) {
  const int d = static_cast<int>(c.word(0));
  ViewMap m = over_contiguous(c.input_shape(0), c.grad().shape());
  m.view.strides.push_back(m.base.strides[d]);
  m.view.strides[d] *= c.word(1);
  c.give(0, strided_put(c.grad(), m));
}
// Words: a ViewMap.
void as_strided_vjp(BackwardCall& c) {
  c.give(0, strided_put(c.grad(), ViewMap::from_words(c.words())));
}

const Rule kPermute{.name = "permute", .vjp = permute_vjp};
const Rule kExpandView{.name = "expand", .vjp = expand_vjp};
const Rule kSlice{.name = "slice", .vjp = slice_vjp};
const Rule kSelect{.name = "select", .vjp = select_vjp};
const Rule kUnfold{.name = "unfold", .vjp = unfold_vjp};
const Rule kAsStrided{.name = "as_strided", .vjp = as_strided_vjp};

struct Recipe {
  const Rule* rule = nullptr;
  std::int64_t few[kMaxRank] = {};
  int n = 0;
  std::vector<std::int64_t> many = {};
  std::span<const std::int64_t> words() const {
    return many.empty() ? std::span<const std::int64_t>(few, static_cast<std::size_t>(n)) : many;
  }
};

Recipe recipe_of(const Tensor& base, const Tensor& view, const ViewOp& op) {
  switch (op.kind) {
    case ViewOp::kReshape:
      return {.rule = &kReshapeRule};
    case ViewOp::kExpand:
      return {.rule = &kExpandView};
    case ViewOp::kPermute: {
      Recipe r{.rule = &kPermute, .n = op.a.rank()};
      for (int i = 0; i < op.a.rank(); ++i) r.few[op.a[i]] = i;
      return r;
    }
    case ViewOp::kSlice:
      return {.rule = &kSlice, .few = {op.dim, op.start, op.step}, .n = 3};
    case ViewOp::kSelect:
      return {.rule = &kSelect, .few = {op.dim, op.start}, .n = 2};
    case ViewOp::kUnfold:
      return {.rule = &kUnfold, .few = {op.dim, op.step}, .n = 2};
    case ViewOp::kAsStrided:
      return {.rule = &kAsStrided,
              .many = ViewMap{base.impl()->cell->shape, Geometry::of(*base.impl()),
                              Geometry::of(*view.impl())}
                          .words()};
    case ViewOp::kDetach:
      break;
  }
  throw InternalError("record_view: a view without a gradient rule");
}

}  // namespace

const Rule kReshapeRule{.name = "reshape", .vjp = reshape_vjp};

void record_view(const Tensor& base, Tensor& view, const ViewOp& op) {
  if (op.kind == ViewOp::kDetach || !is_floating(view.dtype())) return;
  const History h = history_of(base);
  const bool on = tape_thread.enabled;
  if (!on && !h.node) return;
  // The view remembers the owner of the storage also when neither is on the tape: a tensor that is
  // may be written into either later.
  TensorImpl& b = *base.impl();
  AutogradMeta& m = meta_of(*view.impl());
  m.owner = b.grad && b.grad->owner ? b.grad->owner : Ref<TensorImpl>(&b);
  m.generation = m.owner->grad ? m.owner->grad->generation : 0;
  if (!on || !h.node) return;
  const Recipe r = recipe_of(base, view, op);
  const bool same_shape = base.shape() == view.shape();
  const int n_words = static_cast<int>(r.words().size());
  Ref<TapeNode> node = TapeNode::make(*r.rule, 1, 0, n_words + (same_shape ? 0 : base.dim()));
  for (int i = 0; i < n_words; ++i)
    node->words()[static_cast<std::size_t>(i)] = r.words()[static_cast<std::size_t>(i)];
  connect(*node, 0, base, &view.shape(), n_words);
  m.node = std::move(node);
  m.output = 0;
}

void refresh_view(const TensorImpl& view, AutogradMeta& m) {
  const AutogradMeta& owner = *m.owner->grad;
  m.generation = owner.generation;
  if (!owner.node || !owner.node->active()) {
    m.node.reset();
    return;
  }
  const ViewMap map{view.cell->shape, Geometry::of(*m.owner), Geometry::of(view)};
  const std::vector<std::int64_t> words = map.words();
  Ref<TapeNode> node = TapeNode::make(kAsStrided, 1, 0, static_cast<int>(words.size()));
  std::copy(words.begin(), words.end(), node->words().begin());
  Edge& e = node->edges()[0];
  e.node = owner.node;
  e.output = owner.output;
  e.dtype = static_cast<std::uint8_t>(view.dtype()) & 0x7f;
  m.node = std::move(node);
  m.output = 0;
}

}  // namespace flash::autograd
