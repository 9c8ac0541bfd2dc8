// tests/accuracy/specials.cpp -- a few values through the public functions, in any dtype
#include "accuracy/specials.h"

#include <cmath>
#include <limits>

#include "accuracy/bounds.h"
#include "accuracy/format.h"
#include "accuracy/sweep.h"

namespace flash::accuracy {
namespace {

/// Each value through the function in that dtype. The inputs have to be values of it.
std::vector<double> apply(const Function& f, DType dtype, const std::vector<double>& x) {
  return f.op(from_vector(x).to(dtype)).to(f64).to_vector<double>();
}

}  // namespace

double bound_of(const Function& f, DType dtype) {
  const Bound& bound = bound_of(std::string_view(f.name));
  if (dtype == DType::kF64) return bound.f64;
  if (dtype == DType::kF32) return bound.f32;
  return bound.half;
}

std::vector<Special> ends(const Function& f, DType dtype) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> x = {-kInf, -0.0, 0.0, kInf, kNaN};
  const std::vector<double> got = apply(f, dtype, x);
  std::vector<Special> out;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double want = i < 4 ? f.at_ends[i] : kNaN;
    out.push_back({x[i], want, got[i], test::same(got[i], want)});
  }
  return out;
}

std::vector<Special> limits(const Function& f, DType dtype) {
  const Format format = format_of(dtype);
  const double normal = std::ldexp(1.0, format.min_exponent - 1);
  const double least = std::ldexp(1.0, format.min_exponent - format.digits);
  std::vector<double> x;
  for (const double v : {least, normal - least, normal, format.max}) x.insert(x.end(), {v, -v});
  const std::vector<double> got = apply(f, dtype, x);
  std::vector<Special> out;
  for (std::size_t i = 0; i < x.size(); ++i)
    out.push_back({x[i], static_cast<double>(f.widest(static_cast<long double>(x[i]))), got[i],
                   error_of(f, dtype, x[i], got[i]) <= bound_of(f, dtype)});
  return out;
}

}  // namespace flash::accuracy
