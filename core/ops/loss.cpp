// core/ops/loss.cpp -- losses: cross entropy as one row kernel, negative log-likelihood, squared
// error
#include <bit>
#include <limits>
#include <mutex>

#include "core/autograd/autograd.h"
#include "core/autograd/hooks.h"
#include "core/autograd/tape.h"
#include "core/log.h"
#include "core/ops/checks.h"
#include "core/ops/elementwise.h"
#include "core/ops/iota.h"
#include "core/ops/linalg.h"
#include "core/ops/reduce.h"
#include "core/ops/scalar_bits.h"
#include "core/scope.h"

namespace flash {
namespace {

using autograd::BackwardCall;
using autograd::Rule;

void check_classes(const Tensor& x, const Tensor& target, const char* op) {
  check_defined(x, op);
  check_defined(target, op);
  if (x.dim() != 2 || target.dim() != 1 || x.size(0) != target.size(0))
    throw ShapeError(std::string(op) + ": scores " + x.shape().str() + " and target " +
                     target.shape().str() + " must be [N, classes] and [N]");
  if (!is_floating(x.dtype()))
    throw DTypeError(std::string(op) + ": the scores must have a floating dtype, not " +
                     std::string(name(x.dtype())));
  if (!is_integral(target.dtype()) || target.dtype() == DType::kBool)
    throw DTypeError(std::string(op) + ": the target must hold integer classes, not " +
                     std::string(name(target.dtype())));
  if (x.size(1) == 0)
    throw ShapeError(std::string(op) + ": there are no classes in " + x.shape().str());
}

/// What a column of targets [N, 1] says about scores [N, C].
struct Classes {
  Tensor hit;      // [N, C] bool: this is the row's class
  Tensor counted;  // [N, 1] bool: the row is not ignored
  Tensor weight;   // [N, 1]: 1; NaN where the class doesn't exist, so that a bad target is seen
};
Classes classes_of(const Tensor& target, std::int64_t classes, std::int64_t ignore, DType dtype) {
  const Tensor column = as_dtype(target, DType::kI64).unsqueeze(1);
  const Tensor counted = ne(column, ignore);
  const Tensor unknown = logical_and(counted, logical_or(lt(column, 0), ge(column, classes)));
  const Tensor one = scalar_on(1, dtype, target.device());
  return {eq(iota_on(classes, target.device()), column), counted,
          where(unknown, std::numeric_limits<double>::quiet_NaN(), one)};
}

/// One loss a row [N, 1] → the result; `count` is set for the mean.
Tensor reduce_rows(const Tensor& rows, const Classes& k, const Tensor& target, std::int64_t ignore,
                   Reduction reduction, Tensor& count) {
  if (reduction == Reduction::kNone) return where(k.counted, rows, 0.0).squeeze(1);
  // Ignored rows are left out behind the rows' own kernel, by a mask of the rows' shape: the mean's
  // two sums share it and so make one kernel as well.
  const Tensor counted = ne(as_dtype(target, DType::kI64), ignore);
  const Tensor kept = where(counted, rows.squeeze(1), 0.0);
  if (reduction == Reduction::kSum) return sum(kept);
  count = sum(counted.to(rows.dtype()));
  return sum(kept) / count;
}

// Saved: x, target, the rows' maximum and log Σ e^(x − max), the number of counted rows (mean
// only). Words: reduction, ignored class, bits of the label smoothing. d/dx of a row: softmax(x) −
// (1 − s)·onehot − s/C, times the row's gradient.
void cross_entropy_vjp(BackwardCall& c) {
  const Tensor x = widen(c.saved(0)), target = c.saved(1);
  const auto reduction = static_cast<Reduction>(c.word(0));
  const double smoothing = std::bit_cast<double>(c.word(2));
  const auto n = static_cast<double>(x.size(1));
  const Classes k = classes_of(target, x.size(1), c.word(1), x.dtype());
  Tensor top = c.saved(2), log_sum = c.saved(3);
  if (grad_enabled()) log_sum = log(sum(exp(x - top), {1}, true));  // as a function of x
  Tensor g = widen(c.grad());
  if (reduction == Reduction::kNone)
    g = g.unsqueeze(1);
  else if (reduction == Reduction::kMean)
    g = g / c.saved(4);
  const Tensor probability = exp(x - top - log_sum);
  const Tensor expected = where(
      k.hit, scalar_on(1.0 - smoothing + smoothing / n, x.dtype(), x.device()), smoothing / n);
  const Tensor dx = (probability - expected) * (g * k.weight);
  c.give(0, as_dtype(where(k.counted, dx, 0.0), c.input_dtype(0)));
}
const Rule kCrossEntropy{.name = "cross_entropy", .vjp = cross_entropy_vjp};

}  // namespace

Tensor cross_entropy(const Tensor& logits, const Tensor& target, Reduction reduction,
                     std::int64_t ignore_index, double label_smoothing) {
  check_classes(logits, target, "cross_entropy");
  if (!(label_smoothing >= 0.0 && label_smoothing < 1.0))
    throw ValueError("cross_entropy: the label smoothing must be in [0, 1), not " +
                     std::to_string(label_smoothing));
  Scope scope("cross_entropy");
  const bool on = autograd::tracks_any({&logits});
  Tensor loss, top, log_sum, count;
  {
    autograd::GradMode off(false);
    const Tensor x = widen(logits);
    const Classes k = classes_of(target, x.size(1), ignore_index, x.dtype());
    top = amax(x, {1}, true);
    const Tensor shifted = x - top;
    log_sum = log(sum(exp(shifted), {1}, true));
    Tensor rows = log_sum - sum(where(k.hit, shifted, 0.0), {1}, true);
    if (label_smoothing > 0.0)
      rows =
          rows * (1.0 - label_smoothing) + (log_sum - mean(shifted, {1}, true)) * label_smoothing;
    rows = rows * k.weight;
    loss = as_dtype(reduce_rows(rows, k, target, ignore_index, reduction, count), logits.dtype());
    if (reduction == Reduction::kNone) loss = loss.clone();
  }
  const std::int64_t words[] = {static_cast<std::int64_t>(reduction), ignore_index,
                                std::bit_cast<std::int64_t>(label_smoothing)};
  if (on)
    autograd::record_composite(kCrossEntropy, {&logits}, loss,
                               {&logits, &target, &top, &log_sum, &count}, words);
  return loss;
}

Tensor nll_loss(const Tensor& log_prob, const Tensor& target, Reduction reduction,
                std::int64_t ignore_index) {
  check_classes(log_prob, target, "nll_loss");
  Scope scope("nll_loss");
  const Tensor x = widen(log_prob);
  const Classes k = classes_of(target, x.size(1), ignore_index, x.dtype());
  const Tensor picked = sum(where(k.hit, x, 0.0), {1}, true);
  Tensor count;
  return as_dtype(reduce_rows(neg(picked) * k.weight, k, target, ignore_index, reduction, count),
                  log_prob.dtype());
}

Tensor mse_loss(const Tensor& x, const Tensor& target, Reduction reduction) {
  check_defined(x, "mse_loss");
  check_defined(target, "mse_loss");
  if (!is_floating(x.dtype()) || !is_floating(target.dtype()))
    throw DTypeError("mse_loss: takes floating dtypes, not " + std::string(name(x.dtype())) +
                     " and " + std::string(name(target.dtype())));
  Scope scope("mse_loss");
  const DType dtype = result_type(x, target);
  const Tensor d = widen(x) - widen(target);
  if (x.shape() != target.shape()) {
    static std::once_flag told;  // [N, 1] against [N] gives N x N differences, and trains nothing
    std::call_once(told, [&] {
      logging::warn("mse_loss: " + x.shape().str() + " and target " + target.shape().str() +
                    " are broadcast against each other; if that is not meant, reshape one");
    });
  }
  const Tensor square = d * d;
  if (reduction == Reduction::kNone) return as_dtype(square, dtype);
  return as_dtype(reduction == Reduction::kSum ? sum(square) : mean(square), dtype);
}

}  // namespace flash
