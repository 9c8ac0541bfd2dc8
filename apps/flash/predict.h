// apps/flash/predict.h -- `flash predict`: pictures in, digits and probabilities out
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace flash::apps {

struct PredictOptions {
  std::string checkpoint;
  std::vector<std::string> images;
  std::int64_t held_out = 0;
  std::string device;  ///< empty: the default device
};

/// Returns the exit status; throws flash::Error. A picture that cannot be read is a line on
/// standard error and status 1; the others are answered.
int predict(const PredictOptions& options);

}  // namespace flash::apps
