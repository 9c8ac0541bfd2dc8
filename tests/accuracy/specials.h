// tests/accuracy/specials.h -- results at infinities, zeros, NaN and the ends of a format
#pragma once

#include <string>
#include <vector>

#include "accuracy/functions.h"

namespace flash::accuracy {

struct Special {
  double x, want, got;
  bool good;
};

/// f(-inf), f(-0), f(+0), f(+inf), f(NaN), as C99's Annex F or PyTorch has them, exactly.
std::vector<Special> ends(const Function& f, DType dtype);

/// Both signs of the least and the largest subnormal number, the least normal and the largest
/// finite one, within the function's bound.
std::vector<Special> limits(const Function& f, DType dtype);

/// The bound of bounds.h for that dtype.
double bound_of(const Function& f, DType dtype);

}  // namespace flash::accuracy
