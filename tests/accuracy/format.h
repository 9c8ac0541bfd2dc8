// tests/accuracy/format.h -- f16 and bf16 as formats: rounding to them and errors in their ULPs
#pragma once

#include <flash/flash.h>

#include <cmath>
#include <limits>

#include "ulp.h"

namespace flash::accuracy {

/// Values of the format are held in doubles, which are wide enough for all but f64's references.
struct Format {
  int digits, min_exponent;  // as numeric_limits counts
  double max;

  /// To nearest, ties to even; beyond `max` and half a last place, infinity.
  double rounded(double x) const {
    if (!std::isfinite(x)) return x;
    const double scale = test::last_places_per_unit(x, digits, min_exponent);
    const double r = std::copysign(std::nearbyint(std::fabs(x) * scale) / scale, x);
    return std::fabs(r) > max ? std::copysign(std::numeric_limits<double>::infinity(), x) : r;
  }
  /// As test::ulp_error.
  double error(double got, double want) const {
    const double r = rounded(want);
    if (test::same(got, r) && !std::isfinite(r)) return 0;
    if (std::isnan(got) || !std::isfinite(want) || std::signbit(got) != std::signbit(r))
      return std::numeric_limits<double>::infinity();
    const double size = std::isinf(got) ? std::ldexp(1.0, std::ilogb(max) + 1) : std::fabs(got);
    return std::fabs(size - std::fabs(want)) *
           test::last_places_per_unit(want, digits, min_exponent);
  }
};

inline Format format_of(DType dtype) {
  switch (dtype) {
    case DType::kF16:
      return {11, -13, 65504};
    case DType::kBF16:
      return {8, -125, 0x1.fep127};
    case DType::kF32:
      return {24, -125, std::numeric_limits<float>::max()};
    default:
      return {53, -1021, std::numeric_limits<double>::max()};
  }
}

}  // namespace flash::accuracy
