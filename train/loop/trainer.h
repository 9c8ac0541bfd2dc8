// train/loop/trainer.h -- the training loop: epochs, validation, checkpoints, exact resume, Ctrl-C
//
//   train::Trainer trainer(model, opt, {.epochs = 5, .out = "run"});
//   trainer.set_schedule(schedule);
//   train::FitResult result = trainer.fit(loader, &test_loader);
//
// Batches go to the model's device: that of its first parameter.
//
// A run that was stopped anywhere and resumed gives the same bytes as one that was not: weights,
// optimizer, schedule, meters, the generator's state and the place in the data are all saved.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "../../core/callback.h"
#include "../../core/export.h"
#include "../../nn/module.h"
#include "../data/dataloader.h"
#include "../optim/optimizer.h"
#include "../optim/schedule.h"

namespace flash::train {

/// Loss and accuracy over a loader's examples.
struct Metrics {
  double loss = 0;
  std::optional<double> accuracy = {};  ///< none where targets are no classes
  std::int64_t examples = 0;
};

struct EpochResult {
  std::int64_t epoch = 0;  ///< from 1
  Metrics train = {};      ///< while training, with dropout on
  std::optional<Metrics> validation = {};
  double seconds = 0;
};

struct FitResult {
  std::vector<EpochResult> epochs = {};  ///< all of the run, those before a resume included
  std::int64_t steps = 0;                ///< optimizer steps of the run
  bool stopped = false;                  ///< before its last epoch was done
  int signal = 0;                        ///< SIGINT or SIGTERM if that stopped it
  std::string checkpoint = {};           ///< the last one written; empty without `out`
};

struct StepInfo {
  std::int64_t epoch = 0;  ///< from 1
  std::int64_t step = 0;   ///< optimizer steps so far
  Tensor loss = {};        ///< computed already: reading it is cheap
};

/// Called in between; any may be left out. on_step returns false to stop as Ctrl-C does.
struct Callbacks {
  Callback<bool(const StepInfo&)> on_step = {};
  Callback<void(const EpochResult&)> on_epoch = {};
  Callback<void(const std::string& path)> on_checkpoint = {};
};

struct TrainerOptions {
  std::int64_t epochs = 1;
  std::string out = {};               ///< folder for this run's checkpoints alone; empty: none
  std::int64_t checkpoint_every = 0;  ///< steps; at the end of each epoch in any case
  int keep = 3;                       ///< checkpoints to keep
  std::int64_t log_every = 100;       ///< steps from line to line in a pipe, at the most
  bool quiet = false;
  /// Saved with each checkpoint and compared at a resume: what must not change in between.
  std::map<std::string, std::string> config = {};
};

/// What a checkpoint says about itself.
struct CheckpointInfo {
  std::string path = {};
  std::int64_t epoch = 0;  ///< epochs begun, from 1
  std::int64_t step = 0;   ///< optimizer steps
  std::map<std::string, std::string> config = {};
};

/// The checkpoint that `path` names: one itself (or a file in it), or the newest whole one of a
/// run's folder. Nothing when there is no such folder or no checkpoint in it. Throws IoError when
/// there are some and none is whole, or the one that was named is not.
FLASH_API std::optional<CheckpointInfo> find_checkpoint(const std::string& path);

class FLASH_API Trainer {
 public:
  using Forward = Callback<Tensor(const Tensor& x)>;
  using Loss = Callback<Tensor(const Tensor& output, const Tensor& y)>;

  /// Model: a Module with `Tensor forward(const Tensor&)`. Model and optimizer must outlive the
  /// trainer. The loss is cross-entropy unless set_loss() was called.
  template <class Model>
  Trainer(Model& model, optim::Optimizer& optimizer, TrainerOptions options = {})
      : Trainer(
            static_cast<nn::Module&>(model), [&model](const Tensor& x) { return model.forward(x); },
            optimizer, std::move(options)) {}
  Trainer(nn::Module& model, Forward forward, optim::Optimizer& optimizer, TrainerOptions options);
  ~Trainer();
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  void set_loss(Loss loss);
  void set_callbacks(Callbacks callbacks);
  /// Stepped after every optimizer step; must outlive the trainer.
  void set_schedule(optim::LrScheduler& schedule);

  /// Trains until `epochs` are done. SIGINT or SIGTERM finish the step, save and return; a second
  /// one ends the process. Gradients are on meanwhile, also inside a NoGrad. Throws IoError when
  /// `out` cannot be made, is being trained into, or has checkpoints of another run.
  FitResult fit(data::DataLoader& loader, data::DataLoader* validation = nullptr);
  /// In evaluation mode, without the tape. The loader gives one epoch.
  Metrics validate(data::DataLoader& loader);
  /// Outputs for all examples of a loader, stacked.
  Tensor predict(data::DataLoader& loader);

  /// Takes everything over from a checkpoint (a path for find_checkpoint); the next fit() continues
  /// it. Throws IoError or ValueError when it is not whole or of another model, optimizer or
  /// config; nothing is changed then.
  void resume(const std::string& path);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace flash::train
