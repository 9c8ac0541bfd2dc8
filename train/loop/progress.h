// train/loop/progress.h -- how training shows itself: a bar on a terminal, plain lines in a pipe
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace flash::train {

/// What one line of progress says.
struct ProgressLine {
  std::int64_t epoch = 0, epochs = 0;  ///< from 1; 0: a validation, which has no rate
  std::int64_t step = 0, steps = 0;    ///< of this epoch
  double loss = 0;
  std::optional<double> accuracy = {};
  double lr = 0;
};

/// Writes to standard output. Quiet, it writes nothing.
class Progress {
 public:
  Progress(bool quiet, std::int64_t every);

  /// True when a line is due: reading the meters for it is worth it. A pipe hears of every so many
  /// steps and of the last, and every ten seconds.
  bool due(std::int64_t step, std::int64_t steps);
  /// The same in a validation, of which a pipe hears every ten seconds and not at its end.
  bool due_in_validation(std::int64_t step, std::int64_t steps);
  void show(const ProgressLine& line);
  /// A whole line of its own; the bar is wiped before.
  void say(const std::string& text);

 private:
  bool waited(std::chrono::milliseconds least);
  void wipe();
  bool quiet_, terminal_, bar_ = false;
  std::int64_t every_;
  std::chrono::steady_clock::time_point last_;
};

/// As on a pipe: "epoch 1/5  step 100/938  loss 0.4123  accuracy 87.52 %  lr 3.0e-03", or
/// "validation  step 3/8  loss 0.4123  accuracy 87.52 %".
std::string plain(const ProgressLine& line);

}  // namespace flash::train
