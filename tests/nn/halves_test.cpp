// tests/nn/halves_test.cpp -- products and convolutions of f16 and bf16 are as near to the exact
// result as sums in f32 are, forward and backward, on whatever unit computes them
//
// On the CPU their bits are defined; GPUs have units whose order of additions is their own.
#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <vector>

#include "core/autograd/autograd.h"
#include "core/device.h"
#include "core/ops/create.h"
#include "core/ops/elementwise.h"
#include "core/ops/linalg.h"
#include "core/ops/reduce.h"

using namespace flash;

namespace {

using Inputs = std::vector<Tensor>;
/// Gives Σ of products of its inputs: so of their magnitudes it bounds what rounding can add up to.
using Contraction = std::function<Tensor(const Inputs&)>;

/// The result, then the gradient of each input, where `dy` comes back.
Inputs forward_and_backward(const Contraction& f, const Inputs& values, const Tensor& dy) {
  Inputs leaves;
  for (const Tensor& v : values) leaves.push_back(v.detach().set_requires_grad());
  const Tensor y = f(leaves);
  Inputs all = grad({y}, leaves, {dy});
  all.insert(all.begin(), y.detach());
  return all;
}

Inputs each(const Inputs& x, const std::function<Tensor(const Tensor&)>& f) {
  Inputs y;
  for (const Tensor& t : x) y.push_back(f(t));
  return y;
}

/// Of values and gradients alike: one rounding to `t`, and 2^-20 of the magnitudes that were added
/// for the sum in f32, of up to some thousands of terms. `repeats`: an operand serves several of a
/// batch, each of whose gradients is rounded before they are added.
void check(const std::string& about, DType t, const Contraction& f,
           const std::vector<Shape>& shapes, bool repeats = false) {
  CAPTURE(about);
  CAPTURE(t);
  const Device cpu;
  manual_seed(11);
  Inputs values;
  for (const Shape& s : shapes) values.push_back(randn(s, {.device = cpu}).to(t));
  const Tensor shape_of_y = f(values);
  const Tensor dy = randn(shape_of_y.shape(), {.device = cpu}).to(t);

  const auto there = [](const Tensor& x) { return x.to(default_device()); };
  const auto exact = [](const Tensor& x) { return x.to(f64); };
  const auto magnitude = [](const Tensor& x) { return abs(x.to(f64)); };
  const Inputs got = forward_and_backward(f, each(values, there), there(dy)),
               want = forward_and_backward(f, each(values, exact), exact(dy)),
               sums = forward_and_backward(f, each(values, magnitude), magnitude(dy));
  const double rounding = t == bf16 ? 0x1p-8 : 0x1p-11;
  for (std::size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    const Tensor x = got[i].to(cpu).to(f64);
    REQUIRE((x.shape() == want[i].shape()));
    const Tensor rounded = repeats ? sums[i] : abs(want[i]);
    const Tensor over = abs(x - want[i]) - (rounded * rounding + sums[i] * 0x1p-20);
    CHECK(amax(over).item() <= 0);
    CHECK(amax(abs(want[i])).item() > 0);
  }
}

}  // namespace

TEST_CASE("products of halves are as near as sums in f32 are, in every layout") {
  for (const DType t : {f16, bf16}) {
    const auto product = [](const Inputs& x) { return matmul(x[0], x[1]); };
    check("multiples of eight", t, product, {{64, 72}, {72, 40}});
    check("odd sizes", t, product, {{33, 71}, {71, 19}});
    check("large tiles, several blocks of k", t, product, {{130, 520}, {520, 136}});
    check("few rows", t, product, {{3, 300}, {300, 65}});
    check("one column", t, product, {{40, 129}, {129, 1}});
    check("a batch", t, product, {{3, 24, 40}, {3, 40, 32}});
    check("a batch that repeats", t, product, {{2, 3, 20, 32}, {3, 32, 24}}, true);
    check("transposed", t, [](const Inputs& x) { return matmul(x[0].t(), x[1].t()); },
          {{48, 64}, {40, 48}});
    check("windows that begin between vectors", t,
          [](const Inputs& x) { return matmul(x[0].narrow(1, 3, 64), x[1].narrow(0, 1, 64)); },
          {{40, 72}, {66, 48}});
    check("linear", t, [](const Inputs& x) { return linear(x[0], x[1], x[2]); },
          {{4, 12, 48}, {40, 48}, {40}});
  }
}

TEST_CASE("convolutions of halves are as near as sums in f32 are") {
  for (const DType t : {f16, bf16}) {
    const auto conv = [](const Conv2dOptions& o) {
      return [o](const Inputs& x) { return conv2d(x[0], x[1], x.size() > 2 ? x[2] : Tensor(), o); };
    };
    check("3 x 3", t, conv({.padding_h = 1, .padding_w = 1}),
          {{2, 16, 9, 10}, {24, 16, 3, 3}, {24}});
    check("strides and dilation", t,
          conv({.stride_h = 2, .stride_w = 1, .padding_h = 1, .padding_w = 2, .dilation_w = 2}),
          {{2, 20, 9, 7}, {40, 20, 3, 3}});
    check("groups", t, conv({.stride_w = 2, .groups = 2}), {{3, 36, 6, 6}, {48, 18, 2, 3}, {48}});
    check("one channel, few filters", t, conv({}), {{2, 1, 14, 14}, {6, 1, 5, 5}, {6}});
  }
}
