// tests/accuracy/functions.cpp -- the table of unary float functions
#include "accuracy/functions.h"

#include <cmath>
#include <limits>
#include <numbers>
#include <string_view>

#include "gelu.h"

// glibc has these for vectors too (libmvec, at most 4 ULP of double off, which is 2^-27 of f32's),
// but declares them as such for -ffast-math only. 2^32 references a function make it worth while.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#if __GLIBC_PREREQ(2, 35)
#define FLASH_VECTOR(name, ...) \
  extern "C" double name(__VA_ARGS__) noexcept __attribute__((simd("notinbranch")));
FLASH_VECTOR(cos, double)
FLASH_VECTOR(erf, double)
FLASH_VECTOR(erfc, double)
FLASH_VECTOR(exp, double)
FLASH_VECTOR(exp2, double)
FLASH_VECTOR(expm1, double)
FLASH_VECTOR(log, double)
FLASH_VECTOR(log1p, double)
FLASH_VECTOR(pow, double, double)
FLASH_VECTOR(sin, double)
FLASH_VECTOR(tanh, double)
#undef FLASH_VECTOR
#endif
#endif

namespace flash::accuracy {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

template <class T, auto F>
void loop(const T* x, T* y, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) y[i] = static_cast<T>(F(x[i]));
}

template <auto F>
void references(const float* x, double* y, std::size_t n) {
#pragma omp simd
  for (std::size_t i = 0; i < n; ++i) y[i] = static_cast<double>(F(double{x[i]}));
}

/// `Plain` is what a user would write over libm; it differs from the reference where that takes
/// care of rounding errors or overflow.
template <auto Reference, auto Plain = Reference>
Function row(const char* name, Tensor (*op)(const Tensor&), Parity parity, double low, double high,
             const double (&ends)[4], std::vector<double> edges) {
  return {name,
          op,
          parity,
          references<Reference>,
          [](long double x) { return Reference(x); },
          loop<float, Plain>,
          loop<double, Plain>,
          low,
          high,
          {ends[0], ends[1], ends[2], ends[3]},
          std::move(edges)};
}

// 1 / (1 + e^-x), without the overflow that would lose subnormal results.
constexpr auto kSigmoid = [](auto x) {
  const auto e = std::exp(-std::fabs(x));
  return (x < 0 ? e : 1) / (1 + e);
};
constexpr auto kPlainSigmoid = [](auto x) { return 1 / (1 + std::exp(-x)); };

constexpr auto kSilu = [](auto x) {
  const auto y = x * kSigmoid(x);
  // From here on the result is 0 to half a subnormal of f64, whatever has underflowed.
  return x < -20000 ? x * 0 : y;
};
constexpr auto kPlainSilu = [](auto x) { return x / (1 + std::exp(-x)); };

constexpr auto kGelu = [](auto x) { return test::gelu(x); };
constexpr auto kPlainGelu = [](auto x) {
  using T = decltype(x);
  return x * (std::erf(x * (std::numbers::sqrt2_v<T> / 2)) + 1) / 2;
};

constexpr auto kSign = [](auto x) {
  using T = decltype(x);
  return std::isnan(x) ? x : static_cast<T>((x > 0) - (x < 0));
};

const double kHalfPi = std::numbers::pi / 2;

#define FLASH_FN(expression) [](auto x) { return expression; }
#define FLASH_OPERATION(expression) [](const Tensor& x) -> Tensor { return expression; }

