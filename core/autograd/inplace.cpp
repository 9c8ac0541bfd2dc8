// core/autograd/inplace.cpp -- histories of tensors and views that are changed in place
//
// The owner of a storage and its views share one value. After a write through a view the owner's
// history is "the old value with the new one written into the view"; every view's history is then
// taken from the owner's, when it is asked for next (refresh_view).
#include "core/autograd/hooks.h"
#include "core/autograd/meta.h"
#include "core/autograd/strided.h"
#include "core/ops/create.h"
#include "core/ops/elementwise.h"

namespace flash::autograd {
namespace {

void copy_vjp(BackwardCall& c) { c.give(0, c.grad()); }  // give() undoes broadcasting
void overwrite_vjp(BackwardCall& c) { c.give(0, zeros_like(c.grad())); }

// Inputs: the owner's old value, the value written. Words: the written view as a ViewMap.
void write_view_vjp(BackwardCall& c) {
  const ViewMap m = ViewMap::from_words(c.words());
  const Tensor& g = c.grad();
  if (c.needs(0)) {
    const Tensor ones = full(m.view.shape, 1, {.dtype = g.dtype(), .device = g.device()});
    c.give(0, where(ne(strided_put(ones, m), 0), 0.0, g));
  }
  if (c.needs(1)) c.give(1, strided_take(g, m));
}

const Rule kCopyInto{.name = "copy_", .vjp = copy_vjp};
const Rule kOverwrite{.name = "overwrite", .vjp = overwrite_vjp};
const Rule kWriteView{.name = "write_view", .vjp = write_view_vjp};

/// retain_grad() holds for what the tensor becomes.
void rebase(TensorImpl& t, Ref<TapeNode> node, std::uint32_t output) {
  AutogradMeta& m = meta_of(t);
  if (m.node && !m.node->is_leaf() && m.node->kept(m.output)) node->need_kept(output);
  m.node = std::move(node);
  m.output = output;
  ++m.generation;
}

void write_whole(Tensor& target, const Tensor& value, History v) {
  TensorImpl& t = *target.impl();
  if (!v.node) {
    Ref<TapeNode> node = TapeNode::make(kOverwrite, 1, 0, 0);
    connect(*node, 0, target, &target.shape(), 0);
    rebase(t, std::move(node), 0);
  } else if (value.impl()->refs.get() == 1 && !v.node->is_leaf() &&
             value.shape() == target.shape()) {
    rebase(t, Ref(v.node), v.output);  // the result of the operation, which nobody else holds
  } else {
    Ref<TapeNode> node = TapeNode::make(kCopyInto, 1, 0, value.dim());
    connect(*node, 0, value, &target.shape(), 0);
    rebase(t, std::move(node), 0);
  }
}

void write_view(Tensor& target, const Tensor& value, TensorImpl& owner) {
  const TensorImpl& t = *target.impl();
  const ViewMap map{t.cell->shape, Geometry::of(owner), Geometry::of(t)};
  const std::vector<std::int64_t> words = map.words();
  const int n = static_cast<int>(words.size());
  Ref<TapeNode> node = TapeNode::make(kWriteView, 2, 0, n + value.dim());
  std::copy(words.begin(), words.end(), node->words().begin());
  owner.retain();
  const Tensor base = Tensor::adopt(&owner);
  connect(*node, 0, base, &base.shape(), n);
  connect(*node, 1, value, nullptr, n);
  rebase(owner, std::move(node), 0);
}

}  // namespace

void check_writable(const Tensor& target, const char* op) {
  if (!tape_thread.enabled || !target.impl()->grad) return;
  const AutogradMeta& m = *target.impl()->grad;
  const AutogradMeta* owner = m.owner ? m.owner->grad.get() : nullptr;
  for (const AutogradMeta* at : {&m, owner}) {
    if (!at || !at->node || !at->node->is_leaf() || !at->node->active()) continue;
    throw AutogradError(
        std::string(op) + ": a " + (at == owner ? "view of a " : "") +
        "leaf that requires a gradient cannot be changed in place while the tape is "
        "on; do it in no_grad, or on a clone()");
  }
}

void record_inplace(Tensor& target, const Tensor& value) {
  if (!tape_thread.enabled || !is_floating(target.dtype())) return;
  check_writable(target, "in-place operation");
  const History v = history_of(value);
  if (!v.node && !history_of(target).node) return;
  const AutogradMeta& m = meta_of(*target.impl());
  if (m.owner) {
    const Ref<TensorImpl> owner = m.owner;
    write_view(target, value, *owner);
  } else {
    write_whole(target, value, v);
  }
}

}  // namespace flash::autograd
