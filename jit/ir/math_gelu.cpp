// jit/ir/math_gelu.cpp -- gelu as kernel IR: x Φ(x), rounded once
//
// With a = |x| and Q(a) = Φ(-a) the result is max(x, 0) - a Q(a), where the subtrahend is at most
// half of x; below 0 it is all there is. 1 + erf would lose digits there, all of them from -5.6 on.
// a Q(a) = G(a) e^(-a²/2), where G(a) = a Q(a) e^(a²/2) rises smoothly from a/2 to 1/√(2π). What is
// multiplied is a sum of two floats, and so is a²/2, so that one rounding at the end is all that
// counts.
//
// G of f32: sixteen polynomials. Of f64: one in a, from a/2, where a is small, and one in
// w = (a - k) / (a + k), which is almost as good as equally spaced from 0 to infinity (Shepherd and
// Laframboise, Math. Comp. 36, 1981).
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

// G(a) = a/2 + a² p(a), used up to 1 and fitted up to 1.125: 2^-62.1 relative.
constexpr double kSmall[] = {-0x1.9884533d43650p-2,  0x1.fffffffffff7bp-3,   -0x1.1058377e2b963p-3,
                             0x1.ffffffff8fc32p-5,   -0x1.b3c058beed059p-6,  0x1.555554a178999p-7,
                             -0x1.f200556546028p-9,  0x1.5554d014cb0a3p-10,  -0x1.baa49a8508c40p-12,
                             0x1.10f32a6f6c1f8p-13,  -0x1.411bca9c1b054p-15, 0x1.678b05c36246ap-17,
                             -0x1.793082d009f34p-19, 0x1.63492b90b6de9p-21,  -0x1.1411f4d46cf83p-23,
                             0x1.308014eaf33d3p-26,  -0x1.599ce17e5cfddp-30};
// From 1 on G = G(k) + w p(w), up to 38.7: 2^-58.8. k has few bits, and G(k) is very nearly a
// double.
constexpr double kK = 4.5234375, kCentre = 0x1.86efd8bd4ee19p-2;
constexpr double kLarge[] = {
    0x1.f395d65ffe925p-5,   -0x1.8a7bc193cc1b7p-4, 0x1.8aef2fcbbbebdp-4,  -0x1.23543bdeccfa4p-4,
    0x1.419baeb20f3f3p-5,   -0x1.f47f40c6def0ap-7, 0x1.a730efe99281ap-9,  0x1.6d3e1836582a9p-12,
    -0x1.e45efe1cca501p-12, 0x1.2afc0397330bap-14, 0x1.80c07ab5f66eap-15, -0x1.16944eed90201p-16,
    -0x1.4aa65ff2a3b93p-18, 0x1.81f2b3c52728bp-19, 0x1.76f6122b8e87dp-21, -0x1.0211f3ed25055p-21,
    -0x1.1768bb61df509p-23, 0x1.51ca9771fdbaep-24, 0x1.825be3aad1d24p-26, -0x1.656965bb6eba5p-27,
    -0x1.6ad108cf7477fp-30};

Sum tail_f32(Expr a) {
  const auto [t, p, centre] = piece(kTails, a);
  const Expr head = select(centre == 0.0, t * 0.5, centre);
  const Expr high = fma(p, t, head);
  return {high, fma(p, t, head - high)};
}

Sum tail_f64(Expr a) {
  const Expr w = fma(a / (a + kK), 2.0, -1.0);
  const Expr small = a < 1.0;
  const Expr t = select(small, a, w);
  const Expr p = select(small, polynomial(a, kSmall) * a, polynomial(w, kLarge));
  const Expr head = select(small, a * 0.5, kCentre);
  const Expr high = fma(p, t, head);
  return {high, fma(p, t, head - high)};
}

}  // namespace

Value gelu(Builder& b, Value x0) {
  const Expr x{&b, x0};
  const bool f32 = x.type() == Type::kF32;
  const double limit = f32 ? kTails.limit : 38.6;  // from here on Q(a) is below what counts
  const Expr a = at_most(abs(x), limit);
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
  const Expr inside = copy_sign(y + rest, x);
  // Beyond: x above (infinity and NaN too); below, -0, and NaN of -infinity as of -infinity * 0.
  return select(x < -limit, x * 0.0, select(x < limit, inside, x)).v;
}

}  // namespace flash::ir
