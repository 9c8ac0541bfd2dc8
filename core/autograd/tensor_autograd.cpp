// core/autograd/tensor_autograd.cpp -- the tape as tensors show it: requires_grad, backward, grad,
// hooks
#include <atomic>

#include "core/autograd/autograd.h"
#include "core/autograd/meta.h"
#include "core/autograd/roots.h"
#include "core/ops/create.h"

namespace flash {
namespace {

using namespace autograd;

TensorImpl& need(const Tensor& t, const char* op) {
  if (!t.defined()) throw ValueError(std::string(op) + ": the tensor is undefined");
  return *t.impl();
}

History need_history(const Tensor& t, const char* op) {
  need(t, op);
  const History h = history_of(t);
  if (!h.node)
    throw AutogradError(std::string(op) +
                        ": the tensor does not require a gradient; call set_requires_grad() on "
                        "the leaves it is computed from, and compute it where gradients are "
                        "recorded (no NoGrad alive, not inside no_grad())");
  return h;
}

}  // namespace

bool Tensor::requires_grad() const { return history_of(*this).node != nullptr; }

bool Tensor::is_leaf() const {
  const History h = history_of(*this);
  return !h.node || h.node->is_leaf();
}

std::string Tensor::grad_fn() const {
  const History h = history_of(*this);
  return h.node && !h.node->is_leaf() ? h.node->name() : "";
}

Tensor& Tensor::set_requires_grad(bool on) {
  TensorImpl& t = need(*this, "set_requires_grad");
  if (requires_grad() == on) return *this;
  if (on && !is_floating(dtype()))
    throw AutogradError("set_requires_grad: only floating tensors have gradients, this one is " +
                        std::string(name(dtype())) + "; convert it with to()");
  if (!is_leaf())
    throw AutogradError(
        "set_requires_grad: only leaves can be switched, this tensor is the result "
        "of " +
        grad_fn() + "; use detach() for a tensor outside of the tape");
  AutogradMeta& m = meta_of(t);
  if (!m.node) set_history(t, TapeNode::make_leaf(), 0);
  m.node->set_active(on);
  m.owner.reset();
  return *this;
}

Tensor Tensor::grad() const {
  if (!impl_ || !impl_->grad) return {};
  const History h = any_history_of(*impl_);
  const NodeExtra::Kept* k = h.node ? h.node->kept(h.output) : nullptr;
  return k ? k->grad : Tensor();
}

void Tensor::set_grad(const Tensor& g) {
  TensorImpl& t = need(*this, "set_grad");
  if (!g.defined()) return zero_grad();
  check_gradient(*this, g, "set_grad");
  if (!any_history_of(t).node) {
    set_history(t, TapeNode::make_leaf(), 0);
    t.grad->node->set_active(false);
  }
  const History h = any_history_of(t);
  h.node->need_kept(h.output).grad = g;
}

void Tensor::zero_grad() {
  TensorImpl& t = need(*this, "zero_grad");
  const History h = any_history_of(t);
  if (NodeExtra::Kept* k = h.node ? h.node->kept(h.output) : nullptr) k->grad = {};
}

void Tensor::backward() const { backward({}); }

void Tensor::backward(const Tensor& gradient, bool retain_graph, bool create_graph) const {
  need_history(*this, "backward");
  BackwardRoot root = make_root(*this, gradient, "backward");
  run_backward({&root, 1}, {}, retain_graph, create_graph);
}

void Tensor::retain_grad() {
  const History h = need_history(*this, "retain_grad");
  if (!h.node->is_leaf()) h.node->need_kept(h.output);
}

std::int64_t Tensor::register_hook(Callback<Tensor(const Tensor&)> hook) {
  const History h = need_history(*this, "register_hook");
  if (!hook) throw ValueError("register_hook: the function is empty");
  static std::atomic<std::int64_t> next{1};
  const std::int64_t id = next.fetch_add(1);
  h.node->need_extra().hooks.push_back({id, h.output, std::move(hook)});
  return id;
}

void Tensor::remove_hook(std::int64_t id) {
  const History h = any_history_of(need(*this, "remove_hook"));
  if (h.node && h.node->extra())
    std::erase_if(h.node->extra()->hooks, [&](const Hook& k) { return k.id == id; });
}

void set_data(Tensor& t, const Tensor& value) {
  TensorImpl& to = need(t, "set_data");
  const TensorImpl& from = need(value, "set_data");
  if (!t.is_leaf() || (to.grad && to.grad->owner))
    throw AutogradError("set_data: takes a leaf that is no view; this tensor is " +
                        (t.is_leaf() ? "a view" : "the result of " + t.grad_fn()));
  if (t.requires_grad() && !is_floating(value.dtype()))
    throw AutogradError("set_data: the tensor requires a gradient, which " +
                        std::string(name(value.dtype())) + " values cannot have");
  const Tensor g = t.grad();
  if (g.defined() &&
      (!(g.shape() == from.shape) || g.dtype() != from.dtype() || g.device() != from.device()))
    t.zero_grad();
  const bool other =
      !(to.shape == from.shape) || to.dtype() != from.dtype() || to.device() != from.device();
  if (AutogradMeta* m = to.grad.get(); other && m && m->node) {
    // Gradients of what was computed from the tensor it was have nowhere to go.
    Ref<autograd::TapeNode> leaf = autograd::TapeNode::make_leaf();
    leaf->set_active(m->node->active());
    NodeExtra& before = m->node->need_extra();
    before.replaced = true;
    if (!before.hooks.empty()) leaf->need_extra().hooks = std::move(before.hooks);
    m->node = std::move(leaf);
    ++m->generation;
  }
  to.shape = from.shape;
  to.strides = from.strides;
  to.offset = from.offset;
  to.cell = from.cell;
  to.view = from.view;
  to.dims = from.dims;
  to.whole = from.whole;
  to.node.clear();
}

namespace autograd {

void check_gradient(const Tensor& of, const Tensor& g, const char* op) {
  if (!(g.shape() == of.shape()))
    throw AutogradError(std::string(op) + ": a gradient of shape " + g.shape().str() +
                        " does not fit a tensor of shape " + of.shape().str());
  if (g.dtype() != of.dtype() || g.device() != of.device())
    throw AutogradError(std::string(op) + ": a gradient of " + std::string(name(g.dtype())) +
                        " on " + g.device().str() + " does not fit a tensor of " +
                        std::string(name(of.dtype())) + " on " + of.device().str());
}

BackwardRoot make_root(const Tensor& output, const Tensor& gradient, const char* op) {
  const History h = need_history(output, op);
  if (gradient.defined()) {
    check_gradient(output, gradient, op);
    return {Ref(h.node), h.output, gradient};
  }
  if (output.numel() != 1)
    throw AutogradError(
        std::string(op) + ": a tensor of shape " + output.shape().str() +
        " needs a gradient of its shape; only one-element tensors (a loss) have the "
        "gradient 1 by default. Reduce it with sum() or mean(), or pass a gradient");
  GradMode off(false);
  return {Ref(h.node), h.output, ones_like(output)};
}

}  // namespace autograd
}  // namespace flash
