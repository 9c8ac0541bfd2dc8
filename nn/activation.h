// nn/activation.h -- activations and Flatten as modules, for Sequential
#pragma once

#include "module.h"

namespace flash::nn {

struct FLASH_API ReLU : Module {
  Tensor forward(const Tensor& x) const;
  FLASH_MODULE(ReLU)
};

/// x·Φ(x), exact.
struct FLASH_API GELU : Module {
  Tensor forward(const Tensor& x) const;
  FLASH_MODULE(GELU)
};

/// Joins dimensions start … end into one; by default all but the batch.
struct FLASH_API Flatten : Module {
  explicit Flatten(int start_dim = 1, int end_dim = -1) : start(start_dim), end(end_dim) {}
  Tensor forward(const Tensor& x) const;
  std::string describe() const override;

  int start, end;
  FLASH_MODULE(Flatten)
};

}  // namespace flash::nn
