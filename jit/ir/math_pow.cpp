// jit/ir/math_pow.cpp -- pow as kernel IR
//
// |x|^y = 2^(y log2|x|). f32 is computed in f64, whose 53 bits are enough for all but the last
// rounding. f64 needs about 64 bits of log2|x| (y log2|x| reaches 1074, and its absolute error is
// the result's relative error): log2(1+f) = s (c1 + z (c3 + z (c5 + …))), s = f / (2 + f), z = s²,
// as sums of two doubles down to c5. Coefficients: Remez exchange in 240-bit arithmetic.
#include <limits>

#include "jit/ir/expr.h"
#include "jit/ir/math.h"

namespace flash::ir {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// log2(1+f) / s in z on |s| <= 0.1716: 2^-45.1.
constexpr double kLog2Short[] = {0x1.71547652b8251p+1, 0x1.ec709dc53c7a8p-1, 0x1.2776c293272b5p-1,
                                 0x1.a61a2edd437eap-2, 0x1.479552fc8d370p-2, 0x1.21b11964a3101p-2};
// (2^r - 1) / r on ±0.5: 2^-34.3.
constexpr double kExp2Short[] = {0x1.62e42ff0e18fcp-1, 0x1.ebfbe077863adp-3,  0x1.c6b08ac069b35p-5,
                                 0x1.3b29f39e264a3p-7, 0x1.5d8a85ff02e56p-10, 0x1.445c835aed7bap-13,
                                 0x1.fde5ffb8482b7p-17};
// c5 + z c7 + …: relative error of the logarithm 2^-73.4.
constexpr double kLog2Tail[] = {0x1.2776c50ef9bfcp-1, 0x1.a61762a7aedddp-2, 0x1.484b13d6acff8p-2,
                                0x1.0c9a853ae8372p-2, 0x1.c68ee9672b874p-3, 0x1.8a09b69105921p-3,
                                0x1.58fce7c4d2e3dp-3, 0x1.61efeaa649d2bp-3};
// (2^r - 1) / r on ±0.5: 2^-59.7.
constexpr double kExp2[] = {0x1.62e42fefa39efp-1,  0x1.ebfbdff82c58ep-3,  0x1.c6b08d704a1d5p-5,
                            0x1.3b2ab6fba51a0p-7,  0x1.5d87fe7873f44p-10, 0x1.430912f75639ep-13,
                            0x1.ffcbfd4b6ddfep-17, 0x1.62c027288861ap-20, 0x1.b5232cc0d0279p-24,
                            0x1.e4bb9c3bdf3c2p-28, 0x1.ec7a7dfed7a82p-32, 0x1.e0ccac92350c0p-36};

constexpr std::int64_t kSqrtHalf = 0x3fe6a09e667f3bcd;
constexpr std::int64_t kRoundBits = 0x4338000000000000;  // 1.5 * 2^52

struct Decomposed {
  Expr k, f;  // x = 2^k (1 + f), 1 + f in [sqrt(1/2), sqrt(2))
};
Decomposed decompose(Expr x) {
  const Expr bits = x.as(Type::kI64);
  const Expr k = shr_a(bits - kSqrtHalf, 52);
  const Expr f = (bits - (k << 52)).as(Type::kF64) - 1.0;
  return {(k + kRoundBits).as(Type::kF64) - 0x1.8p52, f};
}

// |x|^y for f32 operands given as f64, x > 0 and finite; saturates at 2^±300.
Expr power_f32(Expr log2_x, Expr y) {
  const Expr p = at_least(at_most(y * log2_x, 300), -300);
  const double round = 0x1.8p52 + 1023;
  const Expr shifted = p + round;
  const Expr r = p - (shifted - round);
  const Expr scale = (shifted.as(Type::kI64) << 52).as(Type::kF64);
  return fma(polynomial(r, kExp2Short), r, 1.0) * scale;
}

struct Sum {
  Expr hi, lo;
};
// a + b for |a| >= |b|, exact.
Sum fast_two_sum(Expr a, Expr b) {
  const Expr s = a + b;
  return {s, b - (s - a)};
}
// (a + b)(c + d) to about 2^-104.
Sum product(const Sum& x, const Sum& y) {
  const Expr p = x.hi * y.hi;
  return {p, fma(x.hi, y.hi, -p) + fma(x.hi, y.lo, x.lo * y.hi)};
}

Sum log2_f64(Expr x) {
  const Expr subnormal = x < 0x1p-1022;
  auto [k, f] = decompose(select(subnormal, x * 0x1p54, x));
  k = k - select(subnormal, literal(x, 54.0), 0.0);
  const Sum den = fast_two_sum(literal(x, 2.0), f);
  const Expr inverse = literal(x, 1.0) / den.hi;
  const Expr s_hi = f * inverse;
  const Sum s{s_hi, fma(den.lo, -s_hi, fma(den.hi, -s_hi, f)) * inverse};
  const Sum z = product(s, s);
  // c3 + z (c5 + …), then c1 + z (…).
  const Sum c3 = fast_two_sum(literal(x, 0x1.ec709dc3a03fdp-1), z.hi * polynomial(z.hi, kLog2Tail));
  const Sum zc3 = product(z, {c3.hi, c3.lo + 0x1.d27f05548af0cp-55});
  const Sum c1 = fast_two_sum(literal(x, 0x1.71547652b82fep+1), zc3.hi);
  const Sum log = product(s, {c1.hi, c1.lo + (zc3.lo + 0x1.777d0ffda0d24p-55)});
  const Sum head = fast_two_sum(k, log.hi);
  return {head.hi, head.lo + log.lo};
}

// 2^(y (log_hi + log_lo)). log_hi is infinite for x = 0 and inf.
Expr power_f64(Expr log_hi, Expr log_lo, Expr y) {
  const Expr product_hi = y * log_hi;
  const Expr product_lo = fma(y, log_lo, fma(y, log_hi, -product_hi));
  const Expr in_range = abs(product_hi) < 1100.0;
  const Expr p = at_least(at_most(product_hi, 1100), -1100);
  const double round = 0x1.8p52 + 2046;
  const Expr shifted = p + round;
  const Expr r = (p - (shifted - round)) + select(in_range, product_lo, 0.0);
  const Expr bits = shifted.as(Type::kI64);
  const Expr half = shr_l(bits, 1);
  const Expr value = fma(polynomial(r, kExp2), r, 1.0);
  return value * (half << 52).as(Type::kF64) * ((bits - half) << 52).as(Type::kF64);
}

// C99 F.9.4.4 around `magnitude` = |x|^y.
Expr with_special_cases(Expr x, Expr y, Expr magnitude) {
  const Format fmt = format(x.type());
  const Expr integral = trunc(y) == y;  // infinities too; they are even
  const Expr half = y * 0.5;
  const Expr odd = integral && !(trunc(half) == half);
  // A negative base: the sign of an odd power, NaN for a power between the integers.
  const Expr sign = x.as(fmt.bits) & fmt.sign;
  const Expr flipped = (magnitude.as(fmt.bits) ^ sign).as(x.type());
  Expr z = select(odd, flipped, magnitude);
  const Expr undefined = x < 0.0 && !(x == -kInf) && !integral;
  z = select(undefined, kNaN, z);
  const Expr one = x == 1.0 || y == 0.0 || (x == -1.0 && abs(y) == kInf);
  return select(one, 1.0, z);
}

// log2|x| at the ends: -inf at 0; inf and NaN as they are.
Expr with_ends(Expr magnitude, Expr log) {
  const Expr l = select(magnitude < kInf, log, magnitude);
  return select(magnitude == 0.0, -kInf, l);
}

}  // namespace

Value pow(Builder& b, Value x0, Value y0) {
  const Expr x{&b, x0}, y{&b, y0};
  if (x.type() == Type::kF32) {
    const Expr a = abs(x).to(Type::kF64);
    const auto [k, f] = decompose(a);
    const Expr s = f / (f + 2.0);
    const Expr log = fma(polynomial(s * s, kLog2Short), s, k);
    const Expr z = power_f32(with_ends(a, log), y.to(Type::kF64));
    return with_special_cases(x, y, z.to(Type::kF32)).v;
  }
  const Expr a = abs(x);
  const Sum log = log2_f64(a);
  return with_special_cases(x, y, power_f64(with_ends(a, log.hi), log.lo, y)).v;
}

}  // namespace flash::ir
