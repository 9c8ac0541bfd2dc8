// apps/flash/train_digits.h -- `flash train digits`: data, network, schedule, report
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace flash::apps {

/// What is not given is taken from the checkpoint of --resume, or else is the default below.
struct TrainDigitsOptions {
  std::optional<std::string> data;
  std::optional<std::int64_t> epochs, batch_size, checkpoint_every;
  std::optional<std::int64_t> train_examples;  ///< of drawn digits
  std::optional<double> lr;
  std::optional<std::uint64_t> seed;
  std::string device;  ///< empty: the default device
  std::string out, resume, report;
};

inline constexpr std::int64_t kDefaultEpochs = 5;
inline constexpr std::int64_t kDefaultBatchSize = 64;
inline constexpr double kDefaultLr = 2e-3;
inline constexpr std::uint64_t kDefaultSeed = 1;

/// Drawn digits are one endless sequence; these parts of it never overlap.
inline constexpr std::uint64_t kDrawnSeed = 20;
inline constexpr std::uint64_t kDrawnTestBegin = 1u << 30;
inline constexpr std::uint64_t kDrawnHeldOutBegin = 1u << 31;
inline constexpr std::int64_t kDrawnTrain = 12000, kDrawnTest = 2000;

/// Returns the exit status; throws flash::Error.
int train_digits(const TrainDigitsOptions& options);

}  // namespace flash::apps
