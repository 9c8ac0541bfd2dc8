// jit/ir/math_tanh.cpp -- tanh of f32 as kernel IR: eight polynomials and no division
//
// A division would wait for the one divider that a neighbouring sqrt or quotient wants too. |x|
// falls into one of eight intervals, where tanh |x| = tanh c + t p(t) with t = |x| - c. The centre
// c is a float whose tanh is very nearly a float (the accurate tables of Gal and Bachelis, ACM TOMS
// 17, 1991), and t is exact. In the first interval c = 0, and |x| itself stands for tanh c, so that
// small arguments keep all their digits.
//
// Which interval: a = 1 + 15 |x| / 9.02 runs through eight halves of an octave, 1 … 1.5 to 12 … 16,
// and its exponent's two lowest bits with its fraction's highest tell them apart.
#include "jit/ir/expr.h"
#include "jit/ir/math.h"

namespace flash::ir {
namespace {

constexpr double kLimit = 0x1.20a3d8p+3;    // 9.02: from 9.011 on tanh rounds to 1
constexpr double kStretch = 0x1.a9b868p+0;  // below 15 / kLimit: a stays below 16

// c, tanh c, then p from its constant term up: minimax in ULPs of the result (fitted as in
// math_exp.cpp), with the relative error of tanh. In every interval but the first t < tanh c.
constexpr int kColumns = 9;
constexpr float kIntervals[8][kColumns] = {
    // |x| < 0.3007: 2^-30.0
    {0, 0, 0, -0x1.fb7c6cp-24f, -0x1.55535cp-2f, -0x1.4c4806p-13f, 0x1.14242ep-3f, -0x1.c0448cp-8f,
     -0x1.4f93a4p-5f},
    // < 0.6013: 2^-28.6
    {0x1.cdd60ap-2f, 0x1.b0e03ap-2f, 0x1.a4814ep-1f, -0x1.638542p-2f, -0x1.0412ecp-3f,
     0x1.5af4b2p-3f, -0x1.865e2ep-7f, -0x1.e46886p-5f, 0x1.738f9cp-5f},
    // < 1.203: 2^-26.5
    {0x1.cdd5a6p-1f, 0x1.6f3f5ep-1f, 0x1.f12940p-2f, -0x1.649aecp-2f, 0x1.684378p-4f,
     0x1.b2d08ap-5f, -0x1.cf84cap-5f, 0x1.bba1dep-7f, 0x1.353818p-7f},
    // < 1.804: 2^-30.2
    {0x1.80d246p+0f, 0x1.cfbb5ep-1f, 0x1.6ff172p-3f, -0x1.4d416ep-3f, 0x1.6661acp-4f,
     -0x1.99d572p-6f, -0x1.4b018cp-9f, 0x1.d5ed52p-8f, -0x1.ffa644p-9f},
    // < 3.007: 2^-26.0
    {0x1.33d9fap+1f, 0x1.f7b9bap-1f, 0x1.06a518p-5f, -0x1.0264dap-5f, 0x1.4d53fcp-6f,
     -0x1.37ca34p-7f, 0x1.af97b8p-9f, -0x1.7176a8p-11f, -0x1.13d182p-18f},
    // < 4.209: 2^-29.6
    {0x1.cdc002p+1f, 0x1.ff3f50p-1f, 0x1.811774p-9f, -0x1.8088ccp-9f, 0x1.ff33a2p-10f,
     -0x1.fb986cp-11f, 0x1.916856p-12f, -0x1.109c40p-13f, 0x1.258f9ep-15f},
    // < 6.615: 2^-26.5
    {0x1.697566p+2f, 0x1.fffcbep-1f, 0x1.a07daep-15f, -0x1.a0a4e8p-15f, 0x1.19fac6p-15f,
     -0x1.1752acp-16f, 0x1.7c530ep-18f, -0x1.362dc8p-19f, 0x1.47b860p-20f},
    // <= 9.02: 2^-33.3
    {0x1.03ae5ap+3f, 0x1.fffffap-1f, 0x1.7f9cf2p-22f, -0x1.7f154ap-22f, 0x1.038022p-22f,
     -0x1.062904p-23f, 0x1.58ca82p-25f, -0x1.f57550p-27f, 0x1.547386p-27f},
};

// One column by the low three bits of a's bits >> 22; they are 6 for a = 1.
constexpr Table column(int n) {
  Table t{};
  for (std::size_t i = 0; i < t.size(); ++i) t[(i + 6) % t.size()] = kIntervals[i][n];
  return t;
}

}  // namespace

Value tanh_f32(Builder& b, Value x0) {
  const Expr x{&b, x0};
  const Expr magnitude = at_most(abs(x), kLimit);
  const Expr interval = shr_l(fma(magnitude, kStretch, 1.0).as(Type::kI32), 22);
  const Expr t = magnitude - lookup(column(0), interval);
  Expr p = lookup(column(kColumns - 1), interval);
  for (int n = kColumns - 2; n >= 2; --n) p = fma(p, t, lookup(column(n), interval));
  const Expr centre = lookup(column(1), interval);
  return copy_sign(fma(p, t, select(centre < t, t, centre)), x).v;
}

}  // namespace flash::ir
