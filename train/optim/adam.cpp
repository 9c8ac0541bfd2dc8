// train/optim/adam.cpp -- the update of Adam and AdamW, one element-wise kernel a parameter
#include "train/optim/adam.h"

#include <cmath>

#include "core/ops/elementwise.h"

namespace flash::optim {
namespace {

AdamOptions as_adam(const AdamWOptions& o) {
  return {
      .lr = o.lr, .beta1 = o.beta1, .beta2 = o.beta2, .eps = o.eps, .weight_decay = o.weight_decay};
}

}  // namespace

Adam::Adam(const char* kind, std::vector<ParamGroup> groups, const AdamOptions& options,
           bool decoupled)
    : Optimizer(kind, std::move(groups), options.lr, options.weight_decay,
                {"exp_avg", "exp_avg_sq"}),
      options_(options),
      decoupled_(decoupled) {
  check_option(options.lr >= 0, kind, "lr", options.lr, "at least 0");
  check_option(options.beta1 >= 0 && options.beta1 < 1, kind, "beta1", options.beta1, "in [0, 1)");
  check_option(options.beta2 >= 0 && options.beta2 < 1, kind, "beta2", options.beta2, "in [0, 1)");
  check_option(options.eps >= 0 && std::isfinite(options.eps), kind, "eps", options.eps,
               "at least 0");
  check_option(options.weight_decay >= 0, kind, "weight_decay", options.weight_decay, "at least 0");
}

Adam::Adam(std::vector<Tensor> params, const AdamOptions& options)
    : Adam("Adam", {{.params = std::move(params)}}, options, false) {}
Adam::Adam(std::vector<ParamGroup> groups, const AdamOptions& options)
    : Adam("Adam", std::move(groups), options, false) {}
AdamW::AdamW(std::vector<Tensor> params, const AdamWOptions& options)
    : Adam("AdamW", {{.params = std::move(params)}}, as_adam(options), true) {}
AdamW::AdamW(std::vector<ParamGroup> groups, const AdamWOptions& options)
    : Adam("AdamW", std::move(groups), as_adam(options), true) {}

void Adam::set_momentum(double beta1) {
  check_option(beta1 >= 0 && beta1 < 1, "Adam", "beta1", beta1, "in [0, 1)");
  options_.beta1 = beta1;
}

Tensor Adam::update(const Tensor& param, const Tensor& grad, ParamState& state,
                    const ParamGroup& group) {
  const double t = static_cast<double>(state.step);
  const double correction1 = 1 - std::pow(options_.beta1, t);
  const double root_correction2 = std::sqrt(1 - std::pow(options_.beta2, t));
  Tensor p = param, g = grad;
  if (decoupled_)
    p = p * (1 - group.lr * group.weight_decay);
  else if (group.weight_decay != 0)
    g = g + p * group.weight_decay;
  Slot &exp_avg = state.slots[0], &exp_avg_sq = state.slots[1];
  const Tensor m = exp_avg.value + (g - exp_avg.value) * (1 - options_.beta1);
  const Tensor v = exp_avg_sq.value * options_.beta2 + g * (1 - options_.beta2) * g;
  set(exp_avg, m);
  set(exp_avg_sq, v);
  const Tensor denominator = sqrt(v) / root_correction2 + options_.eps;
  return p + m * (-group.lr / correction1) / denominator;
}

std::map<std::string, double> Adam::numbers() const { return {{"beta1", options_.beta1}}; }

void Adam::set_numbers(const std::map<std::string, double>& numbers) {
  set_momentum(numbers.at("beta1"));
}

}  // namespace flash::optim
