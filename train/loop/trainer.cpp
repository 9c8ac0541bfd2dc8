// train/loop/trainer.cpp -- the loop itself, and what goes into a checkpoint
#include "train/loop/trainer.h"

#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>

#include "core/autograd/autograd.h"
#include "core/io/tensor_io.h"
#include "core/log.h"
#include "core/ops/linalg.h"
#include "core/ops/shape_ops.h"
#include "core/stats.h"
#include "train/io/checkpoint.h"
#include "train/loop/checkpoint_store.h"
#include "train/loop/interrupt.h"
#include "train/loop/progress.h"
#include "train/loop/run_folder.h"
#include "train/loop/run_state.h"
#include "train/metrics/meters.h"

namespace flash::train {
namespace fs = std::filesystem;
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

constexpr const char* kOptimizer = "optimizer.";
constexpr const char* kLossSum = "meter.loss";
constexpr const char* kCorrect = "meter.correct";

/// Loss and, for classes, accuracy.
struct Meters {
  metrics::MeanMeter loss;
  metrics::AccuracyMeter accuracy;

  void update(const Tensor& loss_value, const Tensor& output, const Tensor& y) {
    loss.update(loss_value, y.dim() > 0 ? y.size(0) : 1);
    if (output.dim() == 2 && y.dim() == 1 && is_integral(y.dtype())) accuracy.update(output, y);
  }
  Metrics read() const {
    Metrics m{loss.value(), {}, loss.count()};
    if (accuracy.count() > 0) m.accuracy = accuracy.value();
    return m;
  }
  void reset() { *this = {}; }
};

/// The model goes back to the mode that it was in, whatever happens.
struct EvaluationMode {
  explicit EvaluationMode(nn::Module& model) : model(model), training(model.training()) {
    model.eval();
  }
  ~EvaluationMode() { model.train(training); }
  nn::Module& model;
  bool training;
};

/// A part of a batch, which may be undefined.
Tensor on(Device d, const Tensor& t) { return t.defined() ? t.to(d) : t; }

std::string line_of(const EpochResult& r, std::int64_t epochs) {
  char text[160];
  std::string out = "epoch " + std::to_string(r.epoch) + "/" + std::to_string(epochs);
  const auto add = [&](const char* what, const Metrics& m) {
    std::snprintf(text, sizeof text, "  %sloss %.4f", what, m.loss);
    out += text;
    if (!m.accuracy) return;
    std::snprintf(text, sizeof text, "  %saccuracy %.2f %%", what, *m.accuracy * 100);
    out += text;
  };
  add("", r.train);
  if (r.validation) add("validation ", *r.validation);
  std::snprintf(text, sizeof text, "  %.1f s", r.seconds);
  return out + text;
}

}  // namespace

struct Trainer::Impl {
  nn::Module& model;
  Forward forward;
  optim::Optimizer& optimizer;
  TrainerOptions options;
  Loss loss = [](const Tensor& output, const Tensor& y) { return cross_entropy(output, y); };
  Callbacks callbacks;
  optim::LrScheduler* schedule = nullptr;

  RunState run;
  Meters meters;
  bool resumed = false;
  bool stop = false;  // a callback wishes it
  std::string last_checkpoint;
  Progress progress;

  Impl(nn::Module& m, Forward f, optim::Optimizer& o, TrainerOptions t)
      : model(m),
        forward(std::move(f)),
        optimizer(o),
        options(std::move(t)),
        progress(options.quiet, options.log_every) {}

  Device device() const;
  void step(const Tensor& x, const Tensor& y);
  bool train_epoch(data::DataLoader& loader);
  void finish_epoch(data::DataLoader* validation);
  void save();
  Metrics evaluate(data::DataLoader& loader);
};

Trainer::Trainer(nn::Module& model, Forward forward, optim::Optimizer& optimizer,
                 TrainerOptions options)
    : impl_(std::make_unique<Impl>(model, std::move(forward), optimizer, std::move(options))) {
  const TrainerOptions& o = impl_->options;
  if (o.epochs < 0)
    throw ValueError("Trainer: epochs is " + std::to_string(o.epochs) + "; at least 0");
  if (o.keep < 1) throw ValueError("Trainer: keep is " + std::to_string(o.keep) + "; at least 1");
  if (o.checkpoint_every < 0 || o.log_every < 0)
    throw ValueError("Trainer: checkpoint_every and log_every are steps; they must be at least 0");
}

Trainer::~Trainer() = default;
void Trainer::set_loss(Loss loss) { impl_->loss = std::move(loss); }
void Trainer::set_callbacks(Callbacks callbacks) { impl_->callbacks = std::move(callbacks); }
void Trainer::set_schedule(optim::LrScheduler& schedule) { impl_->schedule = &schedule; }

/// The model's, which batches go to.
Device Trainer::Impl::device() const {
  const std::vector<Tensor> all = model.parameters();
  return all.empty() ? default_device() : all[0].device();
}

