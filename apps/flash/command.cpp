// apps/flash/command.cpp -- the command line: verbs and flags, and errors as one line each
#include "apps/flash/command.h"

#include <flash/flash.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <numeric>
#include <utility>
#include <vector>

#include "apps/flash/cache.h"
#include "apps/flash/devices.h"
#include "apps/flash/predict.h"
#include "apps/flash/train_digits.h"

namespace flash::apps {
namespace {

/// Checks a number in its text, so that "3x", "1e99" and "-1" all get the same clear answer.
CLI::Validator whole(std::int64_t low, std::int64_t high, const std::string& name) {
  return CLI::Validator(
      [=](std::string& text) -> std::string {
        char* end = nullptr;
        errno = 0;
        const long long value = std::strtoll(text.c_str(), &end, 10);
        if (!text.empty() && *end == 0 && errno == 0 && value >= low && value <= high) return {};
        return "'" + text + "' is not a whole number from " + std::to_string(low) + " to " +
               std::to_string(high);
      },
      name);
}

CLI::Validator rate() {
  return CLI::Validator(
      [](std::string& text) -> std::string {
        char* end = nullptr;
        const double value = std::strtod(text.c_str(), &end);
        if (!text.empty() && *end == 0 && std::isfinite(value) && value > 0 && value <= 10)
          return {};
        return "'" + text + "' is not a number above 0 and up to 10";
      },
      "X");
}

/// Levenshtein's: letters to insert, delete or replace.
std::size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({replaced, row[j] + 1, row[j - 1] + 1}));
    }
  }
  return row[b.size()];
}

/// The verb that was parsed last, or the whole command.
const CLI::App* parsed_verb(const CLI::App* app) {
  while (!app->get_subcommands().empty()) app = app->get_subcommands().front();
  return app;
}

/// ": did you mean --epochs?" when the verb that was parsed has a flag two letters or less away.
std::string nearest_flag(const CLI::App* app, const std::string& given) {
  const CLI::App* verb = parsed_verb(app);
  const std::string flag = given.substr(0, given.find('='));
  std::string nearest;
  std::size_t least = 3;
  for (const CLI::Option* option : verb->get_options())
    for (const std::string& name : option->get_lnames())
      if (const std::size_t d = edit_distance(flag, "--" + name); d < least) {
        least = d;
        nearest = "--" + name;
      }
  return nearest.empty() ? "; --help lists the flags" : ": did you mean " + nearest + "?";
}

/// One line for what could not be parsed. CLI11 lists what it did not expect from last to first.
std::string failure(const CLI::App* parsed, const CLI::Error& e) {
  const std::vector<std::string> unknown = parsed->remaining(true);
  for (const std::string& given : unknown)
    if (given.size() > 1 && given[0] == '-')
      return "flash: '" + given + "' is no flag here" + nearest_flag(parsed, given) + "\n";
  if (dynamic_cast<const CLI::RequiredError*>(&e) != nullptr && !unknown.empty())
    return "flash: '" + unknown.front() + "' is no verb here; --help lists them\n";
  const CLI::App* verb = parsed_verb(parsed);
  if (const auto verbs = verb->get_subcommands([](const CLI::App*) { return true; });
      dynamic_cast<const CLI::RequiredError*>(&e) != nullptr && !verbs.empty()) {
    std::string names;
    for (const CLI::App* v : verbs) names += (names.empty() ? "" : ", ") + v->get_name();
    return "flash: " + (verb == parsed ? "" : verb->get_name() + ": ") +
           "a verb is missing, one of " + names + "; --help explains them\n";
  }
  if (dynamic_cast<const CLI::ExtrasError*>(&e) != nullptr && !unknown.empty())
    return "flash: '" + unknown.front() + "' was not expected; --help lists what is\n";
  return std::string("flash: ") + e.what() + "\n";
}

void add_device(CLI::App* verb, std::string& device) {
  verb->add_option("--device", device,
                   "Where to compute; flash devices lists what there is [FLASH_DEVICE, or cpu]")
      ->check([](const std::string& s) {
        return parse_device(s) ? std::string()
                               : "'" + s + "' names no device (want " + kDeviceNames + ")";
      })
      ->type_name("NAME");
}

}  // namespace

