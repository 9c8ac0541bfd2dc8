// apps/flash/train_digits.cpp -- `flash train digits`: data, network, schedule, report
#include "apps/flash/train_digits.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "apps/flash/devices.h"
#include "apps/flash/lenet.h"

namespace flash::apps {
namespace fs = std::filesystem;
namespace {

using Config = std::map<std::string, std::string>;

std::string text_of(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.17g", value);
  return text;
}

/// Finds out now what would otherwise fail after the training.
void check_writable_folder(const std::string& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (!error && !fs::is_directory(folder)) error = std::make_error_code(std::errc::not_a_directory);
  if (error)
    throw IoError("--out: cannot make the folder '" + folder + "': " + error.message() +
                  "; choose another one");
  try {
    io::AtomicFile probe((fs::path(folder) / ".flash-probe").string());  // goes without a commit
  } catch (const IoError& e) {
    throw IoError("--out: cannot write into '" + folder + "': " + e.what());
  }
}

void check_writable_file(const std::string& path) {
  try {
    io::AtomicFile probe(path);
  } catch (const IoError& e) {
    throw IoError("--report: cannot be written: " + std::string(e.what()));
  }
}

/// The checkpoint to continue, if there is one yet: a job that restarts itself names the folder of
/// its run from the beginning. A folder of something else is a mistake, and stays as it is.
std::optional<train::CheckpointInfo> find_start(const std::string& resume) {
  if (resume.empty()) return {};
  auto found = train::find_checkpoint(resume);
  if (found || !fs::is_directory(resume) || fs::is_empty(resume)) return found;
  for (const auto& entry : fs::directory_iterator(resume)) {
    // Also what a run that was killed at its first checkpoint has left.
    const std::string name = entry.path().filename().string();
    for (const char* ours : {".checkpoint-", ".flash-probe", "model.safetensors"})
      if (name.rfind(ours, 0) == 0) return {};
  }
  throw IoError("--resume: '" + resume +
                "' has files in it and none is of a run; give the folder of a run, or a new one");
}

/// The folder of the run: a run continues in place.
std::string choose_out(const TrainDigitsOptions& o,
                       const std::optional<train::CheckpointInfo>& from) {
  if (o.resume.empty()) {
    if (fs::is_directory(o.out) && train::find_checkpoint(o.out))
      throw IoError("--out: '" + o.out + "' holds the checkpoints of a run; continue it with " +
                    "--resume " + o.out + ", or choose a folder of its own");
    return o.out;
  }
  std::string run = from ? fs::path(from->path).parent_path().string() : o.resume;
  if (run.empty()) run = ".";
  if (!o.out.empty() && fs::weakly_canonical(fs::absolute(o.out) / "") !=
                            fs::weakly_canonical(fs::absolute(run) / ""))
    throw ValueError("--out: '" + o.out + "' is not '" + run +
                     "', where the run of --resume is; a run continues in its own folder");
  return run;
}

bool same_bytes(const std::string& a, const std::string& b) {
  const io::InputFile x(a), y(b);
  return x.size() == y.size() && x.read_at(0, x.size()) == y.read_at(0, y.size());
}

struct Data {
  std::shared_ptr<data::Digits> train, test;
  std::string says;
};

Data load_data(const std::string& folder, std::int64_t drawn_examples) {
  // Small shifts stand for the ways in which people place a digit.
  const data::DigitsOptions shifted{.shift = 2}, plain{};
  Data d;
  if (!folder.empty()) {
    d.train = std::make_shared<data::Digits>(data::read_mnist(folder, true), shifted);
    d.test = std::make_shared<data::Digits>(data::read_mnist(folder, false), plain);
    d.says = "MNIST files in " + folder;
    for (const auto& half : {d.train, d.test})
      if (half->height() != 28 || half->width() != 28 || half->size() == 0)
        throw ShapeError("--data: the pictures in '" + folder + "' are " +
                         std::to_string(half->size()) + " of " + std::to_string(half->height()) +
                         "x" + std::to_string(half->width()) + "; the network takes 28x28");
  } else {
    const data::DrawnDigits drawn(kDrawnSeed);
    d.train = std::make_shared<data::Digits>(drawn.make(0, drawn_examples), shifted);
    d.test = std::make_shared<data::Digits>(drawn.make(kDrawnTestBegin, kDrawnTest), plain);
    d.says = "drawn digits, made here (--data DIR trains on the MNIST files in DIR)";
  }
  return d;
}

/// The settings of the run: what was given, else what the checkpoint was made with, else defaults.
Config settle(const TrainDigitsOptions& o, const std::optional<train::CheckpointInfo>& from) {
  const auto choose = [&](const char* key, const std::optional<std::string>& given,
                          const std::string& otherwise) {
    if (given) return *given;
    if (from) {
      const auto found = from->config.find(key);
      if (found != from->config.end()) return found->second;
    }
    return otherwise;
  };
  const auto number = [](const auto& value) -> std::optional<std::string> {
    if (!value) return {};
    return std::to_string(*value);
  };
  std::optional<std::string> data = o.data;
  if (data) data = fs::weakly_canonical(*data).string();
  Config c;
  c["task"] = "digits";
  c["data"] = choose("data", data, "");
  c["examples"] = choose("examples", number(o.train_examples), std::to_string(kDrawnTrain));
  c["epochs"] = choose("epochs", number(o.epochs), std::to_string(kDefaultEpochs));
  c["batch-size"] = choose("batch-size", number(o.batch_size), std::to_string(kDefaultBatchSize));
  c["lr"] = choose("lr", o.lr ? std::optional(text_of(*o.lr)) : std::nullopt, text_of(kDefaultLr));
  c["seed"] = choose("seed", number(o.seed), std::to_string(kDefaultSeed));
  return c;
}

/// A setting as a number; it may come from a damaged file.
template <class T>
T as_number(const Config& config, const char* key) {
  std::istringstream in(config.at(key));
  T value{};
  if (!(in >> value) || !in.eof())
    throw IoError(std::string("resume: the checkpoint's setting ") + key + " is '" +
                  config.at(key) + "'; it must be a number");
  return value;
}

}  // namespace

int train_digits(const TrainDigitsOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  const Device device = use_device(options.device);

  const std::optional<train::CheckpointInfo> from = find_start(options.resume);
  const std::string out = choose_out(options, from);
  if (!out.empty()) check_writable_folder(out);
  if (!options.report.empty()) check_writable_file(options.report);

  const Config config = settle(options, from);
  const auto epochs = as_number<std::int64_t>(config, "epochs");
  const auto batch_size = as_number<std::int64_t>(config, "batch-size");
  const auto seed = as_number<std::uint64_t>(config, "seed");
  const Data digits = load_data(config.at("data"), as_number<std::int64_t>(config, "examples"));

  manual_seed(seed);
  LeNet model;
  data::DataLoader loader(digits.train,
                          {.batch_size = batch_size, .shuffle = true, .workers = 1, .seed = seed});
  data::DataLoader test_loader(digits.test, {.batch_size = 250});
  optim::AdamW optimizer(model.parameters(), {.weight_decay = 0.02});
  optim::OneCycleLR schedule(optimizer,
                             {.max_lr = as_number<double>(config, "lr"),
                              .total_steps = std::max<std::int64_t>(epochs * loader.size(), 1),
                              .pct_start = 0.2,
                              .cycle_momentum = false});
  train::Trainer trainer(model, optimizer,
                         {.epochs = epochs,
                          .out = out,
                          .checkpoint_every = options.checkpoint_every.value_or(0),
                          .config = config});
  trainer.set_schedule(schedule);
  // What the checkpoint is refused for comes before the first line of output.
  if (from) trainer.resume(from->path);
  const bool finished = from && from->epoch > epochs;
  std::cout << "data: " << digits.says << "\n      " << digits.train->size() << " to train, "
            << digits.test->size() << " to test\n"
            << model << "\n";
  if (finished) {
    std::cout << "nothing left to train: all " << epochs << " epochs of " << out
              << " are done; a longer run needs a folder of its own\n";
  } else if (from) {
    std::cout << "resuming from " << from->path << " (epoch " << from->epoch << ", after step "
              << from->step << ")\n";
  } else if (!options.resume.empty()) {
    std::cout << "no checkpoint in '" << options.resume << "' yet: starting afresh\n";
  }

  std::cout << std::flush;  // in a file, too, before hours of training

  std::optional<std::uint64_t> compiled_after_first;
  std::uint64_t launches_before = 0, launches_of_step = 0;
  trainer.set_callbacks({.on_step =
                             [&](const train::StepInfo&) {
                               const std::uint64_t now = stats().launches;
                               launches_of_step = now - launches_before;
                               launches_before = now;
                               return true;
                             },
                         .on_epoch =
                             [&](const train::EpochResult&) {
                               if (!compiled_after_first)
                                 compiled_after_first = stats().kernels_compiled;
                             }});
  const train::FitResult result = trainer.fit(loader);
  const std::uint64_t compiled_in_training = stats().kernels_compiled;
  if (result.stopped) return 128 + result.signal;

  // Saved before the test, which an impatient Ctrl-C may end.
  if (!out.empty()) {
    const std::string path = (fs::path(out) / "model.safetensors").string();
    // A run that was done already may lack them, if it was killed here.
    if (!finished || !fs::exists(path) ||
        !same_bytes(path, (fs::path(from->path) / "model.safetensors").string()))
      save(model.state_dict(), path);
    std::cout << "weights: " << path << "\n" << std::flush;
  }
  const train::Metrics test = trainer.validate(test_loader);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const Stats counted = stats();
  std::printf("test accuracy %.2f %% (%lld pictures, loss %.4f)\n", test.accuracy.value() * 100,
              static_cast<long long>(test.examples), test.loss);
  // Of this process, as kernels and seconds are; a resumed run has taken more.
  std::printf("%lld steps, %llu kernels compiled, %.1f s\n",
              static_cast<long long>(result.steps - (from ? from->step : 0)),
              static_cast<unsigned long long>(counted.kernels_compiled), seconds);
  std::fflush(stdout);
  if (options.report.empty()) return 0;
  nlohmann::json train_loss;
  if (!result.epochs.empty()) train_loss = result.epochs.back().train.loss;
  const nlohmann::json report = {
      {"task", "digits"},
      {"data", config.at("data").empty() ? "drawn" : config.at("data")},
      {"seed", seed},
      {"epochs", epochs},
      {"batch_size", batch_size},
      {"device", device.str()},
      {"test_accuracy", test.accuracy.value()},
      {"test_loss", test.loss},
      {"train_loss", train_loss},
      {"steps", result.steps},
      {"seconds", seconds},
      {"kernels_compiled", counted.kernels_compiled},
      {"compiles_after_first_epoch",
       compiled_in_training - compiled_after_first.value_or(compiled_in_training)},
      {"launches_of_step", launches_of_step},
      {"launches", counted.launches},
      {"peak_bytes", memory_stats(device).peak},
  };
  const std::string text = report.dump(2) + "\n";
  io::write_file_atomic(options.report, io::as_bytes(text));
  return 0;
}

}  // namespace flash::apps
