// jit/ir/expr.h -- operators over ir::Builder, so that a formula in IR reads as a formula
//
// An Expr is a value with its builder. Literals take the type of the Expr they meet: a double is
// converted, an integer is its bit pattern when the type is an integer type.
#pragma once

#include <cstdint>
#include <span>

#include "jit/ir/builder.h"

namespace flash::ir {

struct Expr {
  Builder* b;
  Value v;

  Type type() const { return b->type(v); }
  Expr with(Value other) const { return {b, other}; }
  Expr as(Type t) const { return with(b->bitcast(v, t)); }
  Expr to(Type t) const { return with(b->cast(v, t)); }
};

/// An operand: an Expr, or a literal that waits for a type.
class Arg {
 public:
  Arg(Expr e) : kind_(kExpr), e_(e) {}           // NOLINT: implicit on purpose
  Arg(double x) : kind_(kReal), real_(x) {}      // NOLINT
  Arg(int x) : kind_(kInt), int_(x) {}           // NOLINT
  Arg(std::int64_t x) : kind_(kInt), int_(x) {}  // NOLINT
  Arg(std::uint64_t x) : kind_(kInt), int_(static_cast<std::int64_t>(x)) {}  // NOLINT

  Value value(const Expr& like) const {
    if (kind_ == kExpr) return e_.v;
    Builder& b = *like.b;
    const Type t = like.type();
    if (kind_ == kReal) return b.constant(t, real_);
    if (t == Type::kI32) return b.i32(static_cast<std::int32_t>(int_));
    if (t == Type::kI64) return b.i64(int_);
    return b.constant(t, static_cast<double>(int_));
  }

 private:
  enum Kind : std::uint8_t { kExpr, kReal, kInt } kind_;
  Expr e_{nullptr, kNone};
  double real_ = 0;
  std::int64_t int_ = 0;
};

inline Expr binary(Op op, Expr a, const Arg& c) { return a.with(a.b->binary(op, a.v, c.value(a))); }
inline Expr unary(Op op, Expr a) { return a.with(a.b->unary(op, a.v)); }
inline Expr compare(Op op, Expr a, const Arg& c) {
  return a.with(a.b->compare(op, a.v, c.value(a)));
}

inline Expr operator+(Expr a, const Arg& c) { return binary(Op::kAdd, a, c); }
inline Expr operator-(Expr a, const Arg& c) { return binary(Op::kSub, a, c); }
inline Expr operator*(Expr a, const Arg& c) { return binary(Op::kMul, a, c); }
inline Expr operator/(Expr a, const Arg& c) { return binary(Op::kDiv, a, c); }
inline Expr operator&(Expr a, const Arg& c) { return binary(Op::kAnd, a, c); }
inline Expr operator|(Expr a, const Arg& c) { return binary(Op::kOr, a, c); }
inline Expr operator^(Expr a, const Arg& c) { return binary(Op::kXor, a, c); }
inline Expr operator<<(Expr a, const Arg& c) { return binary(Op::kShl, a, c); }
inline Expr operator-(Expr a) { return unary(Op::kNeg, a); }
inline Expr shr_l(Expr a, const Arg& c) { return binary(Op::kShrL, a, c); }
inline Expr shr_a(Expr a, const Arg& c) { return binary(Op::kShrA, a, c); }
inline Expr mul_hi_u(Expr a, const Arg& c) { return binary(Op::kMulHiU, a, c); }
inline Expr abs(Expr a) { return unary(Op::kAbs, a); }
inline Expr sqrt(Expr a) { return unary(Op::kSqrt, a); }
/// a * 2^n, rounded once; see kScale for what n may be.
inline Expr scale(Expr a, Expr n) { return binary(Op::kScale, a, n); }
inline Expr trunc(Expr a) { return unary(Op::kTrunc, a); }

inline Expr operator==(Expr a, const Arg& c) { return compare(Op::kEq, a, c); }
inline Expr operator==(Expr a, Expr c) { return a.with(a.b->compare(Op::kEq, a.v, c.v)); }
inline Expr operator<(Expr a, const Arg& c) { return compare(Op::kLt, a, c); }
inline Expr operator<=(Expr a, const Arg& c) { return compare(Op::kLe, a, c); }
inline Expr operator>(Expr a, const Arg& c) {
  return a.with(a.b->compare(Op::kLt, c.value(a), a.v));
}
inline Expr operator&&(Expr p, Expr q) { return p.with(p.b->binary(Op::kPAnd, p.v, q.v)); }
inline Expr operator||(Expr p, Expr q) { return p.with(p.b->binary(Op::kPOr, p.v, q.v)); }
inline Expr operator!(Expr p) { return unary(Op::kPNot, p); }

/// `yes` where p, else `no`; the Expr among them gives a literal its type.
inline Expr select(Expr p, Expr yes, const Arg& no) {
  return p.with(p.b->select(p.v, yes.v, no.value(yes)));
}
inline Expr select(Expr p, const Arg& yes, Expr no) {
  return p.with(p.b->select(p.v, yes.value(no), no.v));
}
inline Expr select(Expr p, Expr yes, Expr no) { return p.with(p.b->select(p.v, yes.v, no.v)); }

/// a * c + d, rounded once.
inline Expr fma(Expr a, const Arg& c, const Arg& d) {
  return a.with(a.b->fma(a.v, c.value(a), d.value(a)));
}

/// A literal with the type of `like`.
inline Expr literal(Expr like, const Arg& x) { return like.with(x.value(like)); }

/// x if x < limit or NaN, else limit; and the mirror image.
inline Expr at_most(Expr x, double limit) {
  const Expr l = literal(x, limit);
  return select(l < x, l, x);
}
inline Expr at_least(Expr x, double limit) {
  const Expr l = literal(x, limit);
  return select(x < l, l, x);
}

/// Σ c[i] x^i by Horner's rule with fma.
inline Expr polynomial(Expr x, std::span<const double> c) {
  Expr r = literal(x, c.back());
  for (std::size_t i = c.size() - 1; i-- > 0;) r = fma(r, x, c[i]);
  return r;
}

/// t[index & 15].
inline Expr lookup(const Table& t, Expr index) { return index.with(index.b->table(t, index.v)); }

/// Facts about an IEEE format that bit manipulations need.
struct Format {
  Type bits;     ///< integer type of the same size
  int mantissa;  ///< stored bits
  int bias;
  std::int64_t sign;  ///< mask
  std::int64_t one;   ///< bits of 1.0
};
inline Format format(Type t) {
  if (t == Type::kF32) return {Type::kI32, 23, 127, 0x80000000, 0x3f800000};
  return {Type::kI64, 52, 1023, static_cast<std::int64_t>(0x8000000000000000u), 0x3ff0000000000000};
}

/// `magnitude`, which is ≥ 0 or has that sign already, with the sign of `x`.
inline Expr copy_sign(Expr magnitude, Expr x) {
  const Format f = format(x.type());
  return (magnitude.as(f.bits) | (x.as(f.bits) & f.sign)).as(x.type());
}

}  // namespace flash::ir