int run_command(int argc, char** argv) {
  CLI::App app{
      "Flash: trains and runs neural networks. Operations are recorded, fused and compiled "
      "as they are needed."};
  app.name("flash");
  app.set_version_flag("--version", std::string("flash ") + FLASH_VERSION);
  app.require_subcommand(1);
  app.failure_message(failure);

  CLI::App* train_app = app.add_subcommand("train", "Train a network");
  train_app->require_subcommand(1);
  CLI::App* digits = train_app->add_subcommand(
      "digits", "Train a convolutional network to read handwritten digits");
  TrainDigitsOptions t;
  std::string threads;
  digits
      ->add_option("--data", t.data,
                   "Folder with the four MNIST files, gzipped or not; without it digits are drawn")
      ->type_name("DIR");
  digits->add_option("--epochs", t.epochs, "Passes over the training set [5]")
      ->check(whole(1, 100000, "N"));
  digits->add_option("--batch-size", t.batch_size, "Pictures in a step [64]")
      ->check(whole(1, 1000000, "N"));
  digits->add_option("--lr", t.lr, "Highest learning rate of the one-cycle schedule [0.002]")
      ->check(rate());
  digits->add_option("--seed", t.seed, "Of weights, order, shifts and dropout [1]")
      ->check(whole(0, INT64_MAX, "N"));
  digits
      ->add_option("--threads", threads,
                   "Threads that compute [all cores]; results don't depend on it")
      ->check(whole(1, 1024, "N"));
  add_device(digits, t.device);
  digits
      ->add_option("--out", t.out,
                   "Folder for this run alone: a checkpoint an epoch, the final model.safetensors")
      ->type_name("DIR")
      ->check([](const std::string& s) {
        return s.empty() ? std::string("'' names no folder; leave --out away to keep nothing") : "";
      });
  digits
      ->add_option("--checkpoint-every", t.checkpoint_every,
                   "Steps from checkpoint to checkpoint too")
      ->check(whole(1, INT64_MAX, "N"));
  digits
      ->add_option("--resume", t.resume,
                   "Continue exactly: the newest whole checkpoint in the folder of a run, or one "
                   "checkpoint's folder or file. Settings not given are taken from it. A folder "
                   "that is empty or not there yet starts afresh; --out is the same folder")
      ->type_name("DIR|FILE");
  digits->add_option("--report", t.report, "Write accuracy, loss and counters as JSON")
      ->type_name("FILE.json");
  digits->add_option("--examples", t.train_examples, "Drawn digits to train on [12000]")
      ->check(whole(1, 10000000, "N"));

  CLI::App* predict_app =
      app.add_subcommand("predict", "Read the digits in pictures (PNG, or binary PGM)");
  predict_app->footer(
      "A picture is read as grey; one with a light border is inverted, because the network knows\n"
      "light strokes on dark. One that is not 28x28 is scaled to fit, centred on the background.");
  PredictOptions p;
  predict_app
      ->add_option("--checkpoint", p.checkpoint,
                   "Weights: a model.safetensors, or the folder of a run or a checkpoint")
      ->type_name("FILE|DIR")
      ->required();
  predict_app->add_option("--held-out", p.held_out, "Also read N digits drawn anew, and show them")
      ->check(whole(1, 100000, "N"));
  add_device(predict_app, p.device);
  predict_app->add_option("IMAGE", p.images, "Pictures to read");

  CLI::App* devices_app = app.add_subcommand("devices", "Show where Flash can compute");

  CLI::App* cache_app = app.add_subcommand(
      "cache", "Show the folder of compiled kernels: where, how many, how large");
  cache_app->require_subcommand(0, 1);
  CLI::App* clear_app = cache_app->add_subcommand(
      "clear", "Delete the compiled kernels in it; they are compiled again when they are needed");
  cache_app->footer(
      "FLASH_CACHE_DIR names another folder, or is off; FLASH_CACHE_DIR_BYTES is\n"
      "the size beyond which the kernels used longest ago are deleted.");

  try {
    app.parse(argc, argv);
    if (predict_app->parsed() && p.images.empty() && p.held_out == 0)
      throw CLI::RequiredError("predict: an IMAGE or --held-out");
    if (t.data && t.train_examples)
      throw CLI::ValidationError("--examples",
                                 "counts drawn digits, and --data trains on files; give one");
  } catch (const CLI::ParseError& e) {
    const int status = app.exit(e);
    return status == 0 ? 0 : 2;
  }
  try {
    // Before anything computes: the pool of threads is made once.
    if (!threads.empty()) setenv("FLASH_NUM_THREADS", threads.c_str(), 1);
    int status = 2;
    if (digits->parsed()) status = train_digits(t);
    if (predict_app->parsed()) status = predict(p);
    if (devices_app->parsed()) status = show_devices();
    if (cache_app->parsed()) status = clear_app->parsed() ? clear_cache() : show_cache();
    std::cout.flush();
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0 || !std::cout)
      throw IoError("standard output cannot be written; the results that it lacks are lost");
    return status;
  } catch (const std::exception& e) {
    std::cout.flush();
    std::fprintf(stderr, "flash: %s\n", e.what());
    return 1;
  }
}

}  // namespace flash::apps
