// core/autograd/function.cpp -- no_grad, grad() and custom functions
#include "core/autograd/autograd.h"
#include "core/autograd/hooks.h"
#include "core/autograd/meta.h"
#include "core/autograd/roots.h"
#include "core/ops/create.h"

namespace flash {

NoGrad::NoGrad() : before_(autograd::tape_thread.enabled) { autograd::tape_thread.enabled = false; }
NoGrad::~NoGrad() { autograd::tape_thread.enabled = before_; }
EnableGrad::EnableGrad() : before_(autograd::tape_thread.enabled) {
  autograd::tape_thread.enabled = true;
}
EnableGrad::~EnableGrad() { autograd::tape_thread.enabled = before_; }
bool grad_enabled() { return autograd::tape_thread.enabled; }

std::vector<Tensor> grad(const std::vector<Tensor>& outputs, const std::vector<Tensor>& inputs,
                         const std::vector<Tensor>& grad_outputs, bool retain_graph,
                         bool create_graph, bool allow_unused) {
  using namespace autograd;
  if (outputs.empty() || inputs.empty())
    throw AutogradError("grad: outputs and inputs must not be empty");
  if (!grad_outputs.empty() && grad_outputs.size() != outputs.size())
    throw AutogradError("grad: " + std::to_string(grad_outputs.size()) +
                        " gradients are given for " + std::to_string(outputs.size()) + " outputs");
  std::vector<BackwardTarget> targets;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const History h = history_of(inputs[i]);
    if (!h.node)
      throw AutogradError("grad: input " + std::to_string(i) +
                          " does not require a gradient; call set_requires_grad() on it before the "
                          "outputs are computed");
    targets.push_back({h.node, h.output, {}});
  }
  std::vector<BackwardRoot> roots;
  for (std::size_t i = 0; i < outputs.size(); ++i)
    roots.push_back(
        make_root(outputs[i], grad_outputs.empty() ? Tensor() : grad_outputs[i], "grad"));
  run_backward(roots, targets, retain_graph, create_graph);
  std::vector<Tensor> result;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    Tensor& g = targets[i].grad;
    if (!g.defined() && !allow_unused)
      throw AutogradError("grad: the outputs do not depend on input " + std::to_string(i) +
                          "; pass allow_unused to get an undefined gradient for it");
    result.push_back(std::move(g));
  }
  return result;
}

// -- custom functions

struct FunctionAccess {
  static auto& saved(FunctionContext& c) { return c.saved_; }
};

void FunctionContext::save(std::vector<Tensor> tensors) {
  saved_.clear();
  for (const Tensor& t : tensors) saved_.push_back(std::make_shared<SavedTensor>(t));
}

std::vector<Tensor> FunctionContext::saved() const {
  autograd::TapeNode* node = autograd::tape_thread.running;
  std::vector<Tensor> out;
  for (const auto& s : saved_)
    out.push_back(s->unpack(node ? node->name() : "custom_function", node));
  return out;
}

namespace autograd {
namespace {

struct Running {
  explicit Running(TapeNode* node) : before(tape_thread.running) { tape_thread.running = node; }
  ~Running() { tape_thread.running = before; }
  TapeNode* before;
};

void custom_vjp(BackwardCall& c) {
  NodeExtra& e = *c.node().extra();
  std::vector<Tensor> grads(c.grads().begin(), c.grads().end());
  for (std::size_t i = 0; i < grads.size(); ++i) {
    const NodeExtra::OutputMeta& m = e.outputs[i];
    if (!grads[i].defined()) grads[i] = full(m.shape, 0, {.dtype = m.dtype, .device = m.device});
  }
  std::vector<Tensor> results;
  {
    Running running(&c.node());
    results = e.custom(grads);
  }
  if (results.size() != c.node().edges().size())
    throw AutogradError(e.name + ": backward returned " + std::to_string(results.size()) +
                        " gradients for " + std::to_string(c.node().edges().size()) + " inputs");
  for (std::size_t i = 0; i < results.size(); ++i) {
    const int k = static_cast<int>(i);
    if (!c.needs(k) || !results[i].defined()) continue;
    const Shape want = c.input_shape(k);
    if (!(results[i].shape() == want) || results[i].dtype() != c.input_dtype(k))
      throw AutogradError(e.name + ": backward returned a gradient of shape " +
                          results[i].shape().str() + " and dtype " +
                          std::string(name(results[i].dtype())) + " for input " +
                          std::to_string(i) + ", which has shape " + want.str() + " and dtype " +
                          std::string(name(c.input_dtype(k))));
    c.give(k, results[i]);
  }
}
const Rule kCustom{.name = "custom_function", .vjp = custom_vjp};

}  // namespace
}  // namespace autograd

std::vector<Tensor> custom_function(
    const std::string& name, const std::vector<Tensor>& inputs,
    FunctionRef<std::vector<Tensor>(FunctionContext&, const std::vector<Tensor>&)> forward,
    Callback<std::vector<Tensor>(FunctionContext&, const std::vector<Tensor>&)> backward) {
  using namespace autograd;
  const auto context = std::make_shared<FunctionContext>();
  bool on = false;
  int words = 0;
  for (const Tensor& t : inputs) {
    on |= tracks(t);
    if (t.defined()) words += t.dim();
  }
  std::vector<Tensor> outputs;
  {
    GradMode off(false);
    outputs = forward(*context, inputs);
  }
  if (!on) return outputs;
  Ref<TapeNode> node = TapeNode::make(kCustom, static_cast<int>(inputs.size()), 0, words,
                                      static_cast<int>(outputs.size()));
  int word = 0;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    word += connect(*node, static_cast<int>(i), inputs[i], nullptr, word);
  NodeExtra& extra = node->need_extra();
  extra.name = name;
  extra.custom = [context, backward = std::move(backward)](const std::vector<Tensor>& grads) {
    return backward(*context, grads);
  };
  auto& saved = FunctionAccess::saved(*context);
  if (!saved.empty()) extra.free_saved = [context] { FunctionAccess::saved(*context).clear(); };
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    Tensor& out = outputs[i];
    if (!out.defined()) throw AutogradError(name + ": forward returned an undefined tensor");
    extra.outputs.push_back({out.shape(), out.dtype(), out.device()});
    bool given = false;
    for (const Tensor& in : inputs) given |= in.is_same(out);
    if (given)  // an input that is handed through keeps its own history
      out = Tensor::adopt(alias(*out.impl()));
    else
      for (const auto& s : saved)
        if (s->refers_to(out)) s->make_output(static_cast<std::uint32_t>(i));
    if (is_floating(out.dtype())) set_history(*out.impl(), node, static_cast<std::uint32_t>(i));
  }
  return outputs;
}

}  // namespace flash
