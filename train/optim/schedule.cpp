// train/optim/schedule.cpp -- the formulas of the learning-rate schedules
#include "train/optim/schedule.h"

#include <cmath>
#include <numbers>
#include <string>

namespace flash::optim {

LrScheduler::LrScheduler(Optimizer& optimizer) : optimizer_(optimizer) {
  for (std::size_t g = 0; g < optimizer.group_count(); ++g) base_.push_back(optimizer.lr(g));
}

void LrScheduler::apply(std::int64_t step) {
  for (std::size_t g = 0; g < base_.size(); ++g) optimizer_.set_lr(lr_at(step, base_[g]), g);
}

void LrScheduler::step() {
  apply(steps_ + 1);
  ++steps_;
}

void LrScheduler::set_steps(std::int64_t steps) {
  if (steps < 0)
    throw ValueError("LrScheduler: " + std::to_string(steps) + " steps; it must be at least 0");
  apply(steps);
  steps_ = steps;
}

StepLR::StepLR(Optimizer& optimizer, const StepLROptions& options)
    : LrScheduler(optimizer), options_(options) {
  check_option(options.step_size > 0, "StepLR", "step_size", static_cast<double>(options.step_size),
               "above 0");
  check_option(options.gamma >= 0 && std::isfinite(options.gamma), "StepLR", "gamma", options.gamma,
               "at least 0");
  apply(0);
}

double StepLR::lr_at(std::int64_t step, double base) const {
  return base * std::pow(options_.gamma, static_cast<double>(step / options_.step_size));
}

CosineAnnealingLR::CosineAnnealingLR(Optimizer& optimizer, const CosineAnnealingLROptions& options)
    : LrScheduler(optimizer), options_(options) {
  check_option(options.t_max > 0, "CosineAnnealingLR", "t_max", static_cast<double>(options.t_max),
               "above 0");
  check_option(options.eta_min >= 0 && std::isfinite(options.eta_min), "CosineAnnealingLR",
               "eta_min", options.eta_min, "at least 0");
  apply(0);
}

double CosineAnnealingLR::lr_at(std::int64_t step, double base) const {
  const double turn = static_cast<double>(step) / static_cast<double>(options_.t_max);
  return options_.eta_min + (base - options_.eta_min) * (1 + std::cos(std::numbers::pi * turn)) / 2;
}

OneCycleLR::OneCycleLR(Optimizer& optimizer, const OneCycleLROptions& options)
    : LrScheduler(optimizer), options_(options) {
  const char* kind = "OneCycleLR";
  check_option(options.max_lr > 0 && std::isfinite(options.max_lr), kind, "max_lr", options.max_lr,
               "above 0");
  check_option(options.total_steps > 0, kind, "total_steps",
               static_cast<double>(options.total_steps), "above 0");
  check_option(options.pct_start >= 0 && options.pct_start <= 1, kind, "pct_start",
               options.pct_start, "in [0, 1]");
  check_option(options.div_factor > 0, kind, "div_factor", options.div_factor, "above 0");
  check_option(options.final_div_factor > 0, kind, "final_div_factor", options.final_div_factor,
               "above 0");
  check_option(options.base_momentum >= 0 && options.base_momentum < 1, kind, "base_momentum",
               options.base_momentum, "in [0, 1)");
  check_option(options.max_momentum >= 0 && options.max_momentum < 1, kind, "max_momentum",
               options.max_momentum, "in [0, 1)");
  apply(0);
}

double OneCycleLR::anneal(std::int64_t step, double start, double peak, double end) const {
  // PyTorch counts the last step of a phase, so that peak and end are both reached exactly.
  const double total = static_cast<double>(options_.total_steps);
  const double up = options_.pct_start * total - 1;
  const double now = static_cast<double>(step), last = total - 1;
  double part = 1, from = peak, to = end;
  if (now <= up) {
    part = up > 0 ? now / up : 1;
    from = start;
    to = peak;
  } else if (last > up) {
    part = (now - up) / (last - up);
  }
  return options_.cosine ? to + (from - to) / 2 * (1 + std::cos(std::numbers::pi * part))
                         : from + (to - from) * part;
}

double OneCycleLR::lr_at(std::int64_t step, double) const {
  const double initial = options_.max_lr / options_.div_factor;
  return anneal(step, initial, options_.max_lr, initial / options_.final_div_factor);
}

void OneCycleLR::apply(std::int64_t step) {
  if (step > options_.total_steps)
    throw ValueError("OneCycleLR: step " + std::to_string(step) + " of " +
                     std::to_string(options_.total_steps) + "; make it for more total_steps");
  // After the last optimizer step nothing is left to set; PyTorch's formula would overshoot there.
  if (step == options_.total_steps) --step;
  LrScheduler::apply(step);
  if (options_.cycle_momentum)
    optimizer().set_momentum(
        anneal(step, options_.max_momentum, options_.base_momentum, options_.max_momentum));
}

}  // namespace flash::optim
