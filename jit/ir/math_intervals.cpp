// jit/ir/math_intervals.cpp -- tanh and erf of f32 as kernel IR: eight polynomials, no division
//
// A division would wait for the one divider that a neighbouring sqrt or quotient wants too, and one
// polynomial for all arguments would be twice as long. |x| falls into one of eight intervals, where
// f |x| = f c + t p(t) with t = |x| - c. The centre c is a float whose f is very nearly a float
// (the accurate tables of Gal and Bachelis, ACM TOMS 17, 1991), and t is exact. In the first
// interval c = 0, and |x| itself stands for f c, so that small arguments keep all their digits.
//
// Which interval: a = 1 + |x| stretched runs through equal parts of the octaves from 1 on, and the
// lowest bits of its exponent with the highest of its fraction tell them apart.
#include "jit/ir/expr.h"
#include "jit/ir/math.h"

namespace flash::ir {
namespace {

// c, f c, then p from its constant term up: minimax in ULPs of the result (fitted as in
// math_exp.cpp), with the relative error of f. In every interval but the first t < f c.
constexpr int kColumns = 9;
using Intervals = float[8][kColumns];

struct Function {
  double limit;    // from here on f rounds to 1
  double stretch;  // just below (a's last value - 1) / limit
  int shift;       // a's bits above these number the intervals, modulo 8
  const Intervals* intervals;
};

// Halves of four octaves, 1 … 1.5 to 12 … 16.
constexpr Intervals kTanhIntervals = {
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
constexpr Function kTanh{0x1.20a3d8p+3, 0x1.a9b868p+0, 22, &kTanhIntervals};

// Quarters of two octaves, 1 … 1.25 to 3.5 … 4.
constexpr Intervals kErfIntervals = {
    // |x| < 0.3275: 2^-29.4
    {0, 0, 0x1.06eba8p-3f, 0x1.7ab8a6p-23f, -0x1.81289ep-2f, 0x1.87941ap-15f, 0x1.cdc4a2p-4f,
     -0x1.0954bep-11f, -0x1.959434p-6f},
    // < 0.6550: 2^-28.9
    {0x1.f6d15cp-2f, 0x1.06717ep-1f, 0x1.c5f3f0p-1f, -0x1.bdcfdap-2f, -0x1.396154p-3f,
     0x1.763230p-3f, 0x1.3cf524p-7f, -0x1.9f287ep-5f, 0x1.59f5b2p-7f},
    // < 0.9825: 2^-31.6
    {0x1.a3305ap-1f, 0x1.81935ep-1f, 0x1.27893cp-1f, -0x1.e3ed6ep-2f, 0x1.0c70d4p-4f,
     0x1.0bab6cp-3f, -0x1.fe35f8p-5f, -0x1.235a86p-6f, 0x1.ecee18p-7f},
    // < 1.310: 2^-32.7
    {0x1.25b768p+0f, 0x1.ca6730p-1f, 0x1.35c9bep-2f, -0x1.636dd8p-2f, 0x1.5132acp-3f,
     0x1.5c27a6p-6f, -0x1.e3d7a8p-5f, 0x1.117b72p-6f, 0x1.c5c4bap-8f},
    // < 1.965: 2^-30.2
    {0x1.a21050p+0f, 0x1.f54a80p-1f, 0x1.4111e2p-4f, -0x1.0629e4p-3f, 0x1.cfd1bcp-4f,
     -0x1.97d606p-5f, -0x1.82aa9ep-10f, 0x1.c975aep-7f, -0x1.81540cp-8f},
    // < 2.620: 2^-29.8
    {0x1.26ffe6p+1f, 0x1.ff6d9ep-1f, 0x1.6ce140p-8f, -0x1.a475c8p-7f, 0x1.249814p-6f,
     -0x1.0b45e2p-6f, 0x1.3d995ap-7f, -0x1.7e4382p-9f, -0x1.d75f40p-12f},
    // < 3.275: 2^-32.5
    {0x1.77e824p+1f, 0x1.fffbb4p-1f, 0x1.a91132p-13f, -0x1.381884p-11f, 0x1.1fc5cep-10f,
     -0x1.722294p-10f, 0x1.5d721cp-10f, -0x1.f4130ap-11f, 0x1.d682b4p-12f},
    // <= 3.93: 2^-35.0
    {0x1.ccb712p+1f, 0x1.fffff4p-1f, 0x1.65fe92p-19f, -0x1.4250d6p-17f, 0x1.73a7dcp-16f,
     -0x1.310670p-15f, 0x1.819e40p-15f, -0x1.a62430p-15f, 0x1.4086f0p-15f},
};
constexpr Function kErf{0x1.f70a3ep+1, 0x1.86d6f4p-1, 21, &kErfIntervals};

// One column by the lowest three bits of a's bits >> shift, which are not 0 for a = 1.
Table column(const Function& f, int n) {
  constexpr std::size_t kOne = 0x3f800000;
  Table t{};
  for (std::size_t i = 0; i < t.size(); ++i)
    t[(i + (kOne >> f.shift)) % t.size()] = (*f.intervals)[i][n];
  return t;
}

Value odd_function(const Function& f, Expr x) {
  const Expr magnitude = at_most(abs(x), f.limit);
  const Expr interval = shr_l(fma(magnitude, f.stretch, 1.0).as(Type::kI32), f.shift);
  const Expr t = magnitude - lookup(column(f, 0), interval);
  Expr p = lookup(column(f, kColumns - 1), interval);
  for (int n = kColumns - 2; n >= 2; --n) p = fma(p, t, lookup(column(f, n), interval));
  const Expr centre = lookup(column(f, 1), interval);
  return copy_sign(fma(p, t, select(centre < t, t, centre)), x).v;
}

}  // namespace

Value tanh_f32(Builder& b, Value x) { return odd_function(kTanh, {&b, x}); }
Value erf_f32(Builder& b, Value x) { return odd_function(kErf, {&b, x}); }

}  // namespace flash::ir
