// nn/conv.h -- a 2-d convolution layer
#pragma once

#include "module.h"
#include "size2.h"

namespace flash::nn {

struct Conv2dConfig {
  Size2 stride = 1, padding = 0, dilation = 1;
  std::int64_t groups = 1;
  bool bias = true;
};

/// Cross-correlation of [N, in, H, W]. weight: [out, in / groups, kh, kw], bias: [out]; both start
/// uniform in ±1/√(in / groups·kh·kw).
struct FLASH_API Conv2d : Module {
  Conv2d(std::int64_t in_channels, std::int64_t out_channels, Size2 kernel,
         const Conv2dConfig& config = {});
  Tensor forward(const Tensor& x) const;
  std::string describe() const override;

  Parameter weight, bias;
  Conv2dConfig config;
  FLASH_MODULE(Conv2d, weight, bias)
};

}  // namespace flash::nn
