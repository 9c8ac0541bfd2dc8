// core/ops/create.cpp -- constants, ranges and random tensors
#include "core/ops/create.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numbers>
#include <type_traits>

#include "core/ops/bind.h"
#include "core/ops/elementwise.h"
#include "core/ops/iota.h"
#include "core/ops/scalar_bits.h"

namespace flash {

std::int64_t scalar_bits(Scalar v, DType dtype) {
  const auto float_bits = [](float f) {
    return static_cast<std::int64_t>(std::bit_cast<std::uint32_t>(f));
  };
  switch (dtype) {
    case DType::kF64:
      return std::bit_cast<std::int64_t>(v.to_double());
    case DType::kF32:
      return float_bits(static_cast<float>(v.to_double()));
    case DType::kF16:
      return float_bits(to_float(to_half(static_cast<float>(v.to_double()))));
    case DType::kBF16:
      return float_bits(to_float(to_bfloat16(static_cast<float>(v.to_double()))));
    case DType::kI64:
      return v.to_int();
    case DType::kI32:
      return static_cast<std::int32_t>(v.to_int());
    case DType::kI16:
      return static_cast<std::int16_t>(v.to_int());
    case DType::kI8:
      return static_cast<std::int8_t>(v.to_int());
    case DType::kU8:
      return static_cast<std::uint8_t>(v.to_int());
    case DType::kBool:
      return v.to_double() != 0.0;
  }
  return 0;
}

namespace {
template <class T>
bool holds(Scalar v) {
  if (v.kind != Scalar::Kind::kFloat)
    return v.i >= std::numeric_limits<T>::min() && v.i <= std::numeric_limits<T>::max();
  // Both bounds are doubles; NaN is in no range.
  const double below = -std::ldexp(1.0, std::numeric_limits<T>::digits);
  const double least = std::is_signed_v<T> ? below : 0.0;
  return std::trunc(v.f) >= least && std::trunc(v.f) < -below;
}
bool holds(DType d, Scalar v) {
  switch (d) {
    case DType::kI64:
      return holds<std::int64_t>(v);
    case DType::kI32:
      return holds<std::int32_t>(v);
    case DType::kI16:
      return holds<std::int16_t>(v);
    case DType::kI8:
      return holds<std::int8_t>(v);
    case DType::kU8:
      return holds<std::uint8_t>(v);
    default:
      return true;
  }
}
}  // namespace

void check_holds(DType dtype, Scalar value, const char* op) {
  if (holds(dtype, value)) return;
  char text[32];
  std::snprintf(text, sizeof text, "%.17g", value.to_double());
  throw ValueError(std::string(op) + ": " +
                   (value.kind == Scalar::Kind::kFloat ? text : std::to_string(value.i)) +
                   " is not a number that " + std::string(name(dtype)) +
                   " holds; convert the tensor with to(), or choose another dtype");
}

Tensor scalar_on(Scalar value, DType dtype, Device device) {
  const std::int64_t bits = scalar_bits(value, dtype);
  return bind_source(Prim::kScalar, {}, dtype, device, {&bits, 1});
}

Tensor scalar_tensor(Scalar value, DType dtype, Device device) {
  check_holds(dtype, value, "scalar_tensor");
  return scalar_on(value, dtype, device);
}

namespace {
DType natural_dtype(Scalar::Kind kind) {
  switch (kind) {
    case Scalar::Kind::kBool:
      return DType::kBool;
    case Scalar::Kind::kInt:
      return DType::kI64;
    default:
      return DType::kF32;
  }
}

Tensor as_asked(Tensor t, const TensorOptions& o) {
  if (o.requires_grad) t.set_requires_grad();
  return t;
}

Tensor filled(const Shape& shape, Scalar value, const TensorOptions& o, const char* op) {
  check_shape(shape, op);
  const DType dtype = o.dtype.value_or(natural_dtype(value.kind));
  bytes_of(shape, dtype, op);
  check_holds(dtype, value, op);
  const Tensor v = scalar_on(value, dtype, o.device);
  const Tensor* in = &v;
  Tensor t = bind(Prim::kExpand, {&in, 1}, {}, &shape);
  return as_asked(std::move(t), o);
}
}  // namespace

Tensor full(const Shape& shape, Scalar value, const TensorOptions& o) {
  return filled(shape, value, o, "full");
}
Tensor zeros(const Shape& shape, const TensorOptions& o) { return filled(shape, 0.0, o, "zeros"); }
Tensor ones(const Shape& shape, const TensorOptions& o) { return filled(shape, 1.0, o, "ones"); }
Tensor full_like(const Tensor& t, Scalar value) {
  return full(t.shape(), value, {.dtype = t.dtype(), .device = t.device()});
}
Tensor zeros_like(const Tensor& t) { return full_like(t, 0); }
Tensor ones_like(const Tensor& t) { return full_like(t, 1); }
Tensor tensor(std::initializer_list<Scalar> values, const TensorOptions& o) {
  auto kind = values.size() == 0 ? Scalar::Kind::kFloat : Scalar::Kind::kBool;
  for (const Scalar& v : values) kind = std::max(kind, v.kind);
  const auto all = [&]<class T>(T (Scalar::*as)() const) {
    std::vector<T> v;
    v.reserve(values.size());
    for (const Scalar& s : values) v.push_back((s.*as)());
    return from_vector(v);
  };
  const Tensor t = kind == Scalar::Kind::kFloat ? all(&Scalar::to_double) : all(&Scalar::to_int);
  return as_asked(t.to(o.dtype.value_or(natural_dtype(kind))).to(o.device), o);
}

namespace {
/// `n` as a count of 64-bit integers; throws ShapeError where they are too many.
std::int64_t arange_count(__int128 n) {
  if (n > INT64_MAX / 8)
    throw ShapeError("arange: the range has more elements than a 64-bit count of bytes holds");
  return static_cast<std::int64_t>(n);
}

/// That the dtype holds the first and the last of `n` numbers, and so those between.
void check_ends(DType dtype, std::int64_t n, Scalar first, Scalar last, const char* op) {
  if (n == 0) return;
  check_holds(dtype, first, op);
  check_holds(dtype, last, op);
}
}  // namespace

Tensor arange(Scalar start, Scalar end, Scalar step, const TensorOptions& o) {
  const double width = end.to_double() - start.to_double();
  if (step.to_double() == 0.0 || !std::isfinite(width) || !std::isfinite(step.to_double()))
    throw ValueError("arange: the step must not be 0 and the bounds must be finite");
  const bool integer = start.kind != Scalar::Kind::kFloat && end.kind != Scalar::Kind::kFloat &&
                       step.kind != Scalar::Kind::kFloat;
  if (width / step.to_double() < 0) throw ValueError("arange: the step leads away from the end");
  if (integer) {
    // The distance of two 64-bit numbers has 65 bits.
    const std::int64_t s = step.to_int();
    const __int128 w = static_cast<__int128>(end.to_int()) - start.to_int();
    if (w != 0 && (w < 0) != (s < 0)) throw ValueError("arange: the step leads away from the end");
    const std::int64_t n = arange_count((w + s - (s > 0 ? 1 : -1)) / s);
    const DType dtype = o.dtype.value_or(DType::kI64);
    const __int128 last = start.to_int() + static_cast<__int128>(s) * (n - 1);
    check_ends(dtype, n, start, static_cast<std::int64_t>(last), "arange");
    return as_asked(iota_on(n, o.device, start.to_int(), s).to(dtype), o);
  }
  const double count = std::ceil(width / step.to_double());
  const std::int64_t n = arange_count(static_cast<__int128>(std::min(count, 0x1p63)));
  const DType dtype = o.dtype.value_or(DType::kF32);
  check_ends(dtype, n, start, start.to_double() + step.to_double() * static_cast<double>(n - 1),
             "arange");
  const Tensor i = iota_on(n, o.device).to(DType::kF64);
  return as_asked(add(mul(i, step), start).to(dtype), o);
}
Tensor arange(Scalar start, Scalar end, const TensorOptions& o) { return arange(start, end, 1, o); }
Tensor arange(Scalar end, const TensorOptions& o) {
  return arange(end.kind == Scalar::Kind::kFloat ? Scalar(0.0) : Scalar(0), end, 1, o);
}

Tensor linspace(double start, double end, std::int64_t steps, const TensorOptions& o) {
  if (steps < 0) throw ValueError("linspace: the number of steps must not be negative");
  bytes_of({steps}, DType::kF64, "linspace");
  const Tensor i = iota_on(steps, o.device).to(DType::kF64);
  const double step = steps > 1 ? (end - start) / static_cast<double>(steps - 1) : 0.0;
  // From both ends, so that the last element is `end` exactly.
  const Tensor up = add(mul(i, step), start);
  const Tensor down = sub(end, mul(sub(static_cast<double>(steps - 1), i), step));
  const DType dtype = o.dtype.value_or(DType::kF32);
  return as_asked(where(lt(i, static_cast<double>(steps) / 2), up, down).to(dtype), o);
}

Tensor eye(std::int64_t n, const TensorOptions& o) {
  check_shape({n, n}, "eye");
  const Tensor i = iota_on(n, o.device);
  return as_asked(eq(i.unsqueeze(1), i.unsqueeze(0)).to(o.dtype.value_or(DType::kF32)), o);
}

namespace {

void check_drawable(DType dtype, const char* op) {
  if (!is_floating(dtype))
    throw DTypeError(std::string(op) + ": takes a floating dtype, not " + std::string(name(dtype)) +
                     "; see randint()");
}

Tensor uniform(const Shape& shape, DType dtype, Device device, Generator* generator) {
  bytes_of(shape, dtype, "rand");  // before numbers are taken that nobody gets
  Generator& g = generator ? *generator : default_generator();
  const bool wide = dtype == DType::kF64;  // two words an element
  const auto first = static_cast<std::int64_t>(g.reserve(shape.numel() * (wide ? 2 : 1)));
  const std::int64_t attrs[] = {static_cast<std::int64_t>(g.seed()), first};
  if (!is_half(dtype)) return bind_source(Prim::kUniform, shape, dtype, device, attrs);
  // As many bits as the half type holds below 1, so that rounding never gives 1.
  const double scale = dtype == DType::kF16 ? 2048.0 : 256.0;
  const Tensor u = bind_source(Prim::kUniform, shape, DType::kF32, device, attrs);
  return mul(floor(mul(u, scale)), 1.0 / scale).to(dtype);
}

}  // namespace

Tensor rand(const Shape& shape, const TensorOptions& o, Generator* generator) {
  check_shape(shape, "rand");
  const DType dtype = o.dtype.value_or(DType::kF32);
  check_drawable(dtype, "rand");
  return as_asked(uniform(shape, dtype, o.device, generator), o);
}

Tensor randn(const Shape& shape, const TensorOptions& o, Generator* generator) {
  check_shape(shape, "randn");
  const DType dtype = o.dtype.value_or(DType::kF32);
  check_drawable(dtype, "randn");
  const DType draw = dtype == DType::kF64 ? DType::kF64 : DType::kF32;
  const Tensor u = uniform(shape, draw, o.device, generator);
  const Tensor v = uniform(shape, draw, o.device, generator);
  // 1 - u is in (0, 1]: its logarithm is finite.
  const Tensor radius = sqrt(mul(log(sub(1.0, u)), -2.0));
  return as_asked(mul(radius, cos(mul(v, 2.0 * std::numbers::pi))).to(dtype), o);
}

Tensor randint(std::int64_t low, std::int64_t high, const Shape& shape, const TensorOptions& o,
               Generator* generator) {
  if (low >= high)
    throw ValueError("randint: the range [" + std::to_string(low) + ", " + std::to_string(high) +
                     ") is empty");
  const double range = static_cast<double>(high) - static_cast<double>(low);
  if (range > 0x1p53) throw ValueError("randint: the range may hold 2^53 integers at most");
  check_shape(shape, "randint");
  const DType dtype = o.dtype.value_or(DType::kI64);
  check_ends(dtype, shape.numel(), low, high - 1, "randint");
  const Tensor u = uniform(shape, DType::kF64, o.device, generator);
  return as_asked(add(floor(mul(u, range)).to(DType::kI64), low).to(dtype), o);
}

}  // namespace flash
