// core/ops/activation.cpp -- activations and dropout; the compositions among them have gradients of
// their own
#include <bit>

#include "core/autograd/autograd.h"
#include "core/autograd/hooks.h"
#include "core/autograd/tape.h"
#include "core/ops/bind.h"
#include "core/ops/checks.h"
#include "core/ops/create.h"
#include "core/ops/elementwise.h"
#include "core/ops/linalg.h"
#include "core/scope.h"

namespace flash {
namespace {

using autograd::BackwardCall;
using autograd::Rule;

void relu_vjp(BackwardCall& c) { c.give(0, where(le(c.saved(0), 0), 0.0, c.grad())); }
const Rule kRelu{.name = "relu", .vjp = relu_vjp};

// Words: the bits of the slope.
void leaky_relu_vjp(BackwardCall& c) {
  const double slope = std::bit_cast<double>(c.word(0));
  c.give(0, where(gt(c.saved(0), 0), c.grad(), c.grad() * slope));
}
Tensor leaky_relu_of(const Tensor& x, std::span<const std::int64_t> words) {
  return where(gt(x, 0), x, x * std::bit_cast<double>(words[0]));
}
const Rule kLeakyRelu{.name = "leaky_relu", .vjp = leaky_relu_vjp, .again = leaky_relu_of};

/// Which elements dropout keeps: drawn again in the backward pass from the same place of the
/// stream.
Tensor kept(const Shape& shape, Device device, double p, std::int64_t seed, std::int64_t block) {
  const std::int64_t attrs[] = {seed, block};
  return ge(bind_source(Prim::kUniform, shape, DType::kF32, device, attrs), p);
}
// Words: the bits of p, seed, first block.
void dropout_vjp(BackwardCall& c) {
  const double p = std::bit_cast<double>(c.word(0));
  const Tensor& g = c.grad();
  c.give(0, where(kept(g.shape(), g.device(), p, c.word(1), c.word(2)),
                  g * (p < 1 ? 1.0 / (1.0 - p) : 0.0), 0.0));
}
const Rule kDropout{.name = "dropout", .vjp = dropout_vjp};

}  // namespace

Tensor relu(const Tensor& x) {
  if (check_defined(x, "relu").dtype() == DType::kBool)
    throw DTypeError("relu: takes numbers, not bool; convert it with to()");
  const bool on = autograd::tracks_any({&x});
  Tensor y;
  {
    autograd::GradMode off(false);
    y = maximum(x, 0);
  }
  // The result tells where x was positive, so that x itself need not be kept.
  if (on) autograd::record_composite(kRelu, {&x}, y, {&y});
  return y;
}

Tensor gelu(const Tensor& x) {
  check_float(x, "gelu");
  return bind(Prim::kGelu, {&x});
}

Tensor silu(const Tensor& x) {
  check_float(x, "silu");
  return bind(Prim::kSilu, {&x});
}

Tensor leaky_relu(const Tensor& x, double slope) {
  check_float(x, "leaky_relu");
  Scope scope("leaky_relu");
  const std::int64_t words[] = {std::bit_cast<std::int64_t>(slope)};
  const bool on = autograd::tracks_any({&x});
  Tensor y;
  {
    autograd::GradMode off(false);
    y = leaky_relu_of(x, words);
  }
  if (on) autograd::record_composite(kLeakyRelu, {&x}, y, {&x}, words);
  return y;
}

Tensor dropout(const Tensor& x, double p, bool training) {
  check_float(x, "dropout");
  if (!(p >= 0.0 && p <= 1.0))
    throw ValueError("dropout: the probability must be between 0 and 1, not " + std::to_string(p));
  if (!training || p == 0.0) return x;
  Scope scope("dropout");
  Generator& generator = default_generator();
  const auto block = static_cast<std::int64_t>(generator.reserve(x.numel()));
  const auto seed = static_cast<std::int64_t>(generator.seed());
  const bool on = autograd::tracks_any({&x});
  Tensor y;
  {
    autograd::GradMode off(false);
    y = where(kept(x.shape(), x.device(), p, seed, block), x * (p < 1 ? 1.0 / (1.0 - p) : 0.0),
              0.0);
  }
  const std::int64_t words[] = {std::bit_cast<std::int64_t>(p), seed, block};
  if (on) autograd::record_composite(kDropout, {&x}, y, {}, words);
  return y;
}

}  // namespace flash
