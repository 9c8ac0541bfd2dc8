// train/optim/schedule.h -- learning rates over time: step, cosine and one-cycle, as PyTorch's
//
//   optim::OneCycleLR schedule(opt, {.max_lr = 3e-3, .total_steps = steps});
//   … opt.step(); schedule.step();
#pragma once

#include <cstdint>
#include <vector>

#include "../../core/export.h"
#include "optimizer.h"

namespace flash::optim {

/// Sets the learning rates of an optimizer from the number of steps taken. The optimizer must
/// outlive it.
class FLASH_API LrScheduler {
 public:
  virtual ~LrScheduler() = default;
  LrScheduler(const LrScheduler&) = delete;
  LrScheduler& operator=(const LrScheduler&) = delete;

  /// Call after the optimizer's step (or after each epoch: the unit is yours).
  void step();
  std::int64_t steps() const { return steps_; }
  /// Continues at `steps` taken; the rates are set accordingly. Throws ValueError if negative.
  void set_steps(std::int64_t steps);

 protected:
  explicit LrScheduler(Optimizer& optimizer);
  /// The rate of a group whose rate was `base` when the schedule was made.
  virtual double lr_at(std::int64_t step, double base) const = 0;
  virtual void apply(std::int64_t step);
  Optimizer& optimizer() { return optimizer_; }

 private:
  Optimizer& optimizer_;
  std::vector<double> base_;
  std::int64_t steps_ = 0;
};

struct StepLROptions {
  std::int64_t step_size = 1;
  double gamma = 0.1;
};
/// lr = base · gamma^⌊step / step_size⌋.
class FLASH_API StepLR final : public LrScheduler {
 public:
  StepLR(Optimizer& optimizer, const StepLROptions& options);

 private:
  double lr_at(std::int64_t step, double base) const override;
  StepLROptions options_;
};

struct CosineAnnealingLROptions {
  std::int64_t t_max = 1;
  double eta_min = 0;
};
/// lr = eta_min + (base - eta_min)·(1 + cos(π·step / t_max)) / 2; it rises again after t_max.
class FLASH_API CosineAnnealingLR final : public LrScheduler {
 public:
  CosineAnnealingLR(Optimizer& optimizer, const CosineAnnealingLROptions& options);

 private:
  double lr_at(std::int64_t step, double base) const override;
  CosineAnnealingLROptions options_;
};

struct OneCycleLROptions {
  double max_lr = 1e-3;
  std::int64_t total_steps = 1;
  double pct_start = 0.3;  ///< part of the steps in which the rate rises
  bool cosine = true;      ///< false: linear
  bool cycle_momentum = true;
  double base_momentum = 0.85, max_momentum = 0.95;
  double div_factor = 25;         ///< initial rate = max_lr / div_factor
  double final_div_factor = 1e4;  ///< last rate = initial / final_div_factor
};
/// Up from the initial rate to max_lr, then down to the last one, while momentum (β₁ of Adam) goes
/// the other way. L. Smith, N. Topin, "Super-Convergence", 2017. A step past total_steps throws
/// ValueError.
class FLASH_API OneCycleLR final : public LrScheduler {
 public:
  OneCycleLR(Optimizer& optimizer, const OneCycleLROptions& options);

 private:
  double lr_at(std::int64_t step, double base) const override;
  void apply(std::int64_t step) override;
  double anneal(std::int64_t step, double start, double peak, double end) const;
  OneCycleLROptions options_;
};

}  // namespace flash::optim
