// nn/linear.h -- a dense layer
#pragma once

#include "module.h"

namespace flash::nn {

/// x·Wᵀ + b over the last dimension. weight: [out, in], bias: [out]; both start uniform in ±1/√in.
struct FLASH_API Linear : Module {
  Linear(std::int64_t in_features, std::int64_t out_features, bool with_bias = true);
  Tensor forward(const Tensor& x) const;
  std::string describe() const override;

  Parameter weight, bias;
  FLASH_MODULE(Linear, weight, bias)
};

}  // namespace flash::nn
