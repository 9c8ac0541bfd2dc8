// jit/ir/math_log.cpp -- log, log1p, log2 as kernel IR
//
// x = 2^k (1 + f) with f in [-1/3, 1/3) (f32) or [sqrt(1/2) - 1, sqrt(2) - 1) (f64), then a series
// in f (f32) or in s = f / (2 + f) (f64, as in fdlibm's e_log.c: log(1+f) = f - f²/2 + s (f²/2 +
// R)). Coefficients: Remez exchange in 240-bit arithmetic, relative error of the logarithm beside
// them.
#include <limits>

#include "jit/ir/expr.h"
#include "jit/ir/math.h"

namespace flash::ir {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// (log(1+f) - f) / f²: 2^-27.8.
constexpr double kLog32[] = {-0x1.fffff8p-2, 0x1.555550p-2,  -0x1.000438p-2,
                             0x1.99a41cp-3,  -0x1.5423e8p-3, 0x1.226c7ep-3,
                             -0x1.0f51f4p-3, 0x1.08754cp-3,  -0x1.381572p-4};
// (log2(1+f) - f log2(e)) / f²: 2^-30.2.
constexpr double kLog2_32[] = {-0x1.715476p-1, 0x1.ec708cp-2, -0x1.7154acp-2, 0x1.277e64p-2,
                               -0x1.ec71c6p-3, 0x1.a42b02p-3, -0x1.6ef084p-3, 0x1.5f59fep-3,
                               -0x1.574272p-3, 0x1.8adf7cp-4};
// (2 atanh(s)/s - 2) / s² in s² on |s| <= 0.1716: 2^-59.5.
constexpr double kLog64[] = {0x1.5555555555592p-1, 0x1.999999997fed7p-2, 0x1.24924941e74d5p-2,
                             0x1.c71c520e10cc5p-3, 0x1.74663e719d05cp-3, 0x1.39a1bc79a85f6p-3,
                             0x1.2f05a7197c2b2p-3};

// Bits of sqrt(1/2), the lower end of the range of 1 + f.
std::int64_t lowest(Type t) { return t == Type::kF32 ? 0x3f3504f3 : 0x3fe6a09e667f3bcd; }

// An integer as a float of the same size, |i| < 2^20. i64 → f64 is slow before AVX-512, an addition
// in the mantissa of 1.5 * 2^52 is not.
Expr to_float(Expr i) {
  if (i.type() == Type::kI32) return i.to(Type::kF32);
  return (i + std::int64_t{0x4338000000000000}).as(Type::kF64) - 0x1.8p52;
}

struct Decomposed {
  Expr k, f;  // x = 2^k (1 + f)
};

// For finite x > 0; anything for others.
Decomposed decompose(Expr x) {
  const Type t = x.type();
  const Format fmt = format(t);
  const bool f32 = t == Type::kF32;
  const int shift = f32 ? 23 : 52;
  const Expr subnormal = x < (f32 ? 0x1p-126 : 0x1p-1022);
  const Expr normal = select(subnormal, x * (f32 ? 0x1p23 : 0x1p52), x);
  const Expr bits = normal.as(fmt.bits);
  const Expr k = shr_a(bits - lowest(t), fmt.mantissa);
  const Expr f = (bits - (k << fmt.mantissa)).as(t) - 1.0;
  const Expr correction = select(subnormal, literal(x, -shift), 0.0);
  return {to_float(k) + correction, f};
}

// k log(2) + log(1 + f).
Expr assemble(Decomposed d) {
  const auto [k, f] = d;
  if (k.type() == Type::kF32) return fma(k, 0x1.62e430p-1, fma(f * f, polynomial(f, kLog32), f));
  const Expr s = f / (f + 2.0);
  const Expr z = s * s;
  const Expr r = z * polynomial(z, kLog64);
  const Expr half_square = f * f * 0.5;
  // log(2) in two parts, the first with 41 bits so that k times it is exact.
  const Expr low = fma(s, half_square + r, k * 0x1.3de6af278ece6p-42);
  return fma(k, 0x1.62e42fefa3000p-1, f - (half_square - low));
}

// The logarithm's values outside of (0, inf): +inf and NaN stay, 0 gives -inf, below 0 NaN.
Expr with_limits(Expr x, Expr y) {
  y = select(x < kInf, y, x);
  y = select(x < 0.0, kNaN, y);
  return select(x == 0.0, -kInf, y);
}

}  // namespace

Value log(Builder& b, Value x0) {
  const Expr x{&b, x0};
  return with_limits(x, assemble(decompose(x))).v;
}

// k comes from 1 + x rounded; f = 2^-k (1 + x) - 1 then is 2^-k x + (2^-k - 1), rounded once.
Value log1p(Builder& b, Value x0) {
  const Expr x{&b, x0};
  const Type t = x.type();
  const Format fmt = format(t);
  const Expr u = x + 1.0;
  const Expr k = shr_a(u.as(fmt.bits) - lowest(t), fmt.mantissa);
  // 4 * 2^-k is normal for the largest k, 2^-k need not be.
  const Expr four = literal(k, fmt.one + (std::int64_t{2} << fmt.mantissa));
  const Expr scale = (four - (k << fmt.mantissa)).as(t) * 0.25;
  const Expr offset = scale - 1.0;
  const Expr f = fma(x, scale, offset);
  Expr y = x;
  if (t == Type::kF32) {
    // What f lost in rounding is worth up to 0.7 ULP of the result; its share is f_low / (1 + f).
    const Expr f_low = fma(x, scale, offset - f);
    const Expr tail = fma(f * f, polynomial(f, kLog32), fma(f_low, -f, f_low));
    y = fma(to_float(k), 0x1.62e430p-1, f + tail);
  } else {
    y = assemble({to_float(k), f});
  }
  const Expr limited = with_limits(u, y);
  return select(x == 0.0, x, limited).v;
}

Value log2(Builder& b, Value x0) {
  const Expr x{&b, x0};
  const auto [k, f] = decompose(x);
  // k + log2(1 + f) = head + e + …, with e the rounding errors of head's product and sum.
  Expr y = x;
  if (x.type() == Type::kF32) {
    constexpr double kHi = 0x1.715476p+0, kLo = 0x1.4ae0c0p-26;
    const Expr p = f * kHi;
    const Expr head = k + p;
    const Expr e = fma(f, kHi, -p) + (p - (head - k));
    y = head + fma(f * f, polynomial(f, kLog2_32), fma(f, kLo, e));
  } else {
    constexpr double kHi = 0x1.71547652b82fep+0, kLo = 0x1.777d0ffda0d24p-56;
    const Expr s = f / (f + 2.0);
    const Expr z = s * s;
    const Expr half_square = f * f * 0.5;
    const Expr hi = f - half_square;
    const Expr lo = fma(s, half_square + z * polynomial(z, kLog64), (f - hi) - half_square);
    const Expr p = hi * kHi;
    const Expr head = k + p;
    const Expr e = fma(hi, kHi, -p) + (p - (head - k));
    y = head + fma(hi, kLo, fma(lo, kHi, e));
  }
  return with_limits(x, y).v;
}

}  // namespace flash::ir