void Trainer::Impl::step(const Tensor& x, const Tensor& y) {
  Tensor value;
  {
    const Tensor output = forward(x);
    value = loss(output, y);
    optimizer.zero_grad();
    value.backward();
    meters.update(value, output, y);
  }  // the output dies before the flush and need not be stored
  value = value.detach();
  optimizer.step();
  if (schedule) schedule->step();
  ++run.step;
  if (callbacks.on_step && !callbacks.on_step({run.place.epoch + 1, run.step, value})) stop = true;
}

/// The rest of the current epoch; false when it was stopped.
bool Trainer::Impl::train_epoch(data::DataLoader& loader) {
  model.train();
  auto start = Clock::now();
  const auto count_time = [&] {
    run.seconds += seconds_since(start);
    start = Clock::now();
  };
  const Device d = device();
  for (auto& [x, y] : loader) {
    step(on(d, x), on(d, y));
    run.place = loader.state();
    const std::int64_t done = run.place.position, all = loader.size();
    if (progress.due(done, all)) {
      const Metrics m = meters.read();
      progress.show(
          {run.place.epoch + 1, options.epochs, done, all, m.loss, m.accuracy, optimizer.lr()});
    }
    if (stop || InterruptGuard::signal() != 0) {
      count_time();
      return false;
    }
    if (options.checkpoint_every > 0 && run.step % options.checkpoint_every == 0 && done < all) {
      count_time();
      save();
    }
  }
  count_time();
  return true;
}

void Trainer::Impl::finish_epoch(data::DataLoader* validation) {
  EpochResult result;
  result.epoch = run.place.epoch + 1;
  result.train = meters.read();
  result.seconds = run.seconds;
  if (validation) result.validation = evaluate(*validation);
  run.history.push_back(result);
  run.place = {run.place.epoch + 1, 0};
  run.seconds = 0;
  meters.reset();
  progress.say(line_of(result, options.epochs));
  if (callbacks.on_epoch) callbacks.on_epoch(result);
  save();
}

FitResult Trainer::fit(data::DataLoader& loader, data::DataLoader* validation) {
  Impl& t = *impl_;
  const LoaderIdentity identity = identity_of(loader);
  if (t.resumed && !(identity == t.run.loader))
    throw ValueError("Trainer: the checkpoint is of " + describe(t.run.loader) +
                     ", the loader gives " + describe(identity) +
                     "; give the same loader to continue exactly");
  std::optional<RunFolder> folder;
  if (!t.options.out.empty()) {
    folder.emplace(t.options.out);
    check_own_run(t.options.out, t.last_checkpoint);
    remove_leftovers(t.options.out);
  }
  t.run.loader = identity;
  t.stop = false;
  EnableGrad gradients;  // the caller may be inside a NoGrad
  InterruptGuard guard;
  FitResult result;
  while (t.run.place.epoch < t.options.epochs) {
    loader.set_state(t.run.place);
    if (t.train_epoch(loader)) {
      t.finish_epoch(validation);
    } else {
      t.save();
    }
    result.signal = InterruptGuard::signal();
    result.stopped = t.stop || result.signal != 0;
    if (result.stopped) {
      const char* why = result.signal == SIGINT    ? "stopped by SIGINT"
                        : result.signal == SIGTERM ? "stopped by SIGTERM"
                                                   : "stopped";
      t.progress.say(std::string(why) + " after step " + std::to_string(t.run.step) +
                     (t.last_checkpoint.empty() ? "; nothing is saved without an output folder"
                                                : "; resume from " + t.last_checkpoint));
      break;
    }
  }
  result.epochs = t.run.history;
  result.steps = t.run.step;
  result.checkpoint = t.last_checkpoint;
  return result;
}

Metrics Trainer::Impl::evaluate(data::DataLoader& loader) {
  EvaluationMode mode(model);
  NoGrad guard;
  Meters sums;
  loader.set_state({});
  const Device d = device();
  for (auto& batch : loader) {
    const Tensor x = on(d, batch.x), y = on(d, batch.y), output = forward(x);
    sums.update(loss(output, y), output, y);
    eval_all();  // each batch's trace alike, and no longer than one batch
    const std::int64_t done = loader.state().position, all = loader.size();
    if (progress.due_in_validation(done, all)) {
      const Metrics m = sums.read();
      progress.show({.step = done, .steps = all, .loss = m.loss, .accuracy = m.accuracy});
    }
  }
  return sums.read();
}

Metrics Trainer::validate(data::DataLoader& loader) { return impl_->evaluate(loader); }

Tensor Trainer::predict(data::DataLoader& loader) {
  EvaluationMode mode(impl_->model);
  NoGrad guard;
  std::vector<Tensor> outputs;
  loader.set_state({});
  const Device d = impl_->device();
  for (auto& [x, y] : loader) {
    outputs.push_back(impl_->forward(on(d, x)));
    eval_all();
  }
  Tensor all = outputs.size() == 1 ? outputs[0] : cat(outputs, 0);
  all.eval();
  return all;
}

