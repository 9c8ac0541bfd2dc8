// tests/jit/math_accuracy_test.cpp -- the functions of jit/ir/math.h against libm in a wider type
#include <doctest/doctest.h>

#include <cfloat>

#include "accuracy/bounds.h"
#include "gelu.h"
#include "jit/ir/math.h"
#include "run_kernel.h"
#include "ulp.h"

using namespace flash;
using namespace flash::test;
using flash::accuracy::bound_of;

namespace {

struct Function {
  const char* name;
  ir::Value (*write)(ir::Builder&, ir::Value);
  double (*f64)(double);
  long double (*wide)(long double);
};

// 1 / (1 + e^-x) without the overflow that would lose subnormal results.
double sigmoid64(double x) { return x < -700 ? std::exp(x) : 1 / (1 + std::exp(-x)); }
long double sigmoid_wide(long double x) {
  return x < -11000 ? std::exp(x) : 1 / (1 + std::exp(-x));
}
// As the composition, with the ends of the range as it has them.
double silu64(double x) { return x < -20000 ? x * 0 : x * sigmoid64(x); }
long double silu_wide(long double x) { return x < -20000 ? x * 0 : x * sigmoid_wide(x); }
double rsqrt64(double x) { return 1 / std::sqrt(x); }
long double rsqrt_wide(long double x) { return 1 / std::sqrt(x); }

const Function kFunctions[] = {
    {"exp", ir::exp, std::exp, std::exp},         {"exp2", ir::exp2, std::exp2, std::exp2},
    {"expm1", ir::expm1, std::expm1, std::expm1}, {"log", ir::log, std::log, std::log},
    {"log1p", ir::log1p, std::log1p, std::log1p}, {"log2", ir::log2, std::log2, std::log2},
    {"tanh", ir::tanh, std::tanh, std::tanh},     {"sigmoid", ir::sigmoid, sigmoid64, sigmoid_wide},
    {"silu", ir::silu, silu64, silu_wide},        {"gelu", ir::gelu, test::gelu, test::gelu},
    {"erf", ir::erf, std::erf, std::erf},         {"sin", ir::sin, std::sin, std::sin},
    {"cos", ir::cos, std::cos, std::cos},         {"rsqrt", ir::rsqrt, rsqrt64, rsqrt_wide},
};

template <class T, class Wide, class Reference>
void check(const Function& f, const std::vector<T>& in, double bound, Reference reference) {
  for (const Target t : targets()) {
    const std::vector<T> out = map<T, T>(t, f.write, in);
    double worst = 0;
    T at = 0;
    for (std::size_t i = 0; i < in.size(); ++i) {
      const double e = ulp_error<T, Wide>(out[i], reference(static_cast<Wide>(in[i])));
      if (e > worst) {
        worst = e;
        at = in[i];
      }
    }
    CAPTURE(f.name);
    CAPTURE(name(t));
    CAPTURE(at);
    CHECK(worst <= bound);
  }
}

}  // namespace

TEST_CASE("f32 functions are within one ULP over all of f32, special values included") {
  const std::vector<float> in = float_sweep(997 * 4 + 1);
  for (const Function& f : kFunctions) check<float, double>(f, in, bound_of(f.name).f32, f.f64);
}

TEST_CASE("f32 functions are within one ULP where their formulas change") {
  std::vector<float> in;
  for (const float edge :
       {0.55f,  1.0f,     2.0f / 3, 4.0f / 3,   1.0f / 3,   0.75f,     0.3466f,  1.04f,
        17.3f,  3.93f,    10.0f,    1.5707964f, 3.1415927f, 262144.0f, 88.72f,   87.3f,
        1e-4f,  0.15033f, 0.30067f, 0.451f,     0.60133f,   0.902f,    1.20267f, 1.50333f,
        1.804f, 2.40533f, 3.00667f, 3.608f,     4.20933f,   5.412f,    6.61467f, 7.81733f,
        9.02f,  0.16375f, 0.3275f,  0.49125f,   0.655f,     0.81875f,  0.9825f,  1.14625f,
        1.31f,  1.6375f,  1.965f,   2.2925f,    2.62f,      2.9475f,   3.275f,   3.6025f,
        0.24f,  0.48f,    0.72f,    0.96f,      1.44f,      1.92f,     2.4f,     2.88f,
        3.84f,  4.8f,     5.76f,    6.72f,      8.64f,      10.56f,    12.48f,   14.4f,
        13.1f,  14.2f}) {
    const auto bits = std::bit_cast<std::uint32_t>(edge);
    for (std::uint32_t d = 0; d < 4000; ++d)
      for (const std::uint32_t b : {bits - d, bits + d})
        in.insert(in.end(), {std::bit_cast<float>(b), -std::bit_cast<float>(b)});
  }
  for (const Function& f : kFunctions) check<float, double>(f, in, bound_of(f.name).f32, f.f64);
}

TEST_CASE("f64 functions are within two ULP") {
  if (LDBL_MANT_DIG < 64) {
    MESSAGE("skipped: this platform's long double is no wider than double");
    return;
  }
  const std::vector<double> in = double_sweep(150000);
  for (const Function& f : kFunctions)
    check<double, long double>(f, in, bound_of(f.name).f64, f.wide);
}

