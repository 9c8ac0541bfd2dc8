// nn/pool.h -- 2-d pooling layers
#pragma once

#include "module.h"
#include "size2.h"

namespace flash::nn {

struct Pool2dConfig {
  Size2 stride = 0;  ///< 0: as the kernel
  Size2 padding = 0;
  bool count_include_pad = true;  ///< average pooling only
};

struct FLASH_API MaxPool2d : Module {
  explicit MaxPool2d(Size2 kernel, const Pool2dConfig& config = {});
  Tensor forward(const Tensor& x) const;
  std::string describe() const override;

  Size2 kernel;
  Pool2dConfig config;
  FLASH_MODULE(MaxPool2d)
};

struct FLASH_API AvgPool2d : Module {
  explicit AvgPool2d(Size2 kernel, const Pool2dConfig& config = {});
  Tensor forward(const Tensor& x) const;
  std::string describe() const override;

  Size2 kernel;
  Pool2dConfig config;
  FLASH_MODULE(AvgPool2d)
};

}  // namespace flash::nn
