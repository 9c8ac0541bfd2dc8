// tests/accuracy/bounds.h -- the error that each float function may have, for tests and docs alike
//
// In ULP; what the exhaustive run of ./dev accuracy found, rounded up. docs/accuracy.md shows the
// measured numbers beside these, and a test fails when it lacks a function of this table.
#pragma once

#include <algorithm>
#include <stdexcept>
#include <string>
#include <string_view>

namespace flash::accuracy {

/// Half types are computed in f32 and rounded once more, f32's error being 2^-13 (f16) and 2^-16
/// (bf16) of their last place.
inline constexpr double kHalfBound = 0.5003;

struct Bound {
  std::string_view name;
  double f32, f64;
  double half = kHalfBound;  // f16 and bf16
};

inline constexpr Bound kBounds[] = {
    // Exact, or rounded once by the instruction itself.
    {"neg", 0, 0, 0},
    {"abs", 0, 0, 0},
    {"sign", 0, 0, 0},
    {"floor", 0, 0, 0},
    {"ceil", 0, 0, 0},
    {"round", 0, 0, 0},
    {"trunc", 0, 0, 0},
    {"relu", 0, 0, 0},
    {"leaky_relu", 0.5, 0.5},
    {"square", 0.5, 0.5},
    {"reciprocal", 0.5, 0.5},
    {"sqrt", 0.5, 0.5},
    {"rsqrt", 0.51, 0.51},
    {"exp", 0.90, 0.95},
    {"expm1", 1.00, 1.20},
    {"log", 0.95, 0.85},
    {"log1p", 0.95, 1.50},
    {"tanh", 0.88, 1.20},
    {"sigmoid", 1.00, 1.00},
    {"erf", 0.86, 1.75},
    {"sin", 0.87, 1.00},
    {"cos", 0.87, 1.00},
    {"gelu", 0.82, 1.45},
    {"silu", 1.00, 1.00},
    // x * x * x, rounded twice.
    {"pow(x, 3)", 1.50, 1.50, 1.50},
    {"pow(x, -1.5)", 0.51, 1.00},
    {"pow(2, x)", 0.51, 1.00},
    {"pow(10, x)", 0.51, 1.00},
};

/// Functions of jit/ir/math.h that no public function stands for.
inline constexpr Bound kInnerBounds[] = {
    {"exp2", 0.87, 0.85},
    {"log2", 1.00, 0.80},
    {"pow", 0.51, 1.00},
};

inline constexpr const Bound& bound_of(std::string_view name) {
  for (const Bound& b : kBounds)
    if (b.name == name) return b;
  for (const Bound& b : kInnerBounds)
    if (b.name == name) return b;
  throw std::invalid_argument("bounds: no function is called " + std::string(name));
}

}  // namespace flash::accuracy