void Trainer::Impl::save() {
  if (options.out.empty()) return;
  CheckpointData data;
  for (const auto& [name, tensor] : model.state_dict()) data.model[name] = to_host(tensor);
  const optim::OptimizerState state = optimizer.state_dict();
  for (const auto& [name, tensor] : state.tensors)
    data.training[kOptimizer + name] = to_host(tensor);
  const auto loss_state = meters.loss.state(), accuracy_state = meters.accuracy.state();
  data.training[kLossSum] = to_host(loss_state.sum);
  data.training[kCorrect] = to_host(accuracy_state.sum);
  run.loss_count = loss_state.count;
  run.accuracy_count = accuracy_state.count;
  run.schedule_steps = schedule ? schedule->steps() : -1;
  run.generator = default_generator().state();
  run.optimizer = state.kind;
  run.optimizer_numbers = state.numbers;
  run.config = options.config;
  data.state = to_json(run);
  last_checkpoint = write_checkpoint(options.out, data, options.keep);
  if (callbacks.on_checkpoint) callbacks.on_checkpoint(last_checkpoint);
}

std::optional<CheckpointInfo> find_checkpoint(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  std::string found;
  if (!fs::exists(status)) {
    const std::string extension = fs::path(path).extension().string();
    if (extension == ".json" || extension == ".safetensors")
      throw IoError("resume: there is no file '" + path + "'");
    return {};
  }
  nlohmann::json state;
  if (!fs::is_directory(status) || is_checkpoint(path)) {
    found = fs::is_directory(status) ? path : fs::path(path).parent_path().string();
    if (found.empty()) found = ".";
    if (!is_checkpoint(found))
      throw IoError("resume: '" + path +
                    "' is no checkpoint; give a folder checkpoint-…, a file in one, or the folder "
                    "of the run");
    state = read_checkpoint_state(found);
  } else {
    std::string first_error;
    for (const std::string& candidate : list_checkpoints(path)) {
      try {
        state = read_checkpoint_state(candidate);
        found = candidate;
        break;
      } catch (const IoError& e) {
        if (first_error.empty()) first_error = e.what();
      }
    }
    if (found.empty() && first_error.empty()) return {};
    if (found.empty())
      throw IoError("resume: no checkpoint in '" + path + "' is whole. The newest: " + first_error);
    if (!first_error.empty()) logging::warn("resume: skipped a newer checkpoint: " + first_error);
  }
  const RunState run = run_state_from(state, state_path(found));
  return CheckpointInfo{found, run.place.epoch + 1, run.step, run.config};
}

void Trainer::resume(const std::string& path) {
  Impl& t = *impl_;
  const std::optional<CheckpointInfo> info = find_checkpoint(path);
  if (!info) throw IoError("resume: there is no checkpoint in '" + path + "'");
  if (info->config != t.options.config) {
    std::string text;
    for (const auto& [key, value] : info->config) {
      const auto mine = t.options.config.find(key);
      if (mine == t.options.config.end() || mine->second != value)
        text += (text.empty() ? "" : ", ") + key + " " + value + " (here " +
                (mine == t.options.config.end() ? "none" : mine->second) + ")";
    }
    throw ValueError("resume: '" + info->path + "' is of another run: " +
                     (text.empty() ? "it lacks some of the settings" : text) +
                     "; use the same settings to continue it");
  }
  const CheckpointData data = read_checkpoint(info->path);
  RunState run = run_state_from(data.state, state_path(info->path));
  if ((run.schedule_steps >= 0) != (t.schedule != nullptr))
    throw ValueError("resume: '" + info->path + "' was written " +
                     (t.schedule ? "without" : "with") +
                     " a schedule; use the same to continue it");

  nn::StateDict weights;
  for (const auto& [name, array] : data.model) weights[name] = from_host(array);
  optim::OptimizerState optimizer{run.optimizer, {}, run.optimizer_numbers};
  Meters meters;
  for (const auto& [name, array] : data.training) {
    if (name.rfind(kOptimizer, 0) == 0)
      optimizer.tensors[name.substr(std::string(kOptimizer).size())] = from_host(array);
    else if (name == kLossSum)
      meters.loss.set_state({from_host(array), run.loss_count});
    else if (name == kCorrect)
      meters.accuracy.set_state({from_host(array), run.accuracy_count});
  }
  // All that may be refused comes first.
  t.optimizer.check_state_dict(optimizer);
  const std::int64_t steps_before = t.schedule ? t.schedule->steps() : 0;
  if (t.schedule) t.schedule->set_steps(run.schedule_steps);
  try {
    t.model.load_state_dict(weights);
  } catch (...) {
    if (t.schedule) t.schedule->set_steps(steps_before);
    throw;
  }
  t.optimizer.load_state_dict(optimizer);
  default_generator().set_state(run.generator);
  t.meters = meters;
  t.run = std::move(run);
  t.last_checkpoint = info->path;
  t.resumed = true;
  end_step();
}

}  // namespace flash::train
