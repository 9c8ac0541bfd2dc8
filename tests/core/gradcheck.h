// tests/core/gradcheck.h -- gradients against central differences in f64, first and second order
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "core/autograd/autograd.h"
#include "core/ops/create.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"
#include "core/tensor.h"

namespace flash::testing {

using Function = std::function<Tensor(const std::vector<Tensor>&)>;

/// Reproducible numbers in [low, high], apart from each other so that no maximum is close to a tie.
inline std::vector<double> numbers(std::int64_t n, double low, double high, unsigned seed) {
  std::vector<double> v(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < v.size(); ++i) {
    const double golden = 0.6180339887498949;
    const double x = golden * (static_cast<double>(i) + 1.0) + 0.31 * seed;
    v[i] = low + (high - low) * (x - std::floor(x));
  }
  return v;
}

inline Tensor leaf(const std::vector<double>& v, const Shape& shape) {
  Tensor t = from_vector(v, shape);
  t.set_requires_grad();
  return t;
}

/// Σ f(inputs)·w for fixed weights w: one number whose gradient shows every output.
inline Tensor weighted(const Function& f, const std::vector<Tensor>& inputs) {
  const Tensor y = f(inputs);
  const Tensor w = from_vector(numbers(y.numel(), -1.0, 1.0, 7), y.shape());
  return sum(y.to(f64) * w);
}

using Values = std::vector<std::vector<double>>;

inline void compare(const Function& scalar, const Values& values, const std::vector<Shape>& shapes,
                    const std::string& what, double tolerance) {
  std::vector<Tensor> leaves;
  for (std::size_t i = 0; i < values.size(); ++i) leaves.push_back(leaf(values[i], shapes[i]));
  const std::vector<Tensor> g = grad({scalar(leaves)}, leaves);
  for (std::size_t i = 0; i < values.size(); ++i) {
    CAPTURE(what);
    CAPTURE(i);
    REQUIRE(g[i].shape() == shapes[i]);
    const std::vector<double> got = g[i].to_vector<double>();
    for (std::size_t k = 0; k < got.size(); ++k) {
      const double step = 1e-5;
      double ends[2];
      for (int side = 0; side < 2; ++side) {
        Values moved = values;
        moved[i][k] += side ? step : -step;
        std::vector<Tensor> at;
        for (std::size_t j = 0; j < values.size(); ++j) at.push_back(leaf(moved[j], shapes[j]));
        ends[side] = scalar(at).item();
      }
      const double want = (ends[1] - ends[0]) / (2 * step);
      CAPTURE(k);
      CAPTURE(got[k]);
      CAPTURE(want);
      CHECK(std::abs(got[k] - want) <= tolerance * (1.0 + std::abs(want)));
    }
  }
}

struct GradOptions {
  double low = -2.0, high = 2.0;
  bool second = true;  ///< also differentiate the gradient
  double tolerance = 1e-7;
};

/// Compares gradients of `f` at inputs of these shapes with central differences; then the gradients
/// of a weighted sum of its gradients.
inline void check_gradients(const std::string& what, const std::vector<Shape>& shapes,
                            const Function& f, const GradOptions& o = {}) {
  Values values;
  for (std::size_t i = 0; i < shapes.size(); ++i)
    values.push_back(numbers(shapes[i].numel(), o.low, o.high, static_cast<unsigned>(i)));
  compare([&](const std::vector<Tensor>& in) { return weighted(f, in); }, values, shapes, what,
          o.tolerance);
  if (!o.second) return;
  const Function of_gradients = [&](const std::vector<Tensor>& in) {
    // The square keeps a dependence on the inputs for linear operations as well.
    const Tensor y = f(in);
    const Tensor w = from_vector(numbers(y.numel(), 0.5, 1.5, 3), y.shape());
    const std::vector<Tensor> g = grad({sum(y * y * w)}, in, {}, true, true, true);
    Tensor total = full({}, 0.0, f64);
    for (std::size_t i = 0; i < g.size(); ++i) {
      if (!g[i].defined()) continue;
      total = total + sum(g[i] * from_vector(numbers(g[i].numel(), -1.0, 1.0, 11), g[i].shape()));
    }
    // Inputs that the gradients do not depend on shall have a gradient of zero.
    for (const Tensor& t : in) total = total + sum(t * 0.0);
    return total;
  };
  compare(of_gradients, values, shapes, what + " (second order)", 20 * o.tolerance);
}

}  // namespace flash::testing
