// jit/ir/math_exp.cpp -- exp, exp2, expm1, sigmoid, silu and f64's tanh as kernel IR
//
// All start from x = n ln 2 + r with |r| <= ln(2)/2 (Cody and Waite 1980, n rounded by adding a
// large constant, products exact by fma) and a polynomial for e^r. The polynomials are minimax in
// relative error (Remez exchange in 240-bit arithmetic; each coefficient is rounded before the next
// ones are fitted again); intervals and errors stand beside them.
#include "jit/ir/math.h"
#include "jit/ir/math_parts.h"

namespace flash::ir {
namespace {

// (e^r - 1 - r) / r² on ±0.3500: relative error of e^r 2^-28.2 (f32), 2^-63.7 (f64).
constexpr double kExp32[] = {0x1.fffffcp-2, 0x1.55548cp-3, 0x1.5558b8p-5, 0x1.123e58p-7,
                             0x1.6a4d72p-10};
constexpr double kExp64[] = {0x1p-1,
                             0x1.555555555555bp-3,
                             0x1.555555555552ep-5,
                             0x1.111111110ed00p-7,
                             0x1.6c16c16c27e6bp-10,
                             0x1.a01a01b3866d0p-13,
                             0x1.a01a014f612f2p-16,
                             0x1.71ddef8f7de3fp-19,
                             0x1.27e59018fe675p-22,
                             0x1.af6d86bb4c0cfp-26,
                             0x1.1e67b345c822ep-29};
// The same on ±0.46, relative error of e^r - 1: 2^-28.4 (f32), 2^-62.2 (f64).
constexpr double kExpm1_32[] = {0x1.000000p-1, 0x1.555552p-3,  0x1.555426p-5,
                                0x1.1113ccp-7, 0x1.6e2152p-10, 0x1.9f1dc6p-13};
constexpr double kExpm1_64[] = {
    0x1.0000000000000p-1,  0x1.5555555555555p-3,  0x1.555555555556ap-5,  0x1.11111111111a6p-7,
    0x1.6c16c16c0c5f4p-10, 0x1.a01a01a0093a2p-13, 0x1.a01a01d639fcep-16, 0x1.71de3a5733a5dp-19,
    0x1.27e47fa22d8c9p-22, 0x1.ae6459e740942p-26, 0x1.1ff03d628c4bep-29, 0x1.619fb7c8aa17dp-33};
// (2^r - 1) / r on ±0.5: relative error of 2^r 2^-28.3 (f32), 2^-59.7 (f64).
constexpr double kExp2_32[] = {0x1.62e430p-1, 0x1.ebfbdcp-3,  0x1.c6af7cp-5,
                               0x1.3b2de0p-7, 0x1.5f082ep-10, 0x1.416b5ep-13};
constexpr double kExp2_64[] = {0x1.62e42fefa39efp-1,  0x1.ebfbdff82c58ep-3,  0x1.c6b08d704a1d5p-5,
                               0x1.3b2ab6fba51a0p-7,  0x1.5d87fe7873f44p-10, 0x1.430912f75639ep-13,
                               0x1.ffcbfd4b6ddfep-17, 0x1.62c027288861ap-20, 0x1.b5232cc0d0279p-24,
                               0x1.e4bb9c3bdf3c2p-28, 0x1.ec7a7dfed7a82p-32, 0x1.e0ccac92350c0p-36};
// (tanh(x)/x - 1) / x² in x²: on x <= 0.75 relative error of tanh 2^-59.2.
constexpr double kTanh64[] = {
    -0x1.555555555554ap-2,  0x1.111111111046bp-3,  -0x1.ba1ba1b97e3bap-5,  0x1.664f4863eb17bp-6,
    -0x1.226e31cc7f7aap-7,  0x1.d6d348749cf9ap-9,  -0x1.7d9c7afcef8f5p-10, 0x1.35196afa54c7bp-11,
    -0x1.f25424600f41cp-13, 0x1.87f059adf8cf2p-14, -0x1.1a05f1b018429p-15, 0x1.3e91f36f84f24p-17,
    -0x1.8eef4894a1a94p-20};

// What differs between the two formats.
struct ExpConstants {
  double log2e, ln2_hi, ln2_lo;
  double round;      // 1.5 * 2^mantissa: adding it rounds to an integer
  double max, min;   // beyond them e^x is inf, 0
  double tiny;       // below it e^x - 1 is x to half an ulp
  double minus_one;  // below it e^x - 1 is -1
  double vanishing;  // below it x e^x is 0
  std::span<const double> exp;
};
const ExpConstants& constants(Type t) {
  static constexpr ExpConstants k32{
      0x1.715476p+0, 0x1.62e430p-1, -0x1.05c610p-29, 0x1.8p23, 89, -104, 0x1p-25,
      -18,           -109,          kExp32};
  static constexpr ExpConstants k64{0x1.71547652b82fep+0,
                                    0x1.62e42fefa39efp-1,
                                    0x1.abc9e3b39803fp-56,
                                    0x1.8p52,
                                    710,
                                    -746,
                                    0x1p-54,
                                    -38,
                                    -752,
                                    kExp64};
  return t == Type::kF32 ? k32 : k64;
}

struct Reduced {
  Expr n;     // integral, as a float
  Expr bits;  // n + offset in the low bits of an integer
  Expr r;
};

// x = n ln 2 + r. `offset` is added to the integer form of n only.
Reduced reduce(Expr x, int offset) {
  const ExpConstants& k = constants(x.type());
  const Expr shifted = fma(x, k.log2e, k.round + offset);
  const Expr n = shifted - (k.round + offset);
  Expr r = fma(n, -k.ln2_hi, x);
  r = fma(n, -k.ln2_lo, r);
  return {n, shifted.as(format(x.type()).bits), r};
}

// r + r² p(r) ≈ e^r - 1.
Expr expm1_of_reduced(Expr r, std::span<const double> p) { return fma(r * r, polynomial(r, p), r); }
Sum expm1_sum(Expr r, std::span<const double> p) {
  const Expr square = r * r;
  const Expr tail = polynomial(r, p);
  const Expr high = fma(square, tail, r);
  return {high, fma(square, tail, r - high)};
}

struct Scales {
  Expr first, second;
};
// Two powers of two whose product is 2^n, each in range when 2^n is subnormal or just above the
// largest float. `bits` holds n + 2 * bias in its low bits, what stands higher is shifted out.
Scales split_power(Expr bits, Type t) {
  const Format f = format(t);
  const Expr half = shr_l(bits, 1);
  return {(half << f.mantissa).as(t), ((bits - half) << f.mantissa).as(t)};
}
// 2^n from n + bias in the low bits, n in the normal range.
Expr power(Expr bits, Type t) { return (bits << format(t).mantissa).as(t); }

}  // namespace

Power exp_of(Sum x) {
  const ExpConstants& k = constants(x.high.type());
  const Expr shifted = fma(x.high, k.log2e, k.round);
  const Expr n = shifted - k.round;
  const Expr exact = fma(n, -k.ln2_hi, x.high);
  const Expr r = fma(n, -k.ln2_lo, exact);
  const Expr r_low = fma(n, -k.ln2_lo, exact - r) + x.low;
  const Sum q = expm1_sum(r, k.exp);
  return {n, {q.high, q.low + fma(r_low, q.high, r_low)}};
}

Value exp(Builder& b, Value x0) {
  const Type t = b.type(x0);
  const ExpConstants& k = constants(t);
  const Expr x = at_least(at_most({&b, x0}, k.max), k.min);
  const Reduced d = reduce(x, 0);
  return scale(fma(fma(polynomial(d.r, k.exp), d.r, 1.0), d.r, 1.0), d.n).v;
}

Value exp2(Builder& b, Value x0) {
  const Type t = b.type(x0);
  const bool f32 = t == Type::kF32;
  const Expr x = at_least(at_most({&b, x0}, f32 ? 128 : 1024), f32 ? -151 : -1076);
  const double round = constants(t).round;
  const Expr n = (x + round) - round;
  const Expr r = x - n;
  return scale(fma(polynomial(r, f32 ? std::span<const double>(kExp2_32) : kExp2_64), r, 1.0), n).v;
}

// e^x - 1 = 2 ((2^n / 2) q + (2^n / 2 - 1/2)) with q = e^r - 1. Arguments below 0.45 keep n = 0
// and a longer polynomial: 2^n q would magnify the rounding errors of q where the result is smaller
// than q's own terms.
Value expm1(Builder& b, Value x0) {
  const Type t = b.type(x0);
  const ExpConstants& k = constants(t);
  const Format f = format(t);
  const Expr original{&b, x0};
  const Expr x = at_least(at_most(original, k.max), k.minus_one);
  const double round = k.round + (f.bias - 1);
  const Expr shifted = select(abs(x) < 0.45, round, fma(x, k.log2e, round));
  const Expr n = shifted - round;
  const Expr exact = fma(n, -k.ln2_hi, x);
  const Expr r = fma(n, -k.ln2_lo, exact);
  const Expr r_low = fma(n, -k.ln2_lo, exact - r);
  const Expr p = polynomial(r, t == Type::kF32 ? std::span<const double>(kExpm1_32) : kExpm1_64);
  const Expr q = r + fma(r * r, p, r_low);
  const Expr half = power(shifted.as(f.bits), t);
  const Expr head = half - 0.5;
  const Expr head_low = (half - head) - 0.5;  // not 0 when 2^n just fills the mantissa
  const Expr y = (head + fma(q, half, head_low)) * 2.0;
  return select(abs(original) < k.tiny, original, y).v;
}

namespace {

// sigmoid(x), or x sigmoid(x). With t = e^-|x| = 2^n (1 + q): 1 / (1 + t) for x >= 0, t / (1 + t)
// below, where the numerator's 2^n is multiplied in last, so that subnormal results are rounded
// once. Denominator and numerator are sums of two floats; the quotient gets one correction step.
Expr sigmoid_quotient(Expr x, bool times_x) {
  const Type t = x.type();
  const ExpConstants& k = constants(t);
  const Expr negative = x < 0.0;
  const Reduced d = reduce(at_least(-abs(x), k.vanishing), 2 * format(t).bias);
  const auto [q, q_low] = expm1_sum(d.r, k.exp);
  const Scales s = split_power(d.bits, t);
  const Expr scale = s.first * s.second;

  const Expr one_plus = scale + 1.0;
  const Expr low_scale = scale - (one_plus - 1.0);
  const Expr den = fma(q, scale, one_plus);
  const Expr den_low = low_scale + fma(q, scale, one_plus - den);
  const Expr p = q + 1.0;
  Expr num = select(negative, p, 1.0);
  Expr num_low = select(negative, (q - (p - 1.0)) + q_low, 0.0);
  if (times_x) {
    const Expr product = num * x;
    num_low = fma(num_low, x, fma(num, x, -product));
    num = product;
  }

  const Expr inverse = literal(x, 1.0) / den;
  const Expr y = num * inverse;
  const Expr rest = fma(den_low, -y, fma(den, -y, num) + num_low);
  const Expr quotient = fma(rest, inverse, y);
  return select(negative, quotient * s.first * s.second, quotient);
}

}  // namespace

Value sigmoid(Builder& b, Value x0) { return sigmoid_quotient({&b, x0}, false).v; }

// Beyond the range of the quotient: x above (infinity and NaN too); below, -0, and NaN of -infinity
// as of -infinity * 0.
Value silu(Builder& b, Value x0) {
  const Expr x{&b, x0};
  const double vanishing = constants(x.type()).vanishing;
  const Expr quotient = select(x == 0.0, x, sigmoid_quotient(x, true));  // keeps -0
  const Expr y = select(x < -vanishing, quotient, x);
  return select(x < vanishing, x * 0.0, y).v;
}

// f64. Small |x|: an odd polynomial. Else 1 - 2 / (e^2|x| + 1), where the subtrahend is small
// enough to add little of its own errors.
Value tanh(Builder& b, Value x0) {
  const Type t = b.type(x0);
  if (t == Type::kF32) return tanh_f32(b, x0);
  const Expr x{&b, x0};
  const Expr magnitude = abs(x);
  const Expr z = x * x;
  const Expr small = fma(polynomial(z, kTanh64) * z, magnitude, magnitude);

  const Expr a = at_most(magnitude, 20);
  const Reduced d = reduce(a + a, format(t).bias);
  const Expr q = expm1_of_reduced(d.r, kExp64);
  const Expr scale = power(d.bits, t);
  const Expr den = fma(q, scale, scale + 1.0);
  const Expr large = literal(x, 1.0) - literal(x, 2.0) / den;
  return copy_sign(select(magnitude < 0.75, small, large), x).v;
}

}  // namespace flash::ir
