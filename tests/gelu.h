// tests/gelu.h -- x Φ(x) in a wider type, as a reference
#pragma once

#include <cmath>
#include <limits>
#include <numbers>

namespace flash::test {

/// x/2 erfc(-x/√2), of double for f32 and of long double for f64. The tail of erfc magnifies the
/// rounding error of its argument by twice its square: the error is carried along to first order.
template <class T>
T gelu(T x) {
  constexpr T kRootHalf = std::numbers::sqrt2_v<T> / 2;
  // √½ - kRootHalf, of double and of x87's long double.
  constexpr int kDigits = std::numeric_limits<T>::digits;
  constexpr T kRest = kDigits == 53   ? static_cast<T>(-0x1.bdd3413b26456p-55)
                      : kDigits == 64 ? static_cast<T>(0x1.65f626cdd52b0p-66)
                                      : T{0};
  const T z = x * kRootHalf;
  // x has 53 bits of 64, or 24 of 53: its product with the 11 leading bits of √½ is exact.
  constexpr T kHigh = static_cast<T>(0x1.6ap-1), kLow = kRootHalf - kHigh;
  const T dz = ((x * kHigh - z) + x * kLow) + x * kRest;
  const T slope = dz * 2 * std::numbers::inv_sqrtpi_v<T> * std::exp(-z * z);
  const T y = x / 2 * (std::erfc(-z) + slope);
  return std::fabs(x) < std::numeric_limits<T>::infinity() ? y : x > 0 ? x : x * 0;
}

}  // namespace flash::test
