// nn/dropout.h -- dropout
#pragma once

#include "module.h"

namespace flash::nn {

/// In training, zeroes each element with probability p and scales the others by 1 / (1 − p).
struct FLASH_API Dropout : Module {
  explicit Dropout(double p = 0.5);
  Tensor forward(const Tensor& x) const;
  std::string describe() const override;

  double p;
  FLASH_MODULE(Dropout)
};

}  // namespace flash::nn
