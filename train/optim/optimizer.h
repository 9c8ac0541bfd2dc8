// train/optim/optimizer.h -- what all optimizers share: parameter groups, steps, and their saved
// state
//
//   optim::AdamW opt(model.parameters(), {.lr = 1e-3});
//   opt.zero_grad();
//   loss.backward();
//   opt.step();  // updates every parameter that has a gradient, and computes everything pending
//
// Updates are PyTorch's single-tensor formulas, written with public element-wise operations: the
// engine fuses one parameter's update into one kernel and runs all of them as one launch. Rates and
// bias corrections are parameters of that kernel, so a new one compiles nothing. Parameters in f16
// and bf16 are updated in f32, with f32 moments, and rounded once.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "../../core/export.h"
#include "../../core/tensor.h"
#include "../change_count.h"

namespace flash::optim {

/// Parameters that share a learning rate and a weight decay.
struct ParamGroup {
  std::vector<Tensor> params = {};
  double lr = -1;            ///< negative: the optimizer's own
  double weight_decay = -1;  ///< negative: the optimizer's own
};

/// All an optimizer knows beside the parameters: enough to continue exactly.
struct OptimizerState {
  std::string kind = {};                       ///< "AdamW"
  std::map<std::string, Tensor> tensors = {};  ///< "3.exp_avg": of parameter 3
  std::map<std::string, double> numbers = {};  ///< "3.step", "group.0.lr"
};

/// Base of the optimizers. Not thread-safe; one thread steps.
class FLASH_API Optimizer {
 public:
  virtual ~Optimizer();
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  /// Forgets all gradients (sets them to none).
  void zero_grad();
  /// One update of every parameter that has a gradient; then computes everything pending, so that
  /// traces of steady steps are alike. What is kept follows a parameter to another device or dtype
  /// (nn::Module::to). Throws ShapeError or DeviceError, and changes nothing, if a gradient has not
  /// its parameter's shape or device.
  void step();

  /// Of group `group`; throws IndexError if there is no such group, ValueError for a negative or
  /// not finite rate.
  double lr(std::size_t group = 0) const;
  void set_lr(double lr);  ///< of all groups
  void set_lr(double lr, std::size_t group);
  std::size_t group_count() const { return groups_.size(); }
  const std::vector<ParamGroup>& groups() const { return groups_; }

  /// Momentum or β₁, which one-cycle schedules move. 0 and ignored where the update has none.
  virtual double momentum() const { return 0; }
  virtual void set_momentum(double) {}

  /// Copies of nothing: the tensors alias the live state until the next step.
  OptimizerState state_dict() const;
  /// Takes a state over. Throws ValueError, naming what differs, when it is of another kind of
  /// optimizer or of other parameters; nothing is changed then.
  void load_state_dict(const OptimizerState& state);
  /// Throws as load_state_dict() would, and changes nothing.
  void check_state_dict(const OptimizerState& state) const;

 protected:
  /// A state tensor of one parameter.
  struct Slot {
    const char* name;  ///< "exp_avg"
    Tensor value;      ///< f32 for half parameters, else the parameter's dtype
  };
  struct ParamState {
    std::int64_t step = 0;  ///< the number of the update that is being made
    std::vector<Slot> slots;
    ChangeCount done;  ///< beside the first slot
    Tensor counted() const { return slots.empty() ? Tensor() : slots[0].value; }
    std::int64_t steps() const { return done.value(counted()); }
  };

  /// `slots`: the names of the state tensors each parameter has. They start as zeros, and are
  /// computed here together with the parameters' own initial values, so that the first step is like
  /// all others.
  Optimizer(const char* kind, std::vector<ParamGroup> groups, double lr, double weight_decay,
            std::vector<const char*> slots);

  /// The new value of `param` (in the compute dtype, as `grad` is); writes the new slots by set().
  virtual Tensor update(const Tensor& param, const Tensor& grad, ParamState& state,
                        const ParamGroup& group) = 0;
  static void set(Slot& slot, const Tensor& value) { slot.value.copy_(value); }
  /// Numbers beside learning rates that a schedule may change.
  virtual std::map<std::string, double> numbers() const;
  virtual void set_numbers(const std::map<std::string, double>&) {}

 private:
  void check_gradients() const;
  static void follow(const Tensor& param, ParamState& state);

  std::vector<ParamGroup> groups_;
  std::vector<std::vector<ParamState>> states_;  // [group][parameter]
  const char* kind_;
};

/// Checks an option: throws ValueError "AdamW: lr is -1; it must be …".
void check_option(bool ok, const char* kind, const char* option, double value, const char* wanted);

}  // namespace flash::optim
