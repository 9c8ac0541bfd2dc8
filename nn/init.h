// nn/init.h -- initialisers: fill a tensor in place, outside of the tape, and return it
//
// Formulas and defaults are PyTorch's (torch.nn.init). The fan of a weight [out, in, …] is in (or
// out) times the size of its trailing dimensions.
#pragma once

#include <cstdint>

#include "../core/tensor.h"

namespace flash::nn::init {

enum class FanMode : std::uint8_t { kFanIn, kFanOut };
enum class Nonlinearity : std::uint8_t { kLinear, kSigmoid, kTanh, kRelu, kLeakyRelu };

struct FLASH_API Fans {
  std::int64_t in = 0, out = 0;
};
/// Throws ShapeError for fewer than two dimensions.
FLASH_API Fans fans_of(const Shape& weight);
/// How much a nonlinearity shrinks the spread: √(2 / (1 + slope²)) for kLeakyRelu, √2 for kRelu,
/// 5/3 for kTanh, else 1.
FLASH_API double gain(Nonlinearity nonlinearity, double slope = 0.01);

FLASH_API Tensor& uniform_(Tensor& t, double low = 0.0, double high = 1.0);
FLASH_API Tensor& normal_(Tensor& t, double mean = 0.0, double std = 1.0);
FLASH_API Tensor& constant_(Tensor& t, double value);
FLASH_API Tensor& zeros_(Tensor& t);
FLASH_API Tensor& ones_(Tensor& t);

/// He et al. 2015, eq. 14: uniform in ±gain·√(3 / fan), or normal with σ = gain / √fan. `a` is the
/// slope of kLeakyRelu.
FLASH_API Tensor& kaiming_uniform_(Tensor& t, double a = 0.0, FanMode mode = FanMode::kFanIn,
                                   Nonlinearity nonlinearity = Nonlinearity::kLeakyRelu);
FLASH_API Tensor& kaiming_normal_(Tensor& t, double a = 0.0, FanMode mode = FanMode::kFanIn,
                                  Nonlinearity nonlinearity = Nonlinearity::kLeakyRelu);
/// Glorot and Bengio 2010, eq. 16: uniform in ±gain·√(6 / (in + out)), or normal of the same
/// variance.
FLASH_API Tensor& xavier_uniform_(Tensor& t, double gain = 1.0);
FLASH_API Tensor& xavier_normal_(Tensor& t, double gain = 1.0);

}  // namespace flash::nn::init
