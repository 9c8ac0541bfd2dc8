// core/ops/reduce.cpp -- reductions and what is composed of them
#include "core/ops/reduce.h"

#include <limits>

#include "core/ops/checks.h"
#include "core/ops/create.h"
#include "core/ops/elementwise.h"
#include "core/ops/iota.h"
#include "core/scope.h"

namespace flash {
namespace {

std::int64_t mask_of(const Tensor& x, const Shape& dims, const char* op) {
  check_defined(x, op);
  if (dims.empty()) return (std::int64_t{1} << x.dim()) - 1;
  std::int64_t mask = 0;
  for (std::int64_t d : dims) {
    const std::int64_t bit = std::int64_t{1} << normalize_dim(d, x.dim(), op);
    if (x.dim() > 0 && (mask & bit))
      throw IndexError(std::string(op) + ": dimension " + std::to_string(d) + " is given twice");
    mask |= bit;
  }
  return x.dim() == 0 ? 0 : mask;
}

Tensor reduce(Prim op, const Tensor& x, const Shape& dims, bool keepdim, const char* name) {
  const std::int64_t mask = mask_of(x, dims, name);
  std::int64_t terms = 1;
  Shape kept;
  for (int i = 0; i < x.dim(); ++i) {
    if ((mask >> i) & 1)
      terms *= x.size(i);
    else
      kept.push_back(x.size(i));
  }
  if (terms != 1) return bind(op, {&x}, {mask, keepdim});
  // One term reduces to itself, but a sum starts at +0. Said as a map, it fuses with its
  // neighbours.
  const Tensor& one = keepdim || !mask ? x : x.view(kept);
  return op == Prim::kSum ? add(one, 0) : one.clone();
}

std::int64_t count(const Tensor& x, const Shape& dims) {
  if (dims.empty()) return x.numel();
  std::int64_t n = 1;
  if (x.dim() > 0)
    for (std::int64_t d : dims) n *= x.size(static_cast<int>(d));
  return n;
}

/// amax and amin have no value over nothing.
void check_not_empty(const Tensor& x, const Shape& dims, const char* op) {
  mask_of(x, dims, op);
  if (count(x, dims) == 0 && x.numel() == 0)
    throw ShapeError(std::string(op) + ": the reduced dimensions of shape " + x.shape().str() +
                     " are empty");
}

Tensor variance(const Tensor& x, const Shape& dims, bool keepdim, int correction) {
  const Tensor centered = sub(x, mean(x, dims, true));
  const double n = static_cast<double>(count(x, dims) - correction);
  return div(sum(mul(centered, centered), dims, keepdim), n > 0 ? n : 0.0);
}

/// The square root of a variance, whose gradient is 0 where nothing varies, not NaN.
Tensor deviation(const Tensor& variance) {
  const Tensor none = eq(variance, 0);
  return where(none, variance, sqrt(where(none, 1.0, variance)));
}

Tensor arg_extreme(const Tensor& x, std::optional<int> dim, bool keepdim, bool largest) {
  const char* op = largest ? "argmax" : "argmin";
  check_defined(x, op);
  if (!dim) {
    const Tensor index = arg_extreme(x.reshape({-1}), 0, false, largest);
    Shape ones;
    for (int i = 0; keepdim && i < x.dim(); ++i) ones.push_back(1);
    return index.view(ones);
  }
  const int d = normalize_dim(*dim, x.dim(), op);
  if (x.dim() == 0) return zeros({}, DType::kI64);
  check_not_empty(x, {d}, op);
  Scope scope(op);
  const Tensor best = largest ? amax(x, {d}, true) : amin(x, {d}, true);
  Shape along;
  for (int i = 0; i < x.dim(); ++i) along.push_back(i == d ? x.size(d) : 1);
  const Tensor index = iota_on(x.size(d), x.device()).view(along);
  // A NaN extreme equals nothing: the first NaN is looked for instead.
  const Tensor hit = is_floating(x.dtype()) ? logical_or(eq(x, best), isnan(x)) : eq(x, best);
  return amin(where(hit, index, std::numeric_limits<std::int64_t>::max()), {d}, keepdim);
}

}  // namespace

Tensor sum(const Tensor& x, const Dims& dims, bool keepdim) {
  mask_of(x, dims, "sum");
  return reduce(Prim::kSum, is_integral(x.dtype()) ? as_dtype(x, DType::kI64) : x, dims, keepdim,
                "sum");
}
Tensor prod(const Tensor& x, const Dims& dims, bool keepdim) {
  mask_of(x, dims, "prod");
  return reduce(Prim::kProd, is_integral(x.dtype()) ? as_dtype(x, DType::kI64) : x, dims, keepdim,
                "prod");
}
Tensor amax(const Tensor& x, const Dims& dims, bool keepdim) {
  check_not_empty(x, dims, "amax");
  return reduce(Prim::kMax, x, dims, keepdim, "amax");
}
Tensor amin(const Tensor& x, const Dims& dims, bool keepdim) {
  check_not_empty(x, dims, "amin");
  return reduce(Prim::kMin, x, dims, keepdim, "amin");
}
Tensor any(const Tensor& x, const Dims& dims, bool keepdim) {
  mask_of(x, dims, "any");
  return ne(sum(as_dtype(x, DType::kBool), dims, keepdim), 0);
}
Tensor all(const Tensor& x, const Dims& dims, bool keepdim) {
  mask_of(x, dims, "all");
  return eq(sum(logical_not(x), dims, keepdim), 0);
}

Tensor mean(const Tensor& x, const Dims& dims, bool keepdim) {
  check_float(x, "mean");
  const Tensor s = reduce(Prim::kSum, widen(x), dims, keepdim, "mean");
  return as_dtype(div(s, static_cast<double>(count(x, dims))), x.dtype());
}

Tensor var(const Tensor& x, const Dims& dims, bool keepdim, int correction) {
  check_float(x, "var");
  Scope scope("var");
  return as_dtype(variance(widen(x), dims, keepdim, correction), x.dtype());
}
Tensor std(const Tensor& x, const Dims& dims, bool keepdim, int correction) {
  check_float(x, "std");
  Scope scope("std");
  return as_dtype(deviation(variance(widen(x), dims, keepdim, correction)), x.dtype());
}

Tensor argmax(const Tensor& x, std::optional<int> dim, bool keepdim) {
  return arg_extreme(x, dim, keepdim, true);
}
Tensor argmin(const Tensor& x, std::optional<int> dim, bool keepdim) {
  return arg_extreme(x, dim, keepdim, false);
}

Tensor Tensor::sum(const Dims& dims, bool keepdim) const& {
  return flash::sum(*this, dims, keepdim);
}
Tensor Tensor::mean(const Dims& dims, bool keepdim) const& {
  return flash::mean(*this, dims, keepdim);
}
Tensor Tensor::prod(const Dims& dims, bool keepdim) const& {
  return flash::prod(*this, dims, keepdim);
}
Tensor Tensor::var(const Dims& dims, bool keepdim, int correction) const& {
  return flash::var(*this, dims, keepdim, correction);
}
Tensor Tensor::std(const Dims& dims, bool keepdim, int correction) const& {
  return flash::std(*this, dims, keepdim, correction);
}
Tensor Tensor::amax(const Dims& dims, bool keepdim) const& {
  return flash::amax(*this, dims, keepdim);
}
Tensor Tensor::amin(const Dims& dims, bool keepdim) const& {
  return flash::amin(*this, dims, keepdim);
}
Tensor Tensor::argmax(std::optional<int> dim, bool keepdim) const& {
  return flash::argmax(*this, dim, keepdim);
}
Tensor Tensor::softmax(int dim) const& { return flash::softmax(*this, dim); }
Tensor Tensor::log_softmax(int dim) const& { return flash::log_softmax(*this, dim); }

}  // namespace flash
