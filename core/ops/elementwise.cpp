// core/ops/elementwise.cpp -- promotion and the binding of element-wise operations
#include "core/ops/elementwise.h"

#include <cmath>
#include <limits>

#include "core/ops/checks.h"
#include "core/ops/create.h"
#include "core/ops/scalar_bits.h"
#include "core/scope.h"
#include "core/tensor_impl.h"

namespace flash {
namespace {

enum class Promote : std::uint8_t {
  kCommon,  // both to the common dtype
  kFloat,   // integers to f32 as well
};

DType promoted(DType d, Promote how) {
  return how == Promote::kFloat && is_integral(d) ? DType::kF32 : d;
}

Tensor binary(Prim op, const Tensor& a, const Tensor& b, Promote how = Promote::kCommon) {
  check_defined(a, info(op).name.data());
  check_defined(b, info(op).name.data());
  const DType da = a.impl()->dtype();
  if (da == b.impl()->dtype() && da == promoted(da, how)) return bind(op, {&a, &b});  // most often
  const DType d = promoted(result_type(a, b), how);
  const Tensor ca = as_dtype(a, d), cb = as_dtype(b, d);
  return bind(op, {&ca, &cb});
}
/// Operations that choose or compare: a number that wrapped would give a wrong answer.
bool compares(Prim op) {
  switch (op) {
    case Prim::kEq:
    case Prim::kNe:
    case Prim::kLt:
    case Prim::kLe:
    case Prim::kMaximum:
    case Prim::kMinimum:
      return true;
    default:
      return false;
  }
}
Tensor binary(Prim op, const Tensor& a, Scalar b, Promote how = Promote::kCommon) {
  check_defined(a, info(op).name.data());
  const DType d = promoted(result_type(a, b), how);
  if (compares(op)) check_holds(d, b, info(op).name.data());
  const Tensor cb = scalar_on(b, d, a.device());
  if (a.dtype() == d) return bind(op, {&a, &cb});
  const Tensor ca = as_dtype(a, d);
  return bind(op, {&ca, &cb});
}
Tensor binary(Prim op, Scalar a, const Tensor& b, Promote how = Promote::kCommon) {
  check_defined(b, info(op).name.data());
  const DType d = promoted(result_type(b, a), how);
  if (compares(op)) check_holds(d, a, info(op).name.data());
  const Tensor ca = scalar_on(a, d, b.device());
  if (b.dtype() == d) return bind(op, {&ca, &b});
  const Tensor cb = as_dtype(b, d);
  return bind(op, {&ca, &cb});
}

/// Unary functions of floats: integers and bool become f32.
Tensor float_unary(Prim op, const Tensor& x) {
  check_defined(x, info(op).name.data());
  if (is_floating(x.dtype())) return bind(op, {&x});
  const Tensor f = as_dtype(x, DType::kF32);
  return bind(op, {&f});
}
/// Rounding leaves integers as they are, in a tensor of their own.
Tensor rounding(Prim op, const Tensor& x) {
  check_defined(x, info(op).name.data());
  if (x.dtype() == DType::kBool)
    throw DTypeError(std::string(info(op).name) + ": takes numbers, not bool");
  return is_integral(x.dtype()) ? x.clone() : bind(op, {&x});
}

/// PyTorch has no differences with bool: of masks they are not what was meant.
void refuse_bool(bool is_bool) {
  if (is_bool)
    throw DTypeError(
        "sub: takes numbers, not bool; for masks use logical_xor() or logical_not(), else convert "
        "with to()");
}
const Tensor& number(const Tensor& t) {
  refuse_bool(check_defined(t, "sub").dtype() == DType::kBool);
  return t;
}
Scalar number(Scalar s) {
  refuse_bool(s.kind == Scalar::Kind::kBool);
  return s;
}

}  // namespace

#define FLASH_BINARY(name, prim, how)                                                              \
  Tensor name(const Tensor& a, const Tensor& b) { return binary(Prim::prim, a, b, Promote::how); } \
  Tensor name(const Tensor& a, Scalar b) { return binary(Prim::prim, a, b, Promote::how); }        \
  Tensor name(Scalar a, const Tensor& b) { return binary(Prim::prim, a, b, Promote::how); }
FLASH_BINARY(add, kAdd, kCommon)
FLASH_BINARY(mul, kMul, kCommon)
FLASH_BINARY(div, kDiv, kFloat)
FLASH_BINARY(floor_divide, kFloorDiv, kCommon)
FLASH_BINARY(remainder, kRem, kCommon)
FLASH_BINARY(fmod, kFmod, kCommon)
FLASH_BINARY(maximum, kMaximum, kCommon)
FLASH_BINARY(minimum, kMinimum, kCommon)
FLASH_BINARY(eq, kEq, kCommon)
FLASH_BINARY(ne, kNe, kCommon)
FLASH_BINARY(lt, kLt, kCommon)
FLASH_BINARY(le, kLe, kCommon)
FLASH_BINARY(bitwise_and, kAnd, kCommon)
FLASH_BINARY(bitwise_or, kOr, kCommon)
FLASH_BINARY(bitwise_xor, kXor, kCommon)
FLASH_BINARY(bitwise_left_shift, kShl, kCommon)
FLASH_BINARY(bitwise_right_shift, kShr, kCommon)
#undef FLASH_BINARY

Tensor sub(const Tensor& a, const Tensor& b) { return binary(Prim::kSub, number(a), number(b)); }
Tensor sub(const Tensor& a, Scalar b) { return binary(Prim::kSub, number(a), number(b)); }
Tensor sub(Scalar a, const Tensor& b) { return binary(Prim::kSub, number(a), number(b)); }

/// What another operation computes on the operands changed over; an error of shapes speaks of this
/// one, in the user's order.
template <class F>
Tensor as_named(const char* op, const Tensor& a, const Tensor& b, F&& f) {
  try {
    return f();
  } catch (const ShapeError&) {
    broadcast_shapes(a.shape(), b.shape(), op);
    throw;
  }
}

// a > b is b < a: the same comparison, NaN included.
#define FLASH_SWAPPED(name, prim)                                             \
  Tensor name(const Tensor& a, const Tensor& b) {                             \
    return as_named(#name, a, b, [&] { return binary(Prim::prim, b, a); });   \
  }                                                                           \
  Tensor name(const Tensor& a, Scalar b) { return binary(Prim::prim, b, a); } \
  Tensor name(Scalar a, const Tensor& b) { return binary(Prim::prim, b, a); }
FLASH_SWAPPED(gt, kLt)
FLASH_SWAPPED(ge, kLe)
#undef FLASH_SWAPPED

#define FLASH_LOGICAL(name, prim)                                                \
  Tensor name(const Tensor& a, const Tensor& b) {                                \
    return as_named(#name, a, b, [&] {                                           \
      return binary(Prim::prim, as_dtype(check_defined(a, #name), DType::kBool), \
                    as_dtype(check_defined(b, #name), DType::kBool));            \
    });                                                                          \
  }                                                                              \
  Tensor name(const Tensor& a, Scalar b) {                                       \
    return binary(Prim::prim, as_dtype(check_defined(a, #name), DType::kBool),   \
                  Scalar(b.to_double() != 0.0));                                 \
  }                                                                              \
  Tensor name(Scalar a, const Tensor& b) { return name(b, a); }
FLASH_LOGICAL(logical_and, kAnd)
FLASH_LOGICAL(logical_or, kOr)
FLASH_LOGICAL(logical_xor, kXor)
#undef FLASH_LOGICAL

Tensor pow(const Tensor& a, const Tensor& b) { return binary(Prim::kPow, a, b); }
Tensor pow(Scalar a, const Tensor& b) { return binary(Prim::kPow, a, b); }
// Exponents that change the algebra become other operations here, at record, alike for all
// evaluators.
Tensor pow(const Tensor& a, Scalar b) {
  const double e = b.to_double();
  const bool stays = result_type(a, b) == a.dtype();
  if (stays && e == 1.0) return a.clone();
  if (stays && e == 2.0) return mul(a, a);
  if (stays && e == 3.0) return mul(mul(a, a), a);
  if (is_floating(a.dtype())) {
    if (e == 0.5) return sqrt(a);
    if (e == -0.5) return rsqrt(a);
    if (e == -1.0) return reciprocal(a);
  }
  if (is_integral(a.dtype()) && b.kind != Scalar::Kind::kFloat && e < 0)
    throw ValueError(
        "pow: integers to a negative power are not integers; convert to a floating dtype");
  return binary(Prim::kPow, a, b);
}

#define FLASH_FLOAT(name, prim) \
  Tensor name(const Tensor& x) { return float_unary(Prim::prim, x); }
FLASH_FLOAT(sqrt, kSqrt)
FLASH_FLOAT(rsqrt, kRsqrt)
FLASH_FLOAT(exp, kExp)
FLASH_FLOAT(expm1, kExpm1)
FLASH_FLOAT(log, kLog)
FLASH_FLOAT(log1p, kLog1p)
FLASH_FLOAT(tanh, kTanh)
FLASH_FLOAT(sigmoid, kSigmoid)
FLASH_FLOAT(erf, kErf)
FLASH_FLOAT(sin, kSin)
FLASH_FLOAT(cos, kCos)
#undef FLASH_FLOAT

Tensor floor(const Tensor& x) { return rounding(Prim::kFloor, x); }
Tensor ceil(const Tensor& x) { return rounding(Prim::kCeil, x); }
Tensor round(const Tensor& x) { return rounding(Prim::kRound, x); }
Tensor trunc(const Tensor& x) { return rounding(Prim::kTrunc, x); }

Tensor neg(const Tensor& x) { return bind(Prim::kNeg, {&check_defined(x, "neg")}); }
Tensor abs(const Tensor& x) { return bind(Prim::kAbs, {&check_defined(x, "abs")}); }
Tensor square(const Tensor& x) {  // pow(x, 2): bool becomes i64
  const Tensor n =
      check_defined(x, "square").dtype() == DType::kBool ? as_dtype(x, DType::kI64) : x;
  return mul(n, n);
}
Tensor reciprocal(const Tensor& x) { return div(1, x); }
Tensor sign(const Tensor& x) {
  if (check_defined(x, "sign").dtype() == DType::kBool) return x.clone();
  const Tensor up = gt(x, 0).to(x.dtype()), down = lt(x, 0).to(x.dtype());
  if (!is_floating(x.dtype())) return sub(up, down);
  return where(isnan(x), x, sub(up, down));
}
Tensor bitwise_not(const Tensor& x) { return bind(Prim::kNot, {&check_defined(x, "bitwise_not")}); }
Tensor logical_not(const Tensor& x) {
  const Tensor b = as_dtype(check_defined(x, "logical_not"), DType::kBool);
  return bind(Prim::kNot, {&b});
}
Tensor isnan(const Tensor& x) { return ne(x, x); }
Tensor isinf(const Tensor& x) {
  if (!is_floating(check_defined(x, "isinf").dtype()))
    return full(x.shape(), false, {.dtype = boolean, .device = x.device()});
  return eq(abs(x), std::numeric_limits<double>::infinity());
}
Tensor isfinite(const Tensor& x) {
  if (!is_floating(check_defined(x, "isfinite").dtype()))
    return full(x.shape(), true, {.dtype = boolean, .device = x.device()});
  return lt(abs(x), std::numeric_limits<double>::infinity());
}
// Not minimum(maximum(x, low), high): their gradient at a tie is halved, here a bound lets it pass.
Tensor clamp(const Tensor& x, std::optional<Scalar> low, std::optional<Scalar> high) {
  if (!low && !high) throw ValueError("clamp: give at least one of the bounds");
  check_defined(x, "clamp");
  // No comparison with NaN holds: every value is out of bounds.
  for (const auto& bound : {low, high})
    if (bound && std::isnan(bound->to_double()))
      return where(scalar_on(true, DType::kBool, x.device()), *bound, x);
  const Tensor y = low ? where(lt(x, *low), *low, x) : x;
  return high ? where(gt(y, *high), *high, y) : y;
}

Tensor where(const Tensor& c, const Tensor& a, const Tensor& b) {
  const DType d = result_type(check_defined(a, "where"), check_defined(b, "where"));
  const Tensor ca = as_dtype(a, d), cb = as_dtype(b, d);
  return bind(Prim::kWhere, {&check_defined(c, "where"), &ca, &cb});
}
Tensor where(const Tensor& c, const Tensor& a, Scalar b) {
  const DType d = result_type(check_defined(a, "where"), b);
  check_holds(d, b, "where");
  const Tensor ca = as_dtype(a, d), cb = scalar_on(b, d, a.device());
  return bind(Prim::kWhere, {&check_defined(c, "where"), &ca, &cb});
}
Tensor where(const Tensor& c, Scalar a, const Tensor& b) {
  const DType d = result_type(check_defined(b, "where"), a);
  check_holds(d, a, "where");
  const Tensor ca = scalar_on(a, d, b.device()), cb = as_dtype(b, d);
  return bind(Prim::kWhere, {&check_defined(c, "where"), &ca, &cb});
}
Tensor fma(const Tensor& a, const Tensor& b, const Tensor& c) {
  const DType d =
      result_type({&check_defined(a, "fma"), &check_defined(b, "fma"), &check_defined(c, "fma")});
  const Tensor ca = as_dtype(a, d), cb = as_dtype(b, d), cc = as_dtype(c, d);
  return bind(Prim::kFma, {&ca, &cb, &cc});
}
Tensor lerp(const Tensor& a, const Tensor& b, Scalar weight) {
  const double w = weight.to_double();
  const bool exact = weight.kind != Scalar::Kind::kFloat &&
                     !is_floating(result_type(check_defined(a, "lerp"), check_defined(b, "lerp")));
  const Scope scope("lerp");
  if (exact || std::abs(w) < 0.5) return add(a, mul(sub(b, a), weight));
  return sub(b, mul(sub(b, a), 1 - w));
}
Tensor cast(const Tensor& x, DType dtype) { return as_dtype(check_defined(x, "cast"), dtype); }

Tensor operator-(const Tensor& a) { return neg(a); }
Tensor operator!(const Tensor& a) { return logical_not(a); }
Tensor operator~(const Tensor& a) { return bitwise_not(a); }
#define FLASH_OPERATOR(op, name)                                              \
  Tensor operator op(const Tensor& a, const Tensor& b) { return name(a, b); } \
  Tensor operator op(const Tensor& a, Scalar b) { return name(a, b); }        \
  Tensor operator op(Scalar a, const Tensor& b) { return name(a, b); }
FLASH_OPERATOR(+, add)
FLASH_OPERATOR(-, sub)
FLASH_OPERATOR(*, mul)
FLASH_OPERATOR(/, div)
FLASH_OPERATOR(==, eq)
FLASH_OPERATOR(!=, ne)
FLASH_OPERATOR(<, lt)
FLASH_OPERATOR(<=, le)
FLASH_OPERATOR(>, gt)
FLASH_OPERATOR(>=, ge)
FLASH_OPERATOR(&, bitwise_and)
FLASH_OPERATOR(|, bitwise_or)
FLASH_OPERATOR(^, bitwise_xor)
#undef FLASH_OPERATOR
Tensor Tensor::add(const Tensor& o) const& { return flash::add(*this, o); }
Tensor Tensor::add(Scalar o) const& { return flash::add(*this, o); }
Tensor Tensor::sub(const Tensor& o) const& { return flash::sub(*this, o); }
Tensor Tensor::sub(Scalar o) const& { return flash::sub(*this, o); }
Tensor Tensor::mul(const Tensor& o) const& { return flash::mul(*this, o); }
Tensor Tensor::mul(Scalar o) const& { return flash::mul(*this, o); }
Tensor Tensor::div(const Tensor& o) const& { return flash::div(*this, o); }
Tensor Tensor::div(Scalar o) const& { return flash::div(*this, o); }
Tensor Tensor::neg() const& { return flash::neg(*this); }
Tensor Tensor::abs() const& { return flash::abs(*this); }
Tensor Tensor::exp() const& { return flash::exp(*this); }
Tensor Tensor::log() const& { return flash::log(*this); }
Tensor Tensor::sqrt() const& { return flash::sqrt(*this); }
Tensor Tensor::tanh() const& { return flash::tanh(*this); }
Tensor Tensor::sigmoid() const& { return flash::sigmoid(*this); }
Tensor Tensor::relu() const& { return flash::relu(*this); }
Tensor Tensor::pow(Scalar e) const& { return flash::pow(*this, e); }

}  // namespace flash
