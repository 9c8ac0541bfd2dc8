// train/optim/optimizer.cpp -- stepping over parameter groups, and saving what an optimizer knows
#include "train/optim/optimizer.h"

#include <cmath>
#include <sstream>

#include "core/autograd/autograd.h"
#include "core/ops/create.h"
#include "core/ops/elementwise.h"
#include "core/stats.h"

namespace flash::optim {
namespace {

/// Up to here doubles, in which a state keeps its numbers, count whole steps.
constexpr double kMostSteps = 0x1p53;

DType compute_dtype(DType t) { return is_half(t) ? DType::kF32 : t; }

/// A state's tensor where and as its parameter is, which Module::to() may have moved.
Tensor followed(const Tensor& value, const Tensor& param) {
  return value.to(param.device()).to(compute_dtype(param.dtype()));
}

Tensor in(const Tensor& t, DType dtype) { return t.dtype() == dtype ? t : cast(t, dtype); }

}  // namespace

void check_option(bool ok, const char* kind, const char* option, double value, const char* wanted) {
  if (ok) return;
  std::ostringstream text;
  text << kind << ": " << option << " is " << value << "; it must be " << wanted;
  throw ValueError(text.str());
}

Optimizer::Optimizer(const char* kind, std::vector<ParamGroup> groups, double lr,
                     double weight_decay, std::vector<const char*> slots)
    : groups_(std::move(groups)), kind_(kind) {
  NoGrad guard;
  std::vector<const TensorImpl*> seen;
  std::size_t count = 0;
  for (ParamGroup& group : groups_) {
    if (group.lr < 0) group.lr = lr;
    if (group.weight_decay < 0) group.weight_decay = weight_decay;
    check_option(std::isfinite(group.lr) && group.lr >= 0, kind, "lr", group.lr,
                 "finite and at least 0");
    check_option(std::isfinite(group.weight_decay) && group.weight_decay >= 0, kind, "weight_decay",
                 group.weight_decay, "finite and at least 0");
    auto& states = states_.emplace_back();
    for (const Tensor& p : group.params) {
      const std::string which = std::string(kind) + ": parameter " + std::to_string(count++);
      if (!p.defined()) throw ValueError(which + " is undefined; pass tensors that exist");
      if (!is_floating(p.dtype()))
        throw DTypeError(which + " has dtype " + std::string(name(p.dtype())) +
                         "; only floating parameters can be trained");
      if (!p.is_leaf())
        throw ValueError(which + " is the result of an operation, not a leaf: a step would not " +
                         "change what it is computed from; pass the tensors that it was made of");
      for (const TensorImpl* other : seen)
        if (other == p.impl()) throw ValueError(which + " was given twice; pass each tensor once");
      seen.push_back(p.impl());
      ParamState state;
      for (const char* slot : slots)
        state.slots.push_back(
            {slot, full(p.shape(), 0.0,
                        TensorOptions{.dtype = compute_dtype(p.dtype()), .device = p.device()})});
      states.push_back(std::move(state));
    }
  }
  if (seen.empty())
    throw ValueError(std::string(kind) + ": no parameters; pass model.parameters()");
  end_step();
}

Optimizer::~Optimizer() = default;

std::map<std::string, double> Optimizer::numbers() const { return {}; }

void Optimizer::zero_grad() {
  for (ParamGroup& group : groups_)
    for (Tensor& p : group.params) p.zero_grad();
}

void Optimizer::step() {
  check_gradients();
  {
    NoGrad guard;
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      for (std::size_t i = 0; i < groups_[g].params.size(); ++i) {
        Tensor& p = groups_[g].params[i];
        const Tensor grad = p.grad();
        if (!grad.defined()) continue;
        const DType dtype = compute_dtype(p.dtype());
        ParamState& state = states_[g][i];
        follow(p, state);
        state.step = state.steps() + 1;
        p.copy_(update(in(p.detach(), dtype), in(grad.detach(), dtype), state, groups_[g]));
        state.done.add(state.counted());
      }
    }
  }
  end_step();
}

// Of all before any parameter changes: half a step would be nobody's.
void Optimizer::check_gradients() const {
  std::size_t index = 0;
  for (const ParamGroup& group : groups_)
    for (const Tensor& p : group.params) {
      const std::size_t i = index++;
      const Tensor grad = p.grad();
      if (!grad.defined()) continue;
      const auto text = [&](const char* what, const std::string& its, const std::string& own) {
        return std::string(kind_) + ": the gradient of parameter " + std::to_string(i) + what +
               its + ", the parameter " + own;
      };
      if (!(grad.shape() == p.shape()))
        throw ShapeError(text(" has shape ", grad.shape().str(), p.shape().str()));
      if (grad.device() != p.device())
        throw DeviceError(text(" is on ", grad.device().str(), "on " + p.device().str()));
    }
}

