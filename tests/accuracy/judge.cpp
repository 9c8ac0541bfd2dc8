// tests/accuracy/judge.cpp -- the functions in 320-bit arithmetic
#include "accuracy/judge.h"

#include <cmath>
#include <stdexcept>
#include <string_view>

#include "accuracy/format.h"

#ifdef FLASH_WITH_MPFR
#include <mpfr.h>
#endif

namespace flash::accuracy {

#ifdef FLASH_WITH_MPFR
namespace {

constexpr mpfr_prec_t kBits = 320;

class Number {
 public:
  explicit Number(mpfr_prec_t bits = kBits) { mpfr_init2(v_, bits); }
  Number(const Number&) = delete;
  Number& operator=(const Number&) = delete;
  ~Number() { mpfr_clear(v_); }
  operator mpfr_ptr() { return v_; }  // NOLINT: so that it reads as MPFR's own

 private:
  mpfr_t v_;
};

using Exact = void (*)(mpfr_ptr y, mpfr_srcptr x);

template <auto F>
void plain(mpfr_ptr y, mpfr_srcptr x) {
  F(y, x, MPFR_RNDN);
}
void sigmoid(mpfr_ptr y, mpfr_srcptr x) {
  mpfr_neg(y, x, MPFR_RNDN);
  mpfr_exp(y, y, MPFR_RNDN);
  mpfr_add_ui(y, y, 1, MPFR_RNDN);
  mpfr_ui_div(y, 1, y, MPFR_RNDN);
}
void silu(mpfr_ptr y, mpfr_srcptr x) {
  sigmoid(y, x);
  mpfr_mul(y, y, x, MPFR_RNDN);
}
void gelu(mpfr_ptr y, mpfr_srcptr x) {
  mpfr_sqrt_ui(y, 2, MPFR_RNDN);
  mpfr_div(y, x, y, MPFR_RNDN);
  mpfr_neg(y, y, MPFR_RNDN);
  mpfr_erfc(y, y, MPFR_RNDN);
  mpfr_mul(y, y, x, MPFR_RNDN);
  mpfr_div_2ui(y, y, 1, MPFR_RNDN);
}
void sign(mpfr_ptr y, mpfr_srcptr x) { mpfr_set_si(y, mpfr_sgn(x), MPFR_RNDN); }
void relu(mpfr_ptr y, mpfr_srcptr x) {
  mpfr_sgn(x) < 0 ? mpfr_set_zero(y, 1) : static_cast<void>(mpfr_set(y, x, MPFR_RNDN));
}
void leaky_relu(mpfr_ptr y, mpfr_srcptr x) {
  mpfr_mul_d(y, x, mpfr_sgn(x) < 0 ? 0.25 : 1, MPFR_RNDN);
}
void cube(mpfr_ptr y, mpfr_srcptr x) { mpfr_pow_ui(y, x, 3, MPFR_RNDN); }
void power(mpfr_ptr y, mpfr_srcptr x) {
  Number exponent;
  mpfr_set_d(exponent, -1.5, MPFR_RNDN);
  mpfr_pow(y, x, exponent, MPFR_RNDN);
}
void reciprocal(mpfr_ptr y, mpfr_srcptr x) { mpfr_ui_div(y, 1, x, MPFR_RNDN); }

constexpr struct {
  std::string_view name;
  Exact f;
} kExact[] = {
    {"neg", plain<mpfr_neg>},
    {"abs", [](mpfr_ptr y, mpfr_srcptr x) { mpfr_abs(y, x, MPFR_RNDN); }},
    {"sign", sign},
    {"floor", [](mpfr_ptr y, mpfr_srcptr x) { mpfr_rint(y, x, MPFR_RNDD); }},
    {"ceil", [](mpfr_ptr y, mpfr_srcptr x) { mpfr_rint(y, x, MPFR_RNDU); }},
    {"round", plain<mpfr_rint>},
    {"trunc", [](mpfr_ptr y, mpfr_srcptr x) { mpfr_rint(y, x, MPFR_RNDZ); }},
    {"relu", relu},
    {"leaky_relu", leaky_relu},
    {"square", plain<mpfr_sqr>},
    {"reciprocal", reciprocal},
    {"sqrt", plain<mpfr_sqrt>},
    {"rsqrt", plain<mpfr_rec_sqrt>},
    {"exp", plain<mpfr_exp>},
    {"expm1", plain<mpfr_expm1>},
    {"log", plain<mpfr_log>},
    {"log1p", plain<mpfr_log1p>},
    {"tanh", plain<mpfr_tanh>},
    {"sigmoid", sigmoid},
    {"erf", plain<mpfr_erf>},
    {"sin", plain<mpfr_sin>},
    {"cos", plain<mpfr_cos>},
    {"gelu", gelu},
    {"silu", silu},
    {"pow(x, 3)", cube},
    {"pow(x, -1.5)", power},
    {"pow(2, x)", plain<mpfr_exp2>},
    {"pow(10, x)", plain<mpfr_exp10>},
};

Exact exact_of(const Function& f) {
  for (const auto& [name, exact] : kExact)
    if (name == f.name) return exact;
  throw std::logic_error(std::string("judge: no exact form of ") + f.name);
}

}  // namespace

std::optional<std::string> judge_name() {
  return "MPFR " + std::string(mpfr_get_version()) + ", " + std::to_string(kBits) + " bits";
}

std::optional<double> judged_error(const Function& f, DType dtype, double x, double got) {
  Number in, y;
  mpfr_set_d(in, x, MPFR_RNDN);
  exact_of(f)(y, in);
  if (!std::isfinite(got) || !mpfr_number_p(y) || mpfr_zero_p(y)) return {};
  const Format format = format_of(dtype);
  const long exponent = std::max<long>(mpfr_get_exp(y), format.min_exponent);
  mpfr_sub_d(y, y, got, MPFR_RNDN);
  mpfr_mul_2si(y, y, format.digits - exponent, MPFR_RNDN);
  return std::fabs(mpfr_get_d(y, MPFR_RNDN));
}

std::vector<double> hardest_angles() {
  std::vector<double> out;
  constexpr mpfr_prec_t kWide = 1400;  // more than the bits of 2^971 · 2/π that a mantissa sees
  Number turn(kWide), a(kWide), whole(kWide);
  for (int e = -52; e <= 971; ++e) {
    mpfr_const_pi(turn, MPFR_RNDN);
    mpfr_ui_div(turn, 2, turn, MPFR_RNDN);
    mpfr_mul_2si(turn, turn, e, MPFR_RNDN);
    mpfr_frac(a, turn, MPFR_RNDN);
    // Denominators q of the convergents of a: q · 2^e is nearly a multiple of π/2.
    double before = 0, q = 1;
    while (q < 0x1p53 && !mpfr_zero_p(a)) {
      mpfr_ui_div(a, 1, a, MPFR_RNDN);
      mpfr_floor(whole, a);
      mpfr_sub(a, a, whole, MPFR_RNDN);
      const double next = mpfr_get_d(whole, MPFR_RNDN) * q + before;
      before = q;
      q = next;
      if (q < 0x1p53 && q >= 0x1p46)
        for (double multiple = q; multiple < 0x1p53; multiple += q)
          if (multiple >= 0x1p52) {
            out.push_back(std::ldexp(multiple, e));
            break;
          }
    }
  }
  return out;
}

#else

std::optional<std::string> judge_name() { return {}; }

std::optional<double> judged_error(const Function&, DType, double, double) { return {}; }

std::vector<double> hardest_angles() {
  return {6381956970095103.0 * 0x1p797, 5319372648326541.0 * 0x1p-30, 8919302781369317.0 * 0x1p-12,
          0x1.6ac5b262ca1ffp+849, 0x1p40};
}

#endif

Verdict judge(const Function& f, DType dtype, const Sweep& sweep) {
  Verdict v;
  if (!sweep.worst.empty()) v.worst = sweep.worst.front();
  // An infinite error is a special value that came out wrong: there is nothing to measure.
  if (!judge_name() || !std::isfinite(v.worst.error)) return v;
  v.judged = true;
  bool first = true;
  for (const Point& p : sweep.worst) {
    const std::optional<double> error = judged_error(f, dtype, p.x, p.got);
    if (!error) continue;
    v.doubt = std::max(v.doubt, std::fabs(*error - p.error));
    if (first || *error > v.worst.error) v.worst = {p.x, p.got, *error};
    first = false;
  }
  for (const Point& p : sweep.sample)
    if (const std::optional<double> error = judged_error(f, dtype, p.x, p.got))
      v.doubt = std::max(v.doubt, std::fabs(*error - p.error));
  return v;
}

}  // namespace flash::accuracy
