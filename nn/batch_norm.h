// nn/batch_norm.h -- batch normalisation with running statistics
#pragma once

#include "module.h"

namespace flash::nn {

struct BatchNormConfig {
  double eps = 1e-5;
  double momentum = 0.1;  ///< share of the newest batch in the running statistics
  bool affine = true;
};

/// Normalises each channel of [N, C, H, W]: over the batch in training, which also updates
/// running_mean and running_var (unbiased), with those in evaluation.
struct FLASH_API BatchNorm2d : Module {
  explicit BatchNorm2d(std::int64_t channels, const BatchNormConfig& config = {});
  Tensor forward(const Tensor& x);
  std::string describe() const override;

  Parameter weight, bias;
  Buffer running_mean, running_var, num_batches_tracked;
  BatchNormConfig config;
  FLASH_MODULE(BatchNorm2d, weight, bias, running_mean, running_var, num_batches_tracked)
};

}  // namespace flash::nn
