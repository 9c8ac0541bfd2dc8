// nn/init.cpp -- initialisers
#include "nn/init.h"

#include <cmath>

#include "core/autograd/autograd.h"
#include "core/ops/create.h"
#include "core/ops/elementwise.h"

namespace flash::nn::init {
namespace {

double fan_of(const Tensor& t, FanMode mode) {
  const Fans f = fans_of(t.shape());
  return static_cast<double>(mode == FanMode::kFanIn ? f.in : f.out);
}

/// a / b, and 0 for a weight without elements.
double ratio(double a, double b) { return b > 0 ? a / b : 0.0; }

Tensor& fill(Tensor& t, const Tensor& value) {
  NoGrad guard;
  return t.copy_(value.to(t.device()));
}

}  // namespace

Fans fans_of(const Shape& weight) {
  if (weight.rank() < 2)
    throw ShapeError("init: the fan of shape " + weight.str() +
                     " is not defined; a weight has at least two dimensions");
  std::int64_t field = 1;
  for (int i = 2; i < weight.rank(); ++i) field *= weight[i];
  return {weight[1] * field, weight[0] * field};
}

double gain(Nonlinearity nonlinearity, double slope) {
  switch (nonlinearity) {
    case Nonlinearity::kTanh:
      return 5.0 / 3.0;
    case Nonlinearity::kRelu:
      return std::sqrt(2.0);
    case Nonlinearity::kLeakyRelu:
      return std::sqrt(2.0 / (1.0 + slope * slope));
    case Nonlinearity::kLinear:
    case Nonlinearity::kSigmoid:
      break;
  }
  return 1.0;
}

Tensor& uniform_(Tensor& t, double low, double high) {
  if (!(low <= high))
    throw ValueError("uniform_: the bounds " + std::to_string(low) + " and " +
                     std::to_string(high) + " are not in order");
  return fill(t, rand(t.shape(), t.dtype()) * (high - low) + low);
}
Tensor& normal_(Tensor& t, double mean, double std) {
  if (!(std >= 0))
    throw ValueError("normal_: the deviation " + std::to_string(std) + " is negative");
  return fill(t, randn(t.shape(), t.dtype()) * std + mean);
}
Tensor& constant_(Tensor& t, double value) {
  NoGrad guard;
  return t.fill_(value);
}
Tensor& zeros_(Tensor& t) { return constant_(t, 0.0); }
Tensor& ones_(Tensor& t) { return constant_(t, 1.0); }

Tensor& kaiming_uniform_(Tensor& t, double a, FanMode mode, Nonlinearity nonlinearity) {
  const double bound = gain(nonlinearity, a) * std::sqrt(ratio(3.0, fan_of(t, mode)));
  return uniform_(t, -bound, bound);
}
Tensor& kaiming_normal_(Tensor& t, double a, FanMode mode, Nonlinearity nonlinearity) {
  return normal_(t, 0.0, gain(nonlinearity, a) * std::sqrt(ratio(1.0, fan_of(t, mode))));
}
Tensor& xavier_uniform_(Tensor& t, double gain) {
  const Fans f = fans_of(t.shape());
  const double bound = gain * std::sqrt(ratio(6.0, static_cast<double>(f.in + f.out)));
  return uniform_(t, -bound, bound);
}
Tensor& xavier_normal_(Tensor& t, double gain) {
  const Fans f = fans_of(t.shape());
  return normal_(t, 0.0, gain * std::sqrt(ratio(2.0, static_cast<double>(f.in + f.out))));
}

}  // namespace flash::nn::init
