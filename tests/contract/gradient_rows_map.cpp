// tests/contract/gradient_rows_map.cpp -- rows of the gradient table: functions of each element
#include <cmath>
#include <numbers>

#include "contract/gradient_table.h"

namespace contract {
namespace {

using OneComplex = Complex (*)(Complex);
using TwoComplex = Complex (*)(Complex, Complex);

Complex sigmoid_of(Complex z) { return 1.0 / (1.0 + std::exp(-z)); }
/// erf by its series of positive terms (Abramowitz & Stegun 7.1.6), |z| of a few. Its derivative is
/// a difference of larger terms, hence the longer format.
Complex erf_of(Complex short_z) {
  const std::complex<Wide> z = short_z;
  std::complex<Wide> term = z, sum = z;
  for (int n = 1; n < 80; ++n) {
    term *= Wide{2} * z * z / Wide(2 * n + 1);
    sum += term;
  }
  return Complex(2 * std::numbers::inv_sqrtpi_v<Wide> * std::exp(-z * z) * sum);
}
Complex gelu_of(Complex z) { return z * (1.0 + erf_of(z / std::numbers::sqrt2)) / 2.0; }
Complex abs_of(Complex z) { return z.real() < 0 ? -z : z; }
/// A step function where it is flat.
template <double (*f)(double)>
Complex flat(Complex z) {
  return f(z.real());
}
double sign_of(double x) { return (x > 0) - (x < 0); }
double even(double x) { return std::nearbyint(x); }
double floor_of(double x) { return std::floor(x); }
double ceil_of(double x) { return std::ceil(x); }
double trunc_of(double x) { return std::trunc(x); }

struct Unary {
  const char* name;
  const char* variant;
  Tensor (*op)(const Tensor&);
  OneComplex analytic;
  Range range = {};
  std::vector<double> kinks = {};
};

#define FUNCTION(f) #f, "", flash::f
#define METHOD(f) "Tensor::" #f, "", [](const Tensor& x) { return x.f(); }

std::vector<Unary> unary() {
  const Range positive{0.5, 3}, negative{-3, -0.5};
  const std::vector<double> zero{0}, integers{-2, -1, 0, 1, 2}, halves{-1.5, -0.5, 0.5, 1.5};
  const OneComplex same = [](Complex z) { return z; }, minus = [](Complex z) { return -z; };
  const OneComplex relu_of = [](Complex z) { return z.real() > 0 ? z : 0.0; };
  return {
      {FUNCTION(neg), minus},
      {"operator-", "", [](const Tensor& x) { return -x; }, minus},
      {METHOD(neg), minus},
      {FUNCTION(abs), abs_of, {}, zero},
      {METHOD(abs), abs_of, {}, zero},
      {FUNCTION(sign), flat<sign_of>, {}, zero},
      {FUNCTION(square), [](Complex z) { return z * z; }},
      {FUNCTION(reciprocal), [](Complex z) { return 1.0 / z; }, positive},
      {"reciprocal", "of negative numbers", reciprocal, [](Complex z) { return 1.0 / z; },
       negative},
      {FUNCTION(sqrt), [](Complex z) { return std::sqrt(z); }, positive},
      {METHOD(sqrt), [](Complex z) { return std::sqrt(z); }, positive},
      {FUNCTION(rsqrt), [](Complex z) { return 1.0 / std::sqrt(z); }, positive},
      {FUNCTION(exp), [](Complex z) { return std::exp(z); }},
      {METHOD(exp), [](Complex z) { return std::exp(z); }},
      {FUNCTION(expm1), [](Complex z) { return std::exp(z) - 1.0; }},
      {FUNCTION(log), [](Complex z) { return std::log(z); }, positive},
      {METHOD(log), [](Complex z) { return std::log(z); }, positive},
      {FUNCTION(log1p), [](Complex z) { return std::log(1.0 + z); }, {-0.5, 3}},
      {FUNCTION(tanh), [](Complex z) { return std::tanh(z); }},
      {METHOD(tanh), [](Complex z) { return std::tanh(z); }},
      {FUNCTION(sigmoid), sigmoid_of},
      {METHOD(sigmoid), sigmoid_of},
      {FUNCTION(silu), [](Complex z) { return z * sigmoid_of(z); }},
      {FUNCTION(erf), erf_of},
      {FUNCTION(gelu), gelu_of},
      {FUNCTION(sin), [](Complex z) { return std::sin(z); }},
      {FUNCTION(cos), [](Complex z) { return std::cos(z); }},
      {FUNCTION(floor), flat<floor_of>, {}, integers},
      {FUNCTION(ceil), flat<ceil_of>, {}, integers},
      {FUNCTION(round), flat<even>, {}, halves},
      {FUNCTION(trunc), flat<trunc_of>, {}, integers},
      {FUNCTION(relu), relu_of, {}, zero},
      {METHOD(relu), relu_of, {}, zero},
      {"leaky_relu",
       "",
       [](const Tensor& x) { return leaky_relu(x); },
       [](Complex z) { return z.real() > 0 ? z : z * 0.01; },
       {},
       zero},
      {"leaky_relu",
       "slope 0.25",
       [](const Tensor& x) { return leaky_relu(x, 0.25); },
       [](Complex z) { return z.real() > 0 ? z : z * 0.25; },
       {},
       zero},
      {"clamp",
       "both bounds",
       [](const Tensor& x) { return clamp(x, -0.75, 0.875); },
       [](Complex z) { return z.real() < -0.75   ? -0.75
                              : z.real() > 0.875 ? 0.875
                                                 : z; },
       {},
       {-0.75, 0.875}},
      {"clamp",
       "from below",
       [](const Tensor& x) { return clamp(x, 0.25); },
       [](Complex z) { return z.real() < 0.25 ? 0.25 : z; },
       {},
       {0.25}},
      {"clamp",
       "from above",
       [](const Tensor& x) { return clamp(x, {}, 0.25); },
       [](Complex z) { return z.real() > 0.25 ? 0.25 : z; },
       {},
       {0.25}},
      {"pow", "2.5", [](const Tensor& x) { return pow(x, 2.5); },
       [](Complex z) { return z * z * std::sqrt(z); }, positive},
      {"pow", "0.5", [](const Tensor& x) { return pow(x, 0.5); },
       [](Complex z) { return std::sqrt(z); }, positive},
      {"pow", "-0.5", [](const Tensor& x) { return pow(x, -0.5); },
       [](Complex z) { return 1.0 / std::sqrt(z); }, positive},
      {"pow", "3", [](const Tensor& x) { return pow(x, 3); }, [](Complex z) { return z * z * z; }},
      {"pow", "2", [](const Tensor& x) { return pow(x, 2); }, [](Complex z) { return z * z; }},
      {"pow", "1", [](const Tensor& x) { return pow(x, 1); }, same},
      {"pow", "0", [](const Tensor& x) { return pow(x, 0); }, [](Complex) { return Complex(1); }},
      {"pow", "-2 of negative numbers", [](const Tensor& x) { return pow(x, -2); },
       [](Complex z) { return 1.0 / (z * z); }, negative},
      {"pow", "of a number", [](const Tensor& x) { return pow(1.75, x); },
       [](Complex z) { return std::exp(z * std::log(1.75)); }},
      {"Tensor::pow", "", [](const Tensor& x) { return x.pow(3); },
       [](Complex z) { return z * z * z; }},
      // What is on the grid passes through f32 unchanged, and so do its gradients.
      {"cast", "to f32 and back", [](const Tensor& x) { return cast(cast(x, f32), f64); }, same},
      {"Tensor::to", "f32 and back", [](const Tensor& x) { return x.to(f32).to(f64); }, same},
      {"add", "a number", [](const Tensor& x) { return add(add(1.5, x), 2); },
       [](Complex z) { return z + 3.5; }},
      {"Tensor::add", "a number", [](const Tensor& x) { return x.add(1.5); },
       [](Complex z) { return z + 1.5; }},
      {"sub", "a number", [](const Tensor& x) { return sub(x, 1.5); },
       [](Complex z) { return z - 1.5; }},
      {"sub", "from a number", [](const Tensor& x) { return sub(1.5, x); },
       [](Complex z) { return 1.5 - z; }},
      {"Tensor::sub", "a number", [](const Tensor& x) { return x.sub(1.5); },
       [](Complex z) { return z - 1.5; }},
      {"mul", "a number", [](const Tensor& x) { return mul(mul(1.5, x), -3); },
       [](Complex z) { return z * -4.5; }},
      {"Tensor::mul", "a number", [](const Tensor& x) { return x.mul(-3); },
       [](Complex z) { return z * -3.0; }},
      {"div", "by a number", [](const Tensor& x) { return div(x, 1.5); },
       [](Complex z) { return z / 1.5; }},
      {"div", "of a number", [](const Tensor& x) { return div(1.5, x); },
       [](Complex z) { return 1.5 / z; }, positive},
      {"Tensor::div", "by a number", [](const Tensor& x) { return x.div(1.5); },
       [](Complex z) { return z / 1.5; }},
      {"maximum",
       "with a number",
       [](const Tensor& x) { return maximum(x, 0.5); },
       [](Complex z) { return z.real() > 0.5 ? z : 0.5; },
       {},
       {0.5}},
      {"minimum",
       "with a number",
       [](const Tensor& x) { return minimum(0.5, x); },
       [](Complex z) { return z.real() < 0.5 ? z : 0.5; },
       {},
       {0.5}},
      {"remainder",
       "by a number",
       [](const Tensor& x) { return remainder(x, 1.0); },
       [](Complex z) { return z - std::floor(z.real()); },
       {},
       integers},
      {"fmod",
       "by a number",
       [](const Tensor& x) { return fmod(x, 1.0); },
       [](Complex z) { return z - std::trunc(z.real()); },
       {},
       integers},
      {"remainder",
       "of a number",
       [](const Tensor& x) { return remainder(-2.5, x); },
       [](Complex z) { return -2.5 - z * std::floor(-2.5 / z.real()); },
       {0.875, 1.125}},
      {"floor_divide",
       "by a number",
       [](const Tensor& x) { return floor_divide(x, 1.0); },
       flat<floor_of>,
       {},
       integers},
      {"operator+", "a number", [](const Tensor& x) { return 1.5 + (x + 2); },
       [](Complex z) { return z + 3.5; }},
      {"operator-", "a number", [](const Tensor& x) { return 1.5 - (x - 2); },
       [](Complex z) { return 3.5 - z; }},
      {"operator*", "a number", [](const Tensor& x) { return 1.5 * x * 3; },
       [](Complex z) { return z * 4.5; }},
      {"operator/", "a number", [](const Tensor& x) { return 1.5 / x / 2.0; },
       [](Complex z) { return 0.75 / z; }, positive},
      {"where",
       "a tensor or a number",
       [](const Tensor& x) { return where(gt(x, 0.25), x, 3.0); },
       [](Complex z) { return z.real() > 0.25 ? z : 3.0; },
       {},
       {0.25}},
      {"where",
       "a number or a tensor",
       [](const Tensor& x) { return where(gt(x, 0.25), 3.0, x); },
       [](Complex z) { return z.real() > 0.25 ? 3.0 : z; },
       {},
       {0.25}},
      {"dropout", "not in training", [](const Tensor& x) { return dropout(x, 0.5, false); }, same},
  };
}
#undef FUNCTION
#undef METHOD

struct Binary {
  const char* name;
  const char* variant;
  Tensor (*op)(const Tensor&, const Tensor&);
  TwoComplex analytic;
  std::vector<Range> range = {{}};
};

#define FUNCTION(f) #f, "", f
#define METHOD(f) "Tensor::" #f, "", [](const Tensor& a, const Tensor& b) { return a.f(b); }
#define OPERATOR(op) "operator" #op, "", [](const Tensor& a, const Tensor& b) { return a op b; }

Complex add_of(Complex a, Complex b) { return a + b; }
Complex sub_of(Complex a, Complex b) { return a - b; }
Complex mul_of(Complex a, Complex b) { return a * b; }
Complex div_of(Complex a, Complex b) { return a / b; }
Complex larger(Complex a, Complex b) { return a.real() > b.real() ? a : b; }
Complex smaller(Complex a, Complex b) { return a.real() < b.real() ? a : b; }
Complex remainder_of(Complex a, Complex b) { return a - b * std::floor(a.real() / b.real()); }
Complex fmod_of(Complex a, Complex b) { return a - b * std::trunc(a.real() / b.real()); }

std::vector<Binary> binary() {
  const std::vector<Range> divisor{{-2, 2}, {0.5, 2}}, positive{{0.5, 2}, {-2, 2}};
  // Quotients between -2.95 and -2.1, or 2.1 and 2.95: no step comes to a whole number.
  const std::vector<Range> up{{2.25, 2.625}, {0.9375, 1.0}}, down{{-2.625, -2.25}, {0.9375, 1.0}};
  return {
      {FUNCTION(add), add_of},
      {METHOD(add), add_of},
      {OPERATOR(+), add_of},
      {FUNCTION(sub), sub_of},
      {METHOD(sub), sub_of},
      {OPERATOR(-), sub_of},
      {FUNCTION(mul), mul_of},
      {METHOD(mul), mul_of},
      {OPERATOR(*), mul_of},
      {FUNCTION(div), div_of, divisor},
      {METHOD(div), div_of, divisor},
      {OPERATOR(/), div_of, divisor},
      {FUNCTION(pow), [](Complex a, Complex b) { return std::exp(b * std::log(a)); }, positive},
      {FUNCTION(maximum), larger},
      {FUNCTION(minimum), smaller},
      {FUNCTION(remainder), remainder_of, up},
      {"remainder", "of negative numbers", remainder, remainder_of, down},
      {FUNCTION(fmod), fmod_of, up},
      {"fmod", "of negative numbers", fmod, fmod_of, down},
      {FUNCTION(floor_divide),
       [](Complex a, Complex b) { return Complex(std::floor(a.real() / b.real())); }, down},
      {"lerp", "", [](const Tensor& a, const Tensor& b) { return lerp(a, b, 0.25); },
       [](Complex a, Complex b) { return a + (b - a) * 0.25; }},
      {"where", "by its operands",
       [](const Tensor& a, const Tensor& b) { return where(gt(a, b), a * b, b); },
       [](Complex a, Complex b) { return a.real() > b.real() ? a * b : b; }},
      {"mul", "of a tensor with itself and another",
       [](const Tensor& a, const Tensor& b) { return mul(mul(a, a), b); },
       [](Complex a, Complex b) { return a * a * b; }},
  };
}
#undef FUNCTION
#undef METHOD
#undef OPERATOR

}  // namespace

std::vector<GradientRow> map_gradients() {
  std::vector<GradientRow> rows;
  for (const Unary& u : unary())
    rows.push_back({u.name,
                    u.variant,
                    [op = u.op](Operands in) { return op(in[0]); },
                    {{{3, 5}}, {{}}, {{0, 3}}, {{1}}, {{2, 1, 3}}},
                    {u.range},
                    u.kinks,
                    each_element([f = u.analytic](auto z) { return f(z[0]); })});
  for (const Binary& b : binary())
    rows.push_back({b.name,
                    b.variant,
                    [op = b.op](Operands in) { return op(in[0], in[1]); },
                    {{{3, 5}, {3, 5}},
                     {{3, 1}, {1, 5}},
                     {{5}, {3, 5}},
                     {{}, {2, 3}},
                     {{2, 3}, {}},
                     {{}, {}},
                     {{1}, {1, 1}},
                     {{1, 3}, {0, 3}},
                     {{2, 1, 3}, {4, 1}}},
                    b.range,
                    {},
                    each_element([f = b.analytic](auto z) { return f(z[0], z[1]); })});
  const std::vector<std::vector<Shape>> three = {
      {{3, 5}, {3, 5}, {3, 5}}, {{3, 1}, {5}, {}}, {{}, {2, 3}, {2, 1}}, {{0, 3}, {3}, {1, 1}}};
  rows.push_back({"fma",
                  "",
                  [](Operands in) { return fma(in[0], in[1], in[2]); },
                  three,
                  {{}},
                  {},
                  each_element([](auto z) { return z[0] * z[1] + z[2]; })});
  rows.push_back({"where",
                  "",
                  [](Operands in) { return where(gt(in[0], 0.25), in[1], in[2]); },
                  three,
                  {{}},
                  {0.25},
                  each_element([](auto z) { return z[0].real() > 0.25 ? z[1] : z[2]; })});
  return rows;
}

}  // namespace contract
