// train/optim/sgd.cpp -- the update of stochastic gradient descent
#include "train/optim/sgd.h"

#include <cmath>

#include "core/ops/elementwise.h"

namespace flash::optim {
namespace {

std::vector<const char*> slots(const SgdOptions& o) {
  if (o.momentum == 0) return {};
  return {"momentum_buffer"};
}

}  // namespace

SGD::SGD(std::vector<Tensor> params, const SgdOptions& options)
    : SGD(std::vector<ParamGroup>{{.params = std::move(params)}}, options) {}

SGD::SGD(std::vector<ParamGroup> groups, const SgdOptions& options)
    : Optimizer("SGD", std::move(groups), options.lr, options.weight_decay, slots(options)),
      options_(options) {
  check_option(options.lr >= 0, "SGD", "lr", options.lr, "at least 0");
  check_option(options.momentum >= 0 && std::isfinite(options.momentum), "SGD", "momentum",
               options.momentum, "at least 0");
  check_option(std::isfinite(options.dampening), "SGD", "dampening", options.dampening, "finite");
  check_option(options.weight_decay >= 0, "SGD", "weight_decay", options.weight_decay,
               "at least 0");
  check_option(!options.nesterov || options.momentum > 0, "SGD", "momentum", options.momentum,
               "above 0 with nesterov");
  check_option(!options.nesterov || options.dampening == 0, "SGD", "dampening", options.dampening,
               "0 with nesterov");
}

void SGD::set_momentum(double momentum) {
  if (options_.momentum > 0) options_.momentum = momentum;
}

Tensor SGD::update(const Tensor& param, const Tensor& grad, ParamState& state,
                   const ParamGroup& group) {
  Tensor g = grad;
  if (group.weight_decay != 0) g = g + param * group.weight_decay;
  if (!state.slots.empty()) {
    // The buffer starts as zeros, so that b = momentum·0 + 1·g is PyTorch's first step.
    const double take = state.step == 1 ? 1.0 : 1.0 - options_.dampening;
    Tensor b = state.slots[0].value * options_.momentum + g * take;
    set(state.slots[0], b);
    g = options_.nesterov ? g + b * options_.momentum : b;
  }
  return param - g * group.lr;
}

std::map<std::string, double> SGD::numbers() const { return {{"momentum", options_.momentum}}; }

void SGD::set_numbers(const std::map<std::string, double>& numbers) {
  set_momentum(numbers.at("momentum"));
}

}  // namespace flash::optim
