// train/metrics/meters.cpp -- sums that live in device tensors
#include "train/metrics/meters.h"

#include <limits>

#include "core/autograd/autograd.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"

namespace flash::metrics {
namespace {

/// A zero that is a value already: a pending constant would make the next step's trace another one.
template <class T>
Tensor zero() {
  const T value = 0;
  return from_host(&value, Shape{}, dtype_of<T>);
}

/// The sum goes to where the values are.
void follow(Tensor& sum, ChangeCount& count, const Tensor& values) {
  if (sum.device() == values.device()) return;
  const Tensor there = sum.to(values.device());  // first: now it is known what counts
  const std::int64_t n = count.value(sum);
  sum = there;
  count.set(sum, n);
}

Tensor own_copy(const Tensor& sum, DType dtype, const char* meter) {
  if (!sum.defined() || sum.numel() != 1 || sum.dtype() != dtype)
    throw ValueError(std::string(meter) + ": the state's sum must be one " +
                     std::string(name(dtype)) + " number");
  Tensor copy = sum.reshape({}).clone();
  copy.eval();
  return copy;
}

}  // namespace

void MeanMeter::update(const Tensor& value, std::int64_t weight) {
  if (value.numel() != 1)
    throw ShapeError("MeanMeter: the value has shape " + value.shape().str() +
                     "; give one number, a mean for example");
  NoGrad guard;
  follow(sum_, count_, value);
  sum_.add_(cast(value.detach().reshape({}), DType::kF64) * static_cast<double>(weight));
  count_.add(sum_, weight);
}

double MeanMeter::value() const {
  const double sum = sum_.item<double>();  // first: now it is known what counts
  if (count() == 0) return std::numeric_limits<double>::quiet_NaN();
  return sum / static_cast<double>(count());
}

void MeanMeter::reset() { set_state({zero<double>(), 0}); }

void MeanMeter::set_state(const MeterState& state) {
  sum_ = own_copy(state.sum, DType::kF64, "MeanMeter");
  count_.set(sum_, state.count);
}

void AccuracyMeter::update(const Tensor& logits, const Tensor& target) {
  if (logits.dim() != 2 || target.dim() != 1 || logits.size(0) != target.size(0))
    throw ShapeError("AccuracyMeter: logits are " + logits.shape().str() + " and targets " +
                     target.shape().str() + "; they must be [N, C] and [N]");
  NoGrad guard;
  follow(sum_, count_, logits);
  sum_.add_(sum(argmax(logits.detach(), 1) == target));
  count_.add(sum_, target.size(0));
}

std::int64_t AccuracyMeter::correct() const { return sum_.item<std::int64_t>(); }

double AccuracyMeter::value() const {
  const auto right = static_cast<double>(correct());  // first: now it is known what counts
  if (count() == 0) return std::numeric_limits<double>::quiet_NaN();
  return right / static_cast<double>(count());
}

void AccuracyMeter::reset() { set_state({zero<std::int64_t>(), 0}); }

void AccuracyMeter::set_state(const MeterState& state) {
  sum_ = own_copy(state.sum, DType::kI64, "AccuracyMeter");
  count_.set(sum_, state.count);
}

}  // namespace flash::metrics
