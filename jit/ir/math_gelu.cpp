// jit/ir/math_gelu.cpp -- gelu as kernel IR: x Φ(x)
//
// With a = |x| and Q(a) = Φ(-a) the result is max(x, 0) - a Q(a), where the subtrahend is at most
// half of x; below 0 it is all there is. 1 + erf would lose digits there, all of them from -5.6 on.
// a Q(a) = G(a) e^(-a²/2), where G(a) = a Q(a) e^(a²/2) rises smoothly from a/2 to 1/√(2π). a²/2
// and both factors are sums of two floats, so that their own rounding is not felt; what is felt
// beside the last rounding is the polynomial's, in the low half of G. It costs: about 70
// instructions of f32, where one plus a rounded erf has 30.
//
// G of f32: sixteen polynomials. Of f64: one in a, from a/2, where a is small; one around 1; and
// one in w = (a - k) / (a + k), in which G is smooth up to infinity (Shepherd and Laframboise,
// Math. Comp. 36, 1981).
#include "jit/ir/math.h"
#include "jit/ir/math_parts.h"

namespace flash::ir {
namespace {

// Quarters of four octaves, 1 … 1.25 to 14 … 16.
constexpr float kTailsRows[16][8] = {
    // a < 0.24: 2^-28.8
    {0, 0, -0x1.897106p-31f, -0x1.988446p-2f, 0x1.fffabap-3f, -0x1.0ff5d6p-3f, 0x1.f2fe50p-5f,
     -0x1.4c24a0p-6f},
    // < 0.48: 2^-29.9
    {0x1.70a810p-2f, 0x1.1abee4p-3f, 0x1.288232p-2f, -0x1.ab8a52p-3f, 0x1.ea67d2p-4f,
     -0x1.e1b9b4p-5f, 0x1.a564eep-6f, -0x1.5a2ed0p-7f},
    // < 0.72: 2^-31.6
    {0x1.332886p-1f, 0x1.936e2cp-3f, 0x1.a858ccp-3f, -0x1.1e5110p-3f, 0x1.35d504p-4f,
     -0x1.20d1fap-5f, 0x1.e3b662p-7f, -0x1.6dd47cp-8f},
    // < 0.96: 2^-31.8
    {0x1.ae1566p-1f, 0x1.eabbb0p-3f, 0x1.361b40p-3f, -0x1.881c12p-4f, 0x1.909fe4p-5f,
     -0x1.6295d6p-6f, 0x1.1b3a76p-7f, -0x1.89eeb0p-9f},
    // < 1.44: 2^-29.6
    {0x1.33358cp+0f, 0x1.227edcp-2f, 0x1.91c52ep-4f, -0x1.ce0842p-5f, 0x1.b1e20ep-6f,
     -0x1.63ab3ap-7f, 0x1.0a0afcp-8f, -0x1.6b2ab8p-10f},
    // < 1.92: 2^-31.3
    {0x1.ae0bacp+0f, 0x1.47e3eap-2f, 0x1.ddf8eep-5f, -0x1.e718aep-6f, 0x1.9a6d6ep-7f,
     -0x1.30b4dcp-8f, 0x1.9f1c14p-10f, -0x1.03d4c6p-11f},
    // < 2.4: 2^-32.8
    {0x1.14810cp+1f, 0x1.5ec494p-2f, 0x1.2d098ap-5f, -0x1.11afe6p-6f, 0x1.9fda52p-8f,
     -0x1.18a57ep-9f, 0x1.5d51cap-11f, -0x1.937b96p-13f},
    // < 2.88: 2^-34.1
    {0x1.51e3fap+1f, 0x1.6d7ef8p-2f, 0x1.8e4662p-6f, -0x1.4550c2p-7f, 0x1.c01548p-9f,
     -0x1.141204p-10f, 0x1.3b1beap-12f, -0x1.4f6fecp-14f},
    // < 3.84: 2^-29.4
    {0x1.ae1e94p+1f, 0x1.7b38f0p-2f, 0x1.cd4782p-7f, -0x1.44ceacp-8f, 0x1.85c83ep-10f,
     -0x1.a6314ep-12f, 0x1.b14f3cp-14f, -0x1.9b5426p-16f},
    // < 4.8: 2^-31.7
    {0x1.148652p+2f, 0x1.8573ccp-2f, 0x1.f0e8cap-8f, -0x1.2544f8p-9f, 0x1.2a1acap-11f,
     -0x1.13ec14p-13f, 0x1.e51ff0p-16f, -0x1.8edd98p-18f},
    // < 5.76: 2^-33.4
    {0x1.51eb60p+2f, 0x1.8b3634p-2f, 0x1.266136p-8f, -0x1.297a3cp-10f, 0x1.04c996p-12f,
     -0x1.a30712p-15f, 0x1.401f90p-17f, -0x1.ccf57ep-20f},
    // < 6.72: 2^-34.8
    {0x1.8f5f5ep+2f, 0x1.8ebee6p-2f, 0x1.767238p-9f, -0x1.499e7ep-11f, 0x1.fa15cap-14f,
     -0x1.65a8dap-16f, 0x1.e287a4p-19f, -0x1.38e5b6p-21f},
    // < 8.64: 2^-30.7
    {0x1.eb8c7cp+2f, 0x1.91eac4p-2f, 0x1.a3dff4p-10f, -0x1.349728p-12f, 0x1.8d9672p-15f,
     -0x1.d9ff74p-18f, 0x1.13cd32p-20f, -0x1.2ce330p-23f},
    // < 10.56: 2^-33.2
    {0x1.332cf8p+3f, 0x1.943876p-2f, 0x1.bc6b02p-11f, -0x1.0ac44ap-13f, 0x1.19f880p-16f,
     -0x1.14dd54p-19f, 0x1.07d5d2p-22f, -0x1.ddde60p-26f},
    // < 12.48: 2^-35.5
    {0x1.70ad3cp+3f, 0x1.95819ep-2f, 0x1.05d476p-11f, -0x1.09013cp-14f, 0x1.d990a4p-18f,
     -0x1.8a1206p-21f, 0x1.3d4bc4p-24f, -0x1.e733dap-28f},
    // < 14.4: 2^-36.6
    {0x1.ae1a72p+3f, 0x1.964ac8p-2f, 0x1.4d92c6p-12f, -0x1.2387e8p-15f, 0x1.c2a0aep-19f,
     -0x1.44d4d8p-22f, 0x1.c37a78p-26f, -0x1.2fa384p-29f},
};
constexpr Intervals<8> kTails{0x1.ccccccp+3, 0x1.0aaaa8p+0, 21, kTailsRows};

// Up to 0.75: G(a) = a/2 + a² p(a), 2^-58.1 relative.
constexpr double kSmall[] = {-0x1.9884533d43646p-2,  0x1.ffffffffff61bp-3,   -0x1.1058377e12ef0p-3,
                             0x1.fffffff759d94p-5,   -0x1.b3c057eed30a5p-6,  0x1.5555474105ac2p-7,
                             -0x1.f1ff27fec6882p-9,  0x1.554b6edcb9e97p-10,  -0x1.ba38f86611d39p-12,
                             0x1.0f3364d4e003cp-13,  -0x1.36998e028a696p-15, 0x1.3ab3c8dddecd4p-17,
                             -0x1.eb87af07445a1p-20, 0x1.a7edcb992be7fp-23};
// Up to 2: G(a) = G(c) + t p(t) with t = a - c, 2^-61.1. c and k below have few bits, and their G
// is very nearly a double.
constexpr double kMiddleAt = 0x1.0680000000000p+0, kMiddleCentre = 0x1.0f09638e703a4p-2;
constexpr double kMiddle[] = {
    0x1.ed6ade039f63cp-4,  -0x1.28f2b467f1336p-4,  0x1.226cf4b0917c4p-5,  -0x1.ee0fd2d8cad64p-7,
    0x1.7a356be63fb15p-8,  -0x1.09fa997fdad82p-9,  0x1.5c6e64944f83fp-11, -0x1.ad500e572b036p-13,
    0x1.f5364af535ccap-15, -0x1.16d303f409214p-16, 0x1.290329d9f4717p-18, -0x1.300dc847f04cap-20,
    0x1.2b9384a9de46cp-22, -0x1.192ded367696ep-24, 0x1.dd6df9cbd5533p-27, -0x1.3d1940f4861d1p-29,
    0x1.d134cc39b94d3p-33};
// From there on, up to 38.7: G(a) = G(k) + w p(w), 2^-59.5.
constexpr double kK = 4.5234375, kLargeCentre = 0x1.86efd8bd4ee19p-2;
constexpr double kLarge[] = {
    0x1.f395d65ffe924p-5,   -0x1.8a7bc193cc1cfp-4, 0x1.8aef2fcbbbf11p-4,  -0x1.23543bdecc477p-4,
    0x1.419baeb20ce71p-5,   -0x1.f47f40c7cc61ep-7, 0x1.a730efef2d984p-9,  0x1.6d3e1a9f646f0p-12,
    -0x1.e45f028b66a00p-12, 0x1.2afb999ad8c34p-14, 0x1.80c2851ed6c6dp-15, -0x1.168b8ec7f9de3p-16,
    -0x1.4b292b0ddc32cp-18, 0x1.81b5303c9e719p-19, 0x1.86d165dfe0203p-21, -0x1.105a74c5492ecp-21,
    -0x1.5ee1149a72b92p-23, 0x1.4f9ed60cad8f5p-23, -0x1.fdf4267078ec2p-26};

Sum tail_f32(Expr a) {
  const auto [t, p, centre] = piece(kTails, a);
  const Expr head = select(centre == 0.0, t * 0.5, centre);
  const Expr high = fma(p, t, head);
  return {high, fma(p, t, head - high)};
}

Sum tail_f64(Expr a) {
  const Expr middle = a - kMiddleAt;
  const Expr w = fma(a / (a + kK), 2.0, -1.0);
  const Expr is_small = a<0.75, is_large = a> 2.0;
  const auto choose = [&](Expr small, const Arg& between, Expr large) {
    return select(is_small, small, select(is_large, large, between));
  };
  const Expr t = choose(a, middle, w);
  const Expr p =
      choose(polynomial(a, kSmall) * a, polynomial(middle, kMiddle), polynomial(w, kLarge));
  const Expr head = choose(a * 0.5, kMiddleCentre, literal(a, kLargeCentre));
  const Expr high = fma(p, t, head);
  return {high, fma(p, t, head - high)};
}

}  // namespace

Value gelu(Builder& b, Value x0) {
  const Expr x{&b, x0};
  const bool f32 = x.type() == Type::kF32;
  const double limit = f32 ? kTails.limit : 38.6;  // from here on Q(a) is below what counts
  const Expr magnitude = abs(x);
  const Expr a = select(magnitude < limit, magnitude, limit);  // not NaN, which scale() would mind
  const Expr minus_half = a * -0.5;
  const Expr z = a * minus_half;
  const auto [n, q] = exp_of({z, fma(a, minus_half, -z)});
  const Sum g = f32 ? tail_f32(a) : tail_f64(a);
  const Expr high = fma(q.high, g.high, g.high);
  const Expr low =
      fma(q.high, g.high, g.high - high) + fma(q.low, g.high, fma(q.high, g.low, g.low));
  // Once more a proper sum: low has grown to an ulp of high, which subnormal results would feel.
  const Expr sum = high + low, sum_low = (high - sum) + low;
  const Expr power = scale(literal(x, 1.0), n);
  const Expr tail = sum * power, tail_low = sum_low * power;
  const Expr head = at_least(x, 0.0);
  const Expr y = head - tail;
  const Expr rest = ((head - y) - tail) - tail_low;
  // The sign is right but for a zero: -0 of -0, and of what has underflowed below 0.
  const Expr inside = copy_sign(y + rest, x);
  // Beyond: x above (infinity and NaN too); below, -0, and NaN of -infinity as of -infinity * 0.
  return select(x < -limit, x * 0.0, select(x < limit, inside, x)).v;
}

}  // namespace flash::ir