std::vector<Function> make() {
  using enum Parity;
  const std::vector<double> integers = {0.5, 1, 1.5, 2.5, 0x1p22, 0x1p23, 0x1p24, 0x1p51, 0x1p52};
  const std::vector<double> exp_edges = {0,       0.3466, -0.3466, 1.04,    88.72,   -87.33,
                                         -103.97, 709.78, -708.4,  -745.13, 0x1p-25, 0x1p-54};
  const std::vector<double> sigmoid_edges = {0,      0.3466,  -0.3466, 17.3,  -17.3,
                                             -87.33, -88.72,  -103.97, 36.74, -36.74,
                                             -708.4, -709.78, -745.13};
  // Ends of f32's intervals, f64's 0.75 and 20.
  const std::vector<double> tanh_edges = {0,       0.150333, 0.300667, 0.451,   0.601333, 0.902,
                                          1.20267, 1.50333,  1.804,    2.40533, 3.00667,  3.608,
                                          4.20933, 5.412,    6.61467,  7.81733, 9.02,     0.75,
                                          19.06,   20,       0x1p-12};
  const std::vector<double> erf_edges = {0,       0.16375, 0.3275, 0.49125, 0.655,  0.81875, 0.9825,
                                         1.14625, 1.31,    1.6375, 1.965,   2.2925, 2.62,    2.9475,
                                         3.275,   3.6025,  3.93,   1.25,    5.94};
  // Ends of f32's intervals and 14.4; f64's 0.75, 2 and 38.6, and what lies just below 2^-3; where
  // results become subnormal.
  const std::vector<double> gelu_edges = {
      0,     0.24,  0.48, 0.72, 0.96, 1.44,  1.92, 2.4,  2.88, 3.84,  4.8,   5.76,  6.72, 8.64,
      10.56, 12.48, 14.4, 0.75, 2,    -1.32, 38.6, -8.4, -5.5, -13.1, -14.2, -37.5, -38.5};
  const std::vector<double> trig_edges = {
      0,      kHalfPi / 2, kHalfPi,       2 * kHalfPi,    3 * kHalfPi,         4 * kHalfPi,
      0x1p18, 0x1p40,      0x1.f9cbe2p+7, 0x1.67a3acp+20, 16367173.0 * 0x1p72, 0x1.47d0fep+34};
  const std::vector<double> log_edges = {
      1, 2.0 / 3, 4.0 / 3, std::sqrt(0.5), std::sqrt(2.0), 0x1p-126, 0x1p-1022};
  const std::vector<double> log1p_edges = {
      0, -1, 1.0 / 3, -1.0 / 3, std::sqrt(0.5) - 1, std::sqrt(2.0) - 1, 1, 0x1p24, 0x1p53};
  const std::vector<double> none = {1};

  return {
      row<FLASH_FN(-x)>("neg", FLASH_OPERATION(neg(x)), kOdd, -4, 4, {kInf, 0.0, -0.0, -kInf},
                        none),
      row<FLASH_FN(std::fabs(x))>("abs", FLASH_OPERATION(abs(x)), kEven, -4, 4,
                                  {kInf, 0.0, 0.0, kInf}, none),
      row<kSign>("sign", FLASH_OPERATION(sign(x)), kNone, -4, 4, {-1, 0, 0, 1}, none),
      row<FLASH_FN(std::floor(x))>("floor", FLASH_OPERATION(floor(x)), kNone, -99, 99,
                                   {-kInf, -0.0, 0.0, kInf}, integers),
      row<FLASH_FN(std::ceil(x))>("ceil", FLASH_OPERATION(ceil(x)), kNone, -99, 99,
                                  {-kInf, -0.0, 0.0, kInf}, integers),
      row<FLASH_FN(std::rint(x))>("round", FLASH_OPERATION(round(x)), kOdd, -99, 99,
                                  {-kInf, -0.0, 0.0, kInf}, integers),
      row<FLASH_FN(std::trunc(x))>("trunc", FLASH_OPERATION(trunc(x)), kOdd, -99, 99,
                                   {-kInf, -0.0, 0.0, kInf}, integers),
      row<FLASH_FN(x <= 0 ? 0 : x)>("relu", FLASH_OPERATION(relu(x)), kNone, -4, 4,
                                    {0.0, 0.0, 0.0, kInf}, none),
      row<FLASH_FN(x < 0 ? x / 4 : x)>("leaky_relu", FLASH_OPERATION(leaky_relu(x, 0.25)), kNone,
                                       -4, 4, {-kInf, -0.0, 0.0, kInf}, none),
      row<FLASH_FN((x) * (x))>("square", FLASH_OPERATION(square(x)), kEven, -4, 4,
                               {kInf, 0.0, 0.0, kInf},
                               {0x1p-75, 0x1p-63, 0x1p64, 0x1p512, 0x1p-511}),
      row<FLASH_FN(1 / x)>("reciprocal", FLASH_OPERATION(reciprocal(x)), kOdd, 0.1, 4,
                           {-0.0, -kInf, kInf, 0.0}, {1, 0x1p-128, 0x1p127, 0x1p-1024, 0x1p1023}),
      row<FLASH_FN(std::sqrt(x))>("sqrt", FLASH_OPERATION(sqrt(x)), kNone, 0, 100,
                                  {kNaN, -0.0, 0.0, kInf}, {1, 4, 0x1p-126, 0x1p-1022}),
      row<FLASH_FN(1 / std::sqrt(x))>("rsqrt", FLASH_OPERATION(rsqrt(x)), kNone, 0.01, 100,
                                      {kNaN, -kInf, kInf, 0.0}, {1, 4, 0x1p-126, 0x1p-1022}),
      row<FLASH_FN(std::exp(x))>("exp", FLASH_OPERATION(exp(x)), kNone, -10, 10, {0.0, 1, 1, kInf},
                                 exp_edges),
      row<FLASH_FN(std::expm1(x))>("expm1", FLASH_OPERATION(expm1(x)), kNone, -10, 10,
                                   {-1, -0.0, 0.0, kInf},
                                   {0, 0.45, -0.45, 0.3466, -0.3466, 1.04, -18, -38, 16.98, 17.33,
                                    36.74, 37.08, 88.72, 709.78, 0x1p-25, 0x1p-54}),
      row<FLASH_FN(std::log(x))>("log", FLASH_OPERATION(log(x)), kNone, 0.001, 100,
                                 {kNaN, -kInf, -kInf, kInf}, log_edges),
      row<FLASH_FN(std::log1p(x))>("log1p", FLASH_OPERATION(log1p(x)), kNone, -0.9, 10,
                                   {kNaN, -0.0, 0.0, kInf}, log1p_edges),
      row<FLASH_FN(std::tanh(x))>("tanh", FLASH_OPERATION(tanh(x)), kOdd, -4, 4, {-1, -0.0, 0.0, 1},
                                  tanh_edges),
      row<kSigmoid, kPlainSigmoid>("sigmoid", FLASH_OPERATION(sigmoid(x)), kNone, -8, 8,
                                   {0.0, 0.5, 0.5, 1}, sigmoid_edges),
      row<FLASH_FN(std::erf(x))>("erf", FLASH_OPERATION(erf(x)), kOdd, -3, 3, {-1, -0.0, 0.0, 1},
                                 erf_edges),
      row<FLASH_FN(std::sin(x))>("sin", FLASH_OPERATION(sin(x)), kOdd, -6, 6,
                                 {kNaN, -0.0, 0.0, kNaN}, trig_edges),
      row<FLASH_FN(std::cos(x))>("cos", FLASH_OPERATION(cos(x)), kEven, -6, 6, {kNaN, 1, 1, kNaN},
                                 trig_edges),
      row<kGelu, kPlainGelu>("gelu", FLASH_OPERATION(gelu(x)), kNone, -4, 4,
                             {kNaN, -0.0, 0.0, kInf}, gelu_edges),
      row<kSilu, kPlainSilu>("silu", FLASH_OPERATION(silu(x)), kNone, -8, 8,
                             {kNaN, -0.0, 0.0, kInf}, sigmoid_edges),
      row<FLASH_FN((x) * (x) * (x)), FLASH_FN(std::pow(x, decltype(x){3}))>(
          "pow(x, 3)", FLASH_OPERATION(pow(x, 3.0)), kOdd, -4, 4, {-kInf, -0.0, 0.0, kInf},
          {0, 1, 0x1p-50, 0x1p-42, 0x1.965fe9p42}),
      row<FLASH_FN(std::pow(x, decltype(x){-1.5}))>("pow(x, -1.5)", FLASH_OPERATION(pow(x, -1.5)),
                                                    kNone, 0.01, 4, {0.0, kInf, kInf, 0.0},
                                                    {0, 1, 0x1p-85, 0x1p84, 0x1p99}),
      row<FLASH_FN(std::exp2(x)), FLASH_FN(std::pow(decltype(x){2}, x))>(
          "pow(2, x)", FLASH_OPERATION(pow(2.0, x)), kNone, -10, 10, {0.0, 1, 1, kInf},
          {0, 0.5, -0.5, 1, 128, -126, -149, 1024, -1022, -1074}),
      row<FLASH_FN(std::pow(decltype(x){10}, x))>(
          "pow(10, x)", FLASH_OPERATION(pow(10.0, x)), kNone, -10, 10, {0.0, 1, 1, kInf},
          {0, 1, 38.53, -37.93, -45.15, 308.25, -307.65, -323.6}),
  };
}
#undef FLASH_FN
#undef FLASH_OPERATION

}  // namespace

std::span<const Function> functions() {
  static const std::vector<Function> table = make();
  return table;
}

bool is_trigonometric(const Function& f) {
  const std::string_view name = f.name;
  return name == "sin" || name == "cos";
}

}  // namespace flash::accuracy
