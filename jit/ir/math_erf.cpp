// jit/ir/math_erf.cpp -- erf and rsqrt as kernel IR
//
// erf of f64: below 1.25 an odd polynomial, x + x P(x²). Above, erfc(x)^(1/8) is so close to a
// short polynomial that three squarings after it cost less than an exponential. Coefficients: Remez
// exchange in 240-bit arithmetic.
#include "jit/ir/expr.h"
#include "jit/ir/math.h"

namespace flash::ir {
namespace {

// erf(x)/x - 1 in x²: relative error of erf 2^-56.3 on x <= 1.25.
constexpr double kSmall[] = {0x1.06eba8214db69p-3,   -0x1.812746b037a14p-2,  0x1.ce2f21a0443b0p-4,
                             -0x1.b82ce312d79cfp-6,  0x1.565bcd16e6751p-8,   -0x1.c02db5150dcb4p-11,
                             0x1.f9a33d6979d03p-14,  -0x1.f4d38f086def4p-17, 0x1.b9f1a8fb0ce0dp-20,
                             -0x1.5fb3b0cc3ab8bp-23, 0x1.fe6e3dfd1d0b6p-27,  -0x1.535cf9bf4cd33p-30,
                             0x1.89458dd9b7efap-34,  -0x1.2a4a14c79a9cfp-38};
// erfc(x)^(1/8) in x - 1.75 on [1.25, 5.94]: absolute error of erf 2^-57.0.
constexpr double kTail[] = {0x1.2a726153630aap-1,   -0x1.276eeca241e46p-2,  0x1.4e1a9e0a515f6p-8,
                            0x1.4022d4d66594fp-6,   -0x1.dbd7e0ad031b3p-10, -0x1.e2c8c68dfd588p-11,
                            0x1.5695238121627p-13,  0x1.432fef780290bp-16,  -0x1.9645c18913c11p-18,
                            -0x1.a5197f814636ap-24, 0x1.a89799249a515p-24,  0x1.b5b274d70d998p-27,
                            -0x1.65d0929494770p-28, 0x1.a5b01cb92260bp-33,  0x1.171e9d8a9a1dfp-33,
                            -0x1.07d26946f32f8p-35, 0x1.fa104394566f5p-39,  -0x1.d1bf61a6a6dbcp-43};

}  // namespace

Value erf(Builder& b, Value x0) {
  const Expr x{&b, x0};
  if (x.type() == Type::kF32) return erf_f32(b, x0);
  const Expr magnitude = abs(x);
  const Expr small = fma(polynomial(x * x, kSmall), x, x);
  Expr tail = polynomial(at_most(magnitude, 5.94) - 1.75, kTail);
  for (int squarings = 0; squarings < 2; ++squarings) tail = tail * tail;
  const Expr large = copy_sign(fma(tail, -tail, 1.0), x);
  return select(magnitude < 1.25, small, large).v;
}

// y = 1 / sqrt(x) has two roundings; one Newton step y + y (1 - x y²) / 2, its residual exact by
// fma, takes most of them back. Where that residual is NaN (x = 0, inf, below 0) y itself is right.
Value rsqrt(Builder& b, Value x0) {
  const Expr x{&b, x0};
  const Expr y = literal(x, 1.0) / sqrt(x);
  const Expr p = x * y;
  const Expr p_low = fma(x, y, -p);
  const Expr rest = fma(p_low, -y, fma(p, -y, 1.0));
  const Expr better = fma(y * 0.5, rest, y);
  return select(abs(rest) < 1.0, better, y).v;
}

}  // namespace flash::ir
