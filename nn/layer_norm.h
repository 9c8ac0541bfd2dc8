// nn/layer_norm.h -- layer normalisation
#pragma once

#include "module.h"

namespace flash::nn {

struct LayerNormConfig {
  double eps = 1e-5;
  bool affine = true;
  bool bias = true;  ///< with affine
};

/// Normalises over the last dimensions, `shape`.
struct FLASH_API LayerNorm : Module {
  explicit LayerNorm(const Shape& shape, const LayerNormConfig& config = {});
  Tensor forward(const Tensor& x) const;
  std::string describe() const override;

  Parameter weight, bias;
  Shape shape;
  LayerNormConfig config;
  FLASH_MODULE(LayerNorm, weight, bias)
};

}  // namespace flash::nn
