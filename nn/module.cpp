// nn/module.cpp -- walking a module's members: parameters, state, conversion
#include "nn/module.h"

#include <algorithm>
#include <unordered_set>

#include "core/autograd/autograd.h"

namespace flash::nn {

Parameter::Parameter(const Tensor& t) : Tensor(t) {
  if (!defined()) return;
  if (!is_leaf()) static_cast<Tensor&>(*this) = detach();
  set_requires_grad();
}

MemberVisitor::~MemberVisitor() = default;
Module::~Module() = default;

namespace detail {

std::string next_name(std::string_view& names) {
  const std::size_t comma = std::min(names.find(','), names.size());
  std::string_view name = names.substr(0, comma);
  names.remove_prefix(std::min(comma + 1, names.size()));
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\n'; };
  while (!name.empty() && blank(name.front())) name.remove_prefix(1);
  while (!name.empty() && blank(name.back())) name.remove_suffix(1);
  return std::string(name);
}

}  // namespace detail

namespace {

/// Calls `parameter(full name, p)`, `buffer(…)` and `module(…)` for a module and all within.
template <class P, class B, class M>
class Walk final : public MemberVisitor {
 public:
  Walk(P p, B b, M m) : parameter_(p), buffer_(b), module_(m) {}
  void parameter(const std::string& name, Parameter& p) override {
    if (p.defined()) parameter_(prefix_ + name, p);
  }
  void buffer(const std::string& name, Buffer& b) override {
    if (b.defined()) buffer_(prefix_ + name, b);
  }
  void module(const std::string& name, Module& m) override {
    module_(m);
    const std::size_t length = prefix_.size();
    prefix_ += name + ".";
    m.visit_members(*this);
    prefix_.resize(length);
  }

 private:
  P parameter_;
  B buffer_;
  M module_;
  std::string prefix_;
};

constexpr auto kNothing = [](const std::string&, Tensor&) {};
constexpr auto kNoModule = [](Module&) {};

// The members of a module are handles; reading them through a const module changes nothing in it.
template <class P, class B, class M>
void walk(const Module& m, P p, B b, M on_module) {
  Walk<P, B, M> w(p, b, on_module);
  const_cast<Module&>(m).visit_members(w);
}

/// The gradient goes along.
template <class To>
void convert(Tensor& t, To to) {
  const Tensor value = t.to(to);
  if (value.is_same(t)) return;
  const Tensor grad = t.grad().defined() ? t.grad().to(to) : Tensor();
  set_data(t, value);
  if (grad.defined()) t.set_grad(grad);
}

}  // namespace

NamedTensors Module::named_parameters() const {
  NamedTensors all;
  std::unordered_set<TensorImpl*> seen;
  walk(
      *this,
      [&](const std::string& name, Tensor& t) {
        if (seen.insert(t.impl()).second) all.emplace_back(name, t);
      },
      kNothing, kNoModule);
  return all;
}

NamedTensors Module::named_buffers() const {
  NamedTensors all;
  walk(
      *this, kNothing, [&](const std::string& name, Tensor& t) { all.emplace_back(name, t); },
      kNoModule);
  return all;
}

std::vector<Tensor> Module::parameters() const {
  std::vector<Tensor> all;
  for (auto& [name, t] : named_parameters()) all.push_back(t);
  return all;
}

std::int64_t Module::num_parameters() const {
  std::int64_t n = 0;
  for (const auto& [name, t] : named_parameters()) n += t.numel();
  return n;
}

StateDict Module::state_dict() const {
  StateDict state;
  const auto put = [&](const std::string& name, Tensor& t) { state.emplace(name, t.detach()); };
  walk(*this, put, put, kNoModule);
  return state;
}

void Module::load_state_dict(const StateDict& state, bool strict) {
  const StateDict own = state_dict();
  std::string missing, unknown, shapes;
  const auto list = [](std::string& to, const std::string& name) {
    to += (to.empty() ? "" : ", ") + name;
  };
  for (const auto& [name, t] : own) {
    const auto found = state.find(name);
    if (found == state.end())
      list(missing, name);
    else if (!found->second.defined())
      list(shapes, name + " (undefined)");
    else if (!(found->second.shape() == t.shape()))
      list(shapes, name + " (" + found->second.shape().str() + ", wanted " + t.shape().str() + ")");
  }
  for (const auto& [name, t] : state)
    if (!own.contains(name)) list(unknown, name);
  if (!strict) missing = unknown = "";
  if (!missing.empty() || !unknown.empty() || !shapes.empty()) {
    std::string text = "load_state_dict: the state does not fit " + type_name();
    if (!missing.empty()) text += "; missing: " + missing;
    if (!unknown.empty()) text += "; not known: " + unknown;
    if (!shapes.empty()) text += "; other shapes: " + shapes;
    throw ValueError(text);
  }
  NoGrad guard;
  for (const auto& [name, t] : own) {
    const auto found = state.find(name);
    Tensor to = t;
    if (found != state.end()) to.copy_(found->second.to(t.device()));
  }
}

void Module::train(bool on) {
  training_ = on;
  walk(*this, kNothing, kNothing, [&](Module& m) { m.training_ = on; });
}

void Module::to(DType dtype) {
  if (!is_floating(dtype))
    throw DTypeError("Module::to: parameters are converted to floating dtypes, not " +
                     std::string(name(dtype)));
  NoGrad guard;
  const auto move = [&](const std::string&, Tensor& t) {
    if (is_floating(t.dtype())) convert(t, dtype);
  };
  walk(*this, move, move, kNoModule);
}

void Module::to(Device device) {
  NoGrad guard;
  const auto move = [&](const std::string&, Tensor& t) { convert(t, device); };
  walk(*this, move, move, kNoModule);
}

void Module::zero_grad() {
  walk(
      *this, [](const std::string&, Tensor& t) { t.zero_grad(); }, kNothing, kNoModule);
}

}  // namespace flash::nn