TEST_CASE("sin and cos of the arguments that come closest to multiples of pi/2 keep their digits") {
  // Worst cases of the argument reduction: Muller et al., Handbook of Floating-Point
  // Arithmetic, 11.3 (f64); f32 ones found by a search over all exponents.
  const std::vector<double> in64 = {6381956970095103.0 * 0x1p797,
                                    5319372648326541.0 * 0x1p-30,
                                    8919302781369317.0 * 0x1p-12,
                                    0x1.6ac5b262ca1ffp+849,
                                    0x1p40,
                                    std::nextafter(0x1p40, 0.0)};
  const std::vector<float> in32 = {16367173.0f * 0x1p72f, 0x1.f9cbe2p+7f, 0x1.67a3acp+20f,
                                   1.2675934e22f,         3.4028235e38f,  0x1.47d0fep+34f};
  for (const Function& f : kFunctions) {
    if (f.write != static_cast<ir::Value (*)(ir::Builder&, ir::Value)>(ir::sin) &&
        f.write != static_cast<ir::Value (*)(ir::Builder&, ir::Value)>(ir::cos))
      continue;
    check<float, double>(f, in32, bound_of(f.name).f32, f.f64);
    if (LDBL_MANT_DIG >= 64) check<double, long double>(f, in64, bound_of(f.name).f64, f.wide);
  }
}

TEST_CASE("pow is within one ULP, with all of C99's special cases") {
  std::vector<float> x32, y32;
  std::vector<double> x64, y64;
  const auto add = [&](double x, double y) {
    x32.push_back(static_cast<float>(x));
    y32.push_back(static_cast<float>(y));
    x64.push_back(x);
    y64.push_back(y);
  };
  for (const double x : special_values<double>())
    for (const double y : special_values<double>()) add(x, y);
  Random random;
  for (int i = 0; i < 100000; ++i) {
    // Bases near 1 and of every size, exponents that keep the result in the range of f64 (or just
    // not).
    const double x = i % 2 ? 1 + std::ldexp(random.between(-0.5, 0.5), -(i % 16))
                           : std::exp(random.between(-80, 80));
    const double reach = (i % 3 ? 1080 : 152) / std::max(std::fabs(std::log2(x)), 1e-12);
    const double y = random.between(-reach, reach);
    add(i % 5 ? x : -x, i % 5 ? y : std::nearbyint(y));
  }
  for (const Target t : targets()) {
    CAPTURE(name(t));
    const BinaryF write = [](ir::Builder& b, ir::Value x, ir::Value y) { return ir::pow(b, x, y); };
    const auto out32 = map<float, float>(t, write, x32, y32);
    const auto out64 = map<double, double>(t, write, x64, y64);
    double worst32 = 0, worst64 = 0;
    for (std::size_t i = 0; i < x32.size(); ++i) {
      const double e32 =
          ulp_error<float, double>(out32[i], std::pow(double{x32[i]}, double{y32[i]}));
      if (!(e32 <= bound_of("pow").f32)) MESSAGE("pow(", x32[i], ", ", y32[i], ") = ", out32[i]);
      worst32 = std::max(worst32, e32);
      if (LDBL_MANT_DIG < 64) continue;
      // x87's powl takes -2^63 for odd; where the result is exact, double does.
      const bool exact = x64[i] == 0 || std::isinf(x64[i]);
      const long double want =
          exact ? std::pow(x64[i], y64[i])
                : std::pow(static_cast<long double>(x64[i]), static_cast<long double>(y64[i]));
      const double e64 = ulp_error<double, long double>(out64[i], want);
      if (!(e64 <= bound_of("pow").f64)) MESSAGE("pow(", x64[i], ", ", y64[i], ") = ", out64[i]);
      worst64 = std::max(worst64, e64);
    }
    CHECK(worst32 <= bound_of("pow").f32);
    CHECK(worst64 <= bound_of("pow").f64);
  }
}

TEST_CASE("every emitter gives the interpreter's bits for every function") {
  if (targets().size() == 1) {
    MESSAGE("only the interpreter runs here");
    return;
  }
  const std::vector<float> in32 = float_sweep(40009);
  const std::vector<double> in64 = double_sweep(100000);
  for (const Function& f : kFunctions) {
    CAPTURE(f.name);
    const auto want32 = map<float, float>(Target::kInterpreter, f.write, in32);
    const auto want64 = map<double, double>(Target::kInterpreter, f.write, in64);
    for (const Target t : targets()) {
      CAPTURE(name(t));
      const auto got32 = map<float, float>(t, f.write, in32);
      const auto got64 = map<double, double>(t, f.write, in64);
      std::size_t differ = 0;
      for (std::size_t i = 0; i < in32.size(); ++i) differ += !same(got32[i], want32[i]);
      for (std::size_t i = 0; i < in64.size(); ++i) differ += !same(got64[i], want64[i]);
      CHECK(differ == 0);
    }
  }
}
