// nn/norm.cpp -- normalising layers
#include <cstdio>

#include "core/autograd/autograd.h"
#include "core/ops/create.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"
#include "nn/batch_norm.h"
#include "nn/layer_norm.h"

namespace flash::nn {
namespace {

std::string text(double v) {
  char s[32];
  std::snprintf(s, sizeof s, "%g", v);
  return s;
}
const char* text(bool b) { return b ? "True" : "False"; }

}  // namespace

BatchNorm2d::BatchNorm2d(std::int64_t channels, const BatchNormConfig& c) : config(c) {
  if (channels < 1)
    throw ValueError("BatchNorm2d: the channels must be at least 1, not " +
                     std::to_string(channels));
  if (c.affine) {
    weight = ones({channels});
    bias = zeros({channels});
  }
  running_mean = zeros({channels});
  running_var = ones({channels});
  num_batches_tracked = zeros({}, i64);
}

Tensor BatchNorm2d::forward(const Tensor& x) {
  if (x.dim() != 4)
    throw ShapeError("BatchNorm2d: input " + x.shape().str() + " must be [N, C, H, W]");
  if (training()) {
    NoGrad guard;
    num_batches_tracked.add_(1);
  }
  return batch_norm(x, running_mean, running_var, weight, bias, training(), config.momentum,
                    config.eps);
}

std::string BatchNorm2d::describe() const {
  return std::to_string(running_mean.size(0)) + ", eps=" + text(config.eps) +
         ", momentum=" + text(config.momentum) + ", affine=" + text(config.affine);
}

LayerNorm::LayerNorm(const Shape& s, const LayerNormConfig& c) : shape(s), config(c) {
  if (s.empty()) throw ValueError("LayerNorm: the normalised shape must not be empty");
  if (!c.affine) return;
  weight = ones(s);
  if (c.bias) bias = zeros(s);
}

Tensor LayerNorm::forward(const Tensor& x) const {
  return layer_norm(x, shape, weight, bias, config.eps);
}

std::string LayerNorm::describe() const {
  std::string sizes = shape.str();
  sizes.front() = '(';
  sizes.back() = ')';
  if (shape.rank() == 1) sizes.insert(sizes.size() - 1, ",");
  return sizes + ", eps=" + text(config.eps) + ", elementwise_affine=" + text(config.affine);
}

}  // namespace flash::nn