void Optimizer::follow(const Tensor& param, ParamState& state) {
  const std::int64_t steps = state.steps();
  bool moved = false;
  for (Slot& slot : state.slots) {
    const Tensor value = followed(slot.value, param);
    moved = moved || !value.is_same(slot.value);
    slot.value = value;
  }
  if (moved) state.done.set(state.counted(), steps);
}

double Optimizer::lr(std::size_t group) const {
  if (group >= groups_.size())
    throw IndexError(std::string(kind_) + ": there is no parameter group " + std::to_string(group) +
                     "; there are " + std::to_string(groups_.size()));
  return groups_[group].lr;
}

void Optimizer::set_lr(double lr) {
  for (std::size_t g = 0; g < groups_.size(); ++g) set_lr(lr, g);
}

void Optimizer::set_lr(double lr, std::size_t group) {
  this->lr(group);  // checks the index
  check_option(std::isfinite(lr) && lr >= 0, kind_, "lr", lr, "finite and at least 0");
  groups_[group].lr = lr;
}

OptimizerState Optimizer::state_dict() const {
  OptimizerState out;
  out.kind = kind_;
  out.numbers = numbers();
  std::size_t index = 0;
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    const std::string group = "group." + std::to_string(g);
    out.numbers[group + ".lr"] = groups_[g].lr;
    out.numbers[group + ".weight_decay"] = groups_[g].weight_decay;
    for (std::size_t i = 0; i < states_[g].size(); ++i) {
      const ParamState& state = states_[g][i];
      const std::string prefix = std::to_string(index++) + ".";
      out.numbers[prefix + "step"] = static_cast<double>(state.steps());
      for (const Slot& slot : state.slots)
        out.tensors[prefix + slot.name] = followed(slot.value, groups_[g].params[i]);
    }
  }
  return out;
}

void Optimizer::check_state_dict(const OptimizerState& state) const {
  const OptimizerState own = state_dict();
  const std::string op = std::string(kind_) + "::load_state_dict: ";
  if (state.kind != own.kind)
    throw ValueError(op + "the state is of " + state.kind + "; make that optimizer to continue it");
  for (const auto& [key, value] : own.tensors) {
    const auto found = state.tensors.find(key);
    if (found == state.tensors.end())
      throw ValueError(op + "the state has no tensor '" + key + "'; it is of other parameters");
    if (!(found->second.shape() == value.shape()) || found->second.dtype() != value.dtype())
      throw ValueError(op + "'" + key + "' is " + std::string(name(found->second.dtype())) +
                       found->second.shape().str() + " in the state, here it is " +
                       std::string(name(value.dtype())) + value.shape().str());
  }
  for (const auto& [key, value] : own.numbers) {
    const auto found = state.numbers.find(key);
    if (found == state.numbers.end())
      throw ValueError(op + "the state has no number '" + key + "'; it is of other parameters");
    if (!std::isfinite(found->second) || found->second < 0)
      throw ValueError(op + "'" + key + "' is " + std::to_string(found->second) +
                       " in the state; it must be finite and at least 0");
    if (key.ends_with(".step") && found->second > kMostSteps)
      throw ValueError(op + "'" + key + "' is " + std::to_string(found->second) +
                       " in the state; no run takes as many steps");
  }
  if (state.tensors.size() != own.tensors.size() || state.numbers.size() != own.numbers.size())
    throw ValueError(op + "the state is of " + std::to_string(state.tensors.size()) +
                     " tensors, here there are " + std::to_string(own.tensors.size()));
}

void Optimizer::load_state_dict(const OptimizerState& state) {
  check_state_dict(state);
  NoGrad guard;
  set_numbers(state.numbers);
  std::size_t index = 0;
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    const std::string group = "group." + std::to_string(g);
    groups_[g].lr = state.numbers.at(group + ".lr");
    groups_[g].weight_decay = state.numbers.at(group + ".weight_decay");
    for (std::size_t i = 0; i < states_[g].size(); ++i) {
      ParamState& s = states_[g][i];
      follow(groups_[g].params[i], s);
      const std::string prefix = std::to_string(index++) + ".";
      for (Slot& slot : s.slots) set(slot, state.tensors.at(prefix + slot.name));
      s.done.set(s.counted(), static_cast<std::int64_t>(state.numbers.at(prefix + "step")));
    }
  }
  end_step();
}

}  // namespace flash::optim
