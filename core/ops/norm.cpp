// core/ops/norm.cpp -- softmax, logsumexp, layer and batch norm: row kernels with hand-written
// gradients
#include <bit>

#include "core/autograd/autograd.h"
#include "core/autograd/hooks.h"
#include "core/autograd/tape.h"
#include "core/ops/checks.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"
#include "core/scope.h"

namespace flash {
namespace {

using autograd::BackwardCall;
using autograd::Rule;

int check(const Tensor& x, int dim, const char* op) {
  return normalize_dim(dim, check_float(x, op).dim(), op);
}

/// Runs `forward(wide x)` without the tape, rounds once, and records the result, which is saved.
template <class F>
Tensor row_op(const Rule& rule, const Tensor& x, int dim, F&& forward) {
  Scope scope(rule.name);
  const bool on = autograd::tracks_any({&x});
  Tensor y;
  {
    autograd::GradMode off(false);
    // Nothing to normalise over: an empty result, or one element (0-d) as a row of its own.
    if (x.numel() == 0)
      y = x.clone();
    else if (x.dim() == 0)
      y = as_dtype(forward(widen(x).unsqueeze(0)), x.dtype()).squeeze(0).clone();
    else
      y = as_dtype(forward(widen(x)), x.dtype());
  }
  const std::int64_t words[] = {dim};
  if (on) autograd::record_composite(rule, {&x}, y, {&y}, words);
  return y;
}

Shape row_dim(BackwardCall& c) { return c.grad().dim() == 0 ? Shape{} : Shape{c.word(0)}; }

// y·(g − Σ g·y)
void softmax_vjp(BackwardCall& c) {
  const Tensor y = widen(c.saved(0)), g = widen(c.grad());
  const Tensor gy = g * y;
  c.give(0, as_dtype(y * (g - sum(gy, row_dim(c), true)), c.input_dtype(0)));
}
const Rule kSoftmax{.name = "softmax", .vjp = softmax_vjp};

// g − eʸ·Σ g
void log_softmax_vjp(BackwardCall& c) {
  const Tensor y = widen(c.saved(0)), g = widen(c.grad());
  c.give(0, as_dtype(g - exp(y) * sum(g, row_dim(c), true), c.input_dtype(0)));
}
const Rule kLogSoftmax{.name = "log_softmax", .vjp = log_softmax_vjp};

// g·e^(x − y). Saved: x, y. Words: dim, keepdim.
void logsumexp_vjp(BackwardCall& c) {
  const Tensor x = widen(c.saved(0));
  Tensor y = widen(c.saved(1)), g = widen(c.grad());
  if (!c.word(1) && x.dim() > 0) {
    const int d = static_cast<int>(c.word(0));
    y = y.unsqueeze(d);
    g = g.unsqueeze(d);
  }
  c.give(0, as_dtype(g * exp(x - y), c.input_dtype(0)));
}
const Rule kLogSumExp{.name = "logsumexp", .vjp = logsumexp_vjp};

/// Mean and 1/√(variance + eps) of each row.
struct RowStats {
  Tensor mean, rstd, variance;
};
RowStats row_stats(const Tensor& x, const Shape& dims, double eps) {
  const Tensor mu = mean(x, dims, true);
  const Tensor centered = x - mu;
  const Tensor variance = mean(centered * centered, dims, true);
  return {mu, rsqrt(variance + eps), variance};
}

Shape dims_of(std::int64_t mask) {
  Shape dims;
  for (int d = 0; d < kMaxRank; ++d)
    if ((mask >> d) & 1) dims.push_back(d);
  return dims;
}

// With x̂ = (x − μ)·r and h = g·w:  dx = r·(h − mean(h) − x̂·mean(h·x̂)),  dw = Σ g·x̂,  db = Σ g.
// Saved: x, w, μ, r. Words: the mask of normalised dimensions, the bits of eps.
void normalise_vjp(BackwardCall& c) {
  const Tensor x = widen(c.saved(0)), w = c.saved(1), g = widen(c.grad());
  const Shape dims = dims_of(c.word(0));
  // To be differentiated again, the statistics must be functions of x.
  const RowStats s = grad_enabled() ? row_stats(x, dims, std::bit_cast<double>(c.word(1)))
                                    : RowStats{c.saved(2), c.saved(3), {}};
  const Tensor normal = (x - s.mean) * s.rstd;
  if (c.needs(0)) {
    const Tensor h = w.defined() ? g * widen(w) : g;
    const Tensor inner = h - mean(h, dims, true) - normal * mean(h * normal, dims, true);
    c.give(0, as_dtype(s.rstd * inner, c.input_dtype(0)));
  }
  if (c.needs(1))
    c.give(1, as_dtype(autograd::sum_to(g * normal, c.input_shape(1)), c.input_dtype(1)));
  if (c.needs(2)) c.give(2, as_dtype(autograd::sum_to(g, c.input_shape(2)), c.input_dtype(2)));
}
const Rule kLayerNorm{.name = "layer_norm", .vjp = normalise_vjp};
const Rule kBatchNorm{.name = "batch_norm", .vjp = normalise_vjp};

/// (x − μ)·r·w + b with statistics over the dimensions of `mask`; w and b broadcast or are
/// undefined.
Tensor normalise(const Rule& rule, const Tensor& x, std::int64_t mask, const Tensor& weight,
                 const Tensor& bias, double eps, RowStats& s) {
  const bool on = autograd::tracks_any({&x, &weight, &bias});
  Tensor y;
  {
    autograd::GradMode off(false);
    const Tensor w = widen(x);
    s = row_stats(w, dims_of(mask), eps);
    y = (w - s.mean) * s.rstd;
    if (weight.defined()) y = y * widen(weight);
    if (bias.defined()) y = y + widen(bias);
    y = as_dtype(y, x.dtype());
  }
  const std::int64_t words[] = {mask, std::bit_cast<std::int64_t>(eps)};
  if (on)
    autograd::record_composite(rule, {&x, &weight, &bias}, y, {&x, &weight, &s.mean, &s.rstd},
                               words);
  return y;
}

void check_affine(const Tensor& x, const Tensor& t, const Shape& shape, const char* op,
                  const char* what) {
  if (!t.defined()) return;
  if (!(t.shape() == shape))
    throw ShapeError(std::string(op) + ": the " + what + " has shape " + t.shape().str() +
                     ", for an input of shape " + x.shape().str() + " it must be " + shape.str());
  if (t.dtype() != x.dtype() && t.dtype() != DType::kF32)
    throw DTypeError(std::string(op) + ": the " + what + " is " + std::string(name(t.dtype())) +
                     " and the input " + std::string(name(x.dtype())) + "; convert one with to()");
}

}  // namespace

Tensor softmax(const Tensor& x, int dim) {
  const int d = check(x, dim, "softmax");
  return row_op(kSoftmax, x, d, [d](const Tensor& t) {
    const Tensor e = exp(t - amax(t, {d}, true));
    return e / sum(e, {d}, true);
  });
}

Tensor log_softmax(const Tensor& x, int dim) {
  const int d = check(x, dim, "log_softmax");
  return row_op(kLogSoftmax, x, d, [d](const Tensor& t) {
    const Tensor shifted = t - amax(t, {d}, true);
    return shifted - log(sum(exp(shifted), {d}, true));
  });
}

Tensor logsumexp(const Tensor& x, int dim, bool keepdim) {
  if (x.defined() && is_integral(x.dtype()))
    return logsumexp(as_dtype(x, DType::kF32), dim, keepdim);
  const int d = check(x, dim, "logsumexp");
  Scope scope("logsumexp");
  const bool on = autograd::tracks_any({&x});
  Tensor y;
  {
    autograd::GradMode off(false);
    const Tensor w = widen(x);
    const Shape dims = x.dim() == 0 ? Shape{} : Shape{d};
    if (x.dim() > 0 && x.size(d) == 0) {
      y = as_dtype(log(sum(w, dims, keepdim)), x.dtype());  // the logarithm of an empty sum: −∞
    } else {
      // An infinite maximum would give ∞ − ∞; such rows need no shift.
      const Tensor top = amax(w, dims, true);
      const Tensor shift = where(isfinite(top), top, 0.0);
      const Tensor full = log(sum(exp(w - shift), dims, true)) + shift;
      y = as_dtype(keepdim || x.dim() == 0 ? full : full.squeeze(d).clone(), x.dtype());
    }
  }
  const std::int64_t words[] = {d, keepdim};
  if (on) autograd::record_composite(kLogSumExp, {&x}, y, {&x, &y}, words);
  return y;
}

Tensor layer_norm(const Tensor& x, const Shape& shape, const Tensor& weight, const Tensor& bias,
                  double eps) {
  check(x, 0, "layer_norm");
  const int n = shape.rank(), lead = x.dim() - n;
  bool fits = n > 0 && lead >= 0;
  for (int i = 0; fits && i < n; ++i) fits = x.size(lead + i) == shape[i];
  if (!fits)
    throw ShapeError("layer_norm: the last dimensions of input " + x.shape().str() +
                     " are not the normalised shape " + shape.str());
  check_affine(x, weight, shape, "layer_norm", "weight");
  check_affine(x, bias, shape, "layer_norm", "bias");
  Scope scope("layer_norm");
  RowStats s;
  const std::int64_t mask = ((std::int64_t{1} << n) - 1) << lead;
  return normalise(kLayerNorm, x, mask, weight, bias, eps, s);
}

Tensor batch_norm(const Tensor& x, Tensor& running_mean, Tensor& running_var, const Tensor& weight,
                  const Tensor& bias, bool training, double momentum, double eps) {
  check(x, 0, "batch_norm");
  if (x.dim() < 2)
    throw ShapeError("batch_norm: input " + x.shape().str() + " must be [N, C, ...]");
  const Shape channels{x.size(1)};
  check_affine(x, weight, channels, "batch_norm", "weight");
  check_affine(x, bias, channels, "batch_norm", "bias");
  check_affine(x, running_mean, channels, "batch_norm", "running mean");
  check_affine(x, running_var, channels, "batch_norm", "running variance");
  if (running_mean.defined() != running_var.defined() || (!training && !running_mean.defined()))
    throw ValueError("batch_norm: the running mean and variance are both wanted in evaluation");
  Scope scope("batch_norm");
  Shape column = x.shape();
  for (int d = 0; d < column.rank(); ++d) column[d] = d == 1 ? x.size(1) : 1;
  const auto wide = [&](const Tensor& t) { return t.defined() ? t.view(column) : t; };
  if (!training) {
    const Tensor w = widen(x);
    Tensor y = (w - widen(wide(running_mean))) * rsqrt(widen(wide(running_var)) + eps);
    if (weight.defined()) y = y * widen(wide(weight));
    if (bias.defined()) y = y + widen(wide(bias));
    return as_dtype(y, x.dtype());
  }
  const std::int64_t n = x.size(1) > 0 ? x.numel() / x.size(1) : 0;
  if (n < 2)
    throw ValueError("batch_norm: training needs more than one value a channel, input is " +
                     x.shape().str());
  const std::int64_t mask = ((std::int64_t{1} << x.dim()) - 1) & ~std::int64_t{2};
  RowStats s;
  const Tensor y = normalise(kBatchNorm, x, mask, wide(weight), wide(bias), eps, s);
  if (running_mean.defined()) {
    autograd::GradMode off(false);
    const double unbiased = static_cast<double>(n) / static_cast<double>(n - 1);
    const auto move = [&](Tensor& running, const Tensor& batch) {
      const Tensor old = widen(running);
      running.copy_(old * (1.0 - momentum) + batch.reshape(channels) * momentum);
    };
    move(running_mean, s.mean);
    move(running_var, s.variance * unbiased);
  }
  return y;
}

}  // namespace flash
