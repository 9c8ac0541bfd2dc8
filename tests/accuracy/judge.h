// tests/accuracy/judge.h -- the last word on a point's error: MPFR, where the tool was built with
// it
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "accuracy/functions.h"
#include "accuracy/sweep.h"

namespace flash::accuracy {

/// "MPFR 4.2.0, 320 bits", or nothing where the tool was built without.
std::optional<std::string> judge_name();

/// The error in ULP of `got` as the dtype's result for x, of a 320-bit value of the function. None
/// without MPFR and where the exact result is zero, infinite or no number.
std::optional<double> judged_error(const Function& f, DType dtype, double x, double got);

/// What a sweep's reference is worth: the judged errors of its worst points, and by how much
/// reference and judge differ on these and on the sample.
struct Verdict {
  Point worst;          // by the judge's error
  double doubt = 0;     // |error by the reference - error by the judge|, at most
  bool judged = false;  // false: `worst` is the reference's own word
};
Verdict judge(const Function& f, DType dtype, const Sweep& sweep);

/// Doubles whose distance to a multiple of π/2 is least for their size: mantissas from the
/// convergents of 2^e · 2/π, for every exponent e (Muller et al., Handbook of Floating-Point
/// Arithmetic, 11.3). Without MPFR, those that are known from there.
std::vector<double> hardest_angles();

}  // namespace flash::accuracy
