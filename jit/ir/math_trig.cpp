// jit/ir/math_trig.cpp -- sin and cos over the full range as kernel IR
//
// The argument is reduced to quadrant * π/2 + r + r_low. Up to 2^18 (f32) or 2^40 (f64) by Cody and
// Waite with three fma: n π1 is a multiple of the last place of x, so the first difference is
// exact. Above, by Payne and Hanek (1983): x = M 2^e, and only a window of the bits of 2/π matters
// to x * 2/π mod 4. Straight-line code has no table look-up: the window is picked by selects on the
// bits of e, and every lane computes both reductions.
#include <vector>

#include "jit/ir/expr.h"
#include "jit/ir/math.h"

namespace flash::ir {
namespace {

// In r² on |r| <= π/4: (sin(r)/r - 1) / r², relative error of sin 2^-32.5 (f32), 2^-57.9 (f64);
// (cos(r) - 1 + r²/2) / r⁴, relative error of cos 2^-33.0, 2^-63.9. Remez exchange, 240-bit
// arithmetic.
constexpr double kSin32[] = {-0x1.555556p-3, 0x1.111174p-7, -0x1.a05954p-13, 0x1.7c2c4ep-19};
constexpr double kCos32[] = {0x1.55554ap-5, -0x1.6c0c28p-10, 0x1.99e80cp-16};
constexpr double kSin64[] = {-0x1.5555555555548p-3, 0x1.111111110f730p-7,   -0x1.a01a019be9215p-13,
                             0x1.71de35552b17dp-19, -0x1.ae5e4b83a38e2p-26, 0x1.5d8b557e1b154p-33};
constexpr double kCos64[] = {0x1.555555555554bp-5,  -0x1.6c16c16c15005p-10,
                             0x1.a01a019c8c7d7p-16, -0x1.27e4f7ef0d735p-22,
                             0x1.1ee9d9c6a0aa0p-29, -0x1.8fa55397c4b50p-37};

// 2/π 2^217 and 2/π 2^1202, integer part, highest word first.
constexpr std::uint64_t kTwoOverPi32[] = {0x0145f306, 0xdc9c882a, 0x53f84eaf, 0xa3ea69bb,
                                          0x81b6c52b, 0x32788720, 0x83fca2c7};
constexpr std::uint64_t kTwoOverPi64[] = {
    0x00028be60db93910, 0x54a7f09d5f47d4d3, 0x77036d8a5664f10e, 0x4107f9458eaf7aef,
    0x1586dc91b8e90937, 0x4b801924bba82746, 0x4873f877ac72c4a6, 0x9cfba208d7d4baed,
    0x1213a671c09ad17d, 0xf904e64758e60d4c, 0xe7d272117e2ef7e4, 0xa0ec7fe25fff7816,
    0x603fbcbc462d6829, 0xb47db4d9fb3c9f2c, 0x26dd3d18fd9a797f, 0xa8b5d49eeb1faf97,
    0xc5ecf41ce7de294a, 0x4ba9afed7ec47e35, 0x7421580cc11bf1ed};

struct Angle {
  Expr quadrant;  // integer of the float's size; only the low two bits count
  Expr r, r_low;
};

Angle cody_waite(Expr x) {
  const bool f32 = x.type() == Type::kF32;
  // π/2 in three parts.
  const double p1 = f32 ? 0x1.921fb6p+0 : 0x1.921fb54442d18p+0;
  const double p2 = f32 ? -0x1.777a5cp-25 : 0x1.1a62633145c07p-54;
  const double p3 = f32 ? -0x1.ee59dap-50 : -0x1.f1976b7ed8fbcp-110;
  const double round = f32 ? 0x1.8p23 : 0x1.8p52;
  const Expr shifted = fma(x, f32 ? 0x1.45f306p-1 : 0x1.45f306dc9c883p-1, round);
  const Expr n = shifted - round;
  const Expr exact = fma(n, -p1, x);
  const Expr second = n * p2;
  const Expr second_low = fma(n, p2, -second);
  const Expr r = exact - second;
  const Expr r_low = fma(n, -p3, ((exact - r) - second) - second_low);
  return {shifted.as(format(x.type()).bits), r, r_low};
}

// Four words from word j / width of the table, shifted left by j % width and cut to three.
std::vector<Expr> window(Expr j, std::span<const std::uint64_t> table, int offset_bits) {
  const int width = j.type() == Type::kI32 ? 32 : 64;
  const int log_width = width == 32 ? 5 : 6;
  std::vector<Expr> words;
  for (const std::uint64_t w : table) words.push_back(literal(j, w));
  for (int bit = offset_bits - 1; bit >= 0; --bit) {
    const std::size_t step = std::size_t{1} << bit;
    const Expr skip = !((j & (std::int64_t{1} << (log_width + bit))) == 0);
    std::vector<Expr> next;
    for (std::size_t i = 0; i < 4 + step - 1; ++i)
      next.push_back(select(skip, words[i + step], words[i]));
    words = next;
  }
  const Expr back = j ^ -1;  // modulo the width: width - 1 - j
  std::vector<Expr> shifted;
  for (std::size_t i = 0; i < 3; ++i)
    shifted.push_back((words[i] << j) | shr_l(shr_l(words[i + 1], 1), back));
  return shifted;
}

// The product's fraction of a quadrant is rounded to nearest: top = 2 bits of quadrant, the rest
// becomes signed.
struct Split {
  Expr quadrant, fraction;
};
Split split_quadrant(Expr top, int fraction_bits) {
  const Expr q = shr_l(top + (std::int64_t{1} << (fraction_bits - 1)), fraction_bits);
  return {q, top - (q << fraction_bits)};
}

// The sign of x brought back: everything before was computed for |x|.
Expr signed_quadrant(Expr x, Expr q) { return select(x < 0.0, literal(q, 0) - q, q); }

// x = M 2^(e-23), e >= 18. The window starts at the bit of weight 2^(24-e): M times anything above
// is a multiple of 4.
Angle payne_hanek32(Expr x) {
  const Expr bits = x.as(Type::kI32) & 0x7fffffff;
  const Expr mantissa = (bits & 0x7fffff) | 0x800000;
  const std::vector<Expr> w = window(shr_l(bits, 23) - (127 + 18), kTwoOverPi32, 2);
  // The top 64 of 96 bits of the product.
  const Expr carry_in = mul_hi_u(w[2], mantissa);
  const Expr low = w[1] * mantissa + carry_in;
  const std::int64_t sign = 0x80000000;
  const Expr carry = (low ^ sign) < (carry_in ^ sign);
  const Expr high = w[0] * mantissa + mul_hi_u(w[1], mantissa) + carry.to(Type::kI32);
  const Split s = split_quadrant(high, 30);
  // (fraction 2^32 + low) 2^-62 quadrants, exact enough in f64 whatever cancels.
  const Expr head = fma(s.fraction.to(Type::kF64), 0x1p32, (low ^ sign).to(Type::kF64));
  const Expr r64 = (head + 0x1p31) * 0x1.921fb54442d18p-62;
  const Expr magnitude = r64.to(Type::kF32);
  const Expr rest = (r64 - magnitude.to(Type::kF64)).to(Type::kF32);
  const Expr flip = x.as(Type::kI32) & sign;
  return {signed_quadrant(x, s.quadrant), (magnitude.as(Type::kI32) ^ flip).as(Type::kF32),
          (rest.as(Type::kI32) ^ flip).as(Type::kF32)};
}

// An integer below 2^52 as f64.
Expr small_to_f64(Expr i) { return (i | std::int64_t{0x4330000000000000}).as(Type::kF64) - 0x1p52; }

// x = M 2^(e-52), e >= 40: the same with 64-bit words, multiplied in limbs of 32 bits.
Angle payne_hanek64(Expr x) {
  const Expr bits = x.as(Type::kI64) & std::int64_t{0x7fffffffffffffff};
  const Expr mantissa = (bits & std::int64_t{0xfffffffffffff}) | std::int64_t{0x10000000000000};
  const std::vector<Expr> w = window(shr_l(bits, 52) - (1023 + 40), kTwoOverPi64, 4);
  const std::int64_t mask = 0xffffffff;
  const Expr m0 = mantissa & mask, m1 = shr_l(mantissa, 32);
  std::vector<Expr> p0, p1;  // mantissa parts times limb k of the window, highest limb first
  for (const Expr& word : w)
    for (const Expr& limb : {shr_l(word, 32), word & mask}) {
      p0.push_back(limb * m0);
      p1.push_back(limb * m1);
    }
  std::vector<Expr> limbs;  // of the product, lowest first: places 4 … 0
  Expr carry = literal(mantissa, 0);
  for (std::size_t k = 5; k-- > 0;) {
    Expr sum = (p0[k] & mask) + shr_l(p0[k + 1], 32) + (p1[k + 1] & mask) + carry;
    if (k + 2 < p1.size()) sum = sum + shr_l(p1[k + 2], 32);
    limbs.push_back(sum & mask);
    carry = shr_l(sum, 32);
  }
  const Split s = split_quadrant(limbs[4], 30);
  const Expr top = (s.fraction + std::int64_t{0x4338000000000000}).as(Type::kF64) - 0x1.8p52;
  // The fraction as a sum of two doubles, times π/2 2^-62.
  const Expr next = small_to_f64(limbs[3]);
  const Expr head = fma(top, 0x1p32, next);
  const Expr head_low = next - fma(top, -0x1p32, head);
  const Expr rest = fma(small_to_f64(limbs[2]), 0x1p-32, head_low);
  const Expr f = head + rest;
  const Expr f_low = fma(small_to_f64(limbs[1]), 0x1p-64, rest - (f - head));
  const double scale = 0x1.921fb54442d18p-62, scale_low = 0x1.1a62633145c07p-116;
  const Expr r = f * scale;
  const Expr r_low = fma(f_low, scale, fma(f, scale_low, fma(f, scale, -r)));
  const Expr flip = x.as(Type::kI64) & format(Type::kF64).sign;
  return {signed_quadrant(x, s.quadrant), (r.as(Type::kI64) ^ flip).as(Type::kF64),
          (r_low.as(Type::kI64) ^ flip).as(Type::kF64)};
}

Angle reduce(Expr x) {
  const bool f32 = x.type() == Type::kF32;
  const Angle near = cody_waite(x);
  const Angle far = f32 ? payne_hanek32(x) : payne_hanek64(x);
  const Expr is_near = abs(x) < (f32 ? 0x1p18 : 0x1p40);
  // x - x makes the result NaN for infinities and NaN.
  return {select(is_near, near.quadrant, far.quadrant), select(is_near, near.r, far.r + (x - x)),
          select(is_near, near.r_low, far.r_low)};
}

// sin of the angle with `turn` quadrants added.
Expr sine(const Angle& a, int turn) {
  const Type t = a.r.type();
  const Format f = format(t);
  const bool f32 = t == Type::kF32;
  const Expr r = a.r, z = r * r;
  const Expr sin_tail =
      fma(polynomial(z, f32 ? std::span<const double>(kSin32) : kSin64), z * r, a.r_low);
  const Expr sin_r = r + sin_tail;
  // 1 - z/2 with its rounding error, then the rest of the series and -sin(r) r_low.
  const Expr head = fma(z, -0.5, 1.0);
  const Expr error = fma(a.r_low, -r, fma(z, -0.5, literal(r, 1.0) - head));
  const Expr cos_r =
      head + fma(polynomial(z, f32 ? std::span<const double>(kCos32) : kCos64), z * z, error);
  const Expr q = a.quadrant + turn;
  const Expr picked = select((q & 1) == 0, sin_r, cos_r);
  const Expr flip = (q & 2) << (f32 ? 30 : 62);
  return (picked.as(f.bits) ^ flip).as(t);
}

}  // namespace

Value sin(Builder& b, Value x0) {
  const Expr x{&b, x0};
  return select(x == 0.0, x, sine(reduce(x), 0)).v;  // keeps -0
}

Value cos(Builder& b, Value x0) { return sine(reduce({&b, x0}), 1).v; }

}  // namespace flash::ir
