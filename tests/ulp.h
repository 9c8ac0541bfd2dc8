// tests/ulp.h -- errors in units in the last place, and sweeps over a format's bit patterns
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

namespace flash::test {

/// 1 / (weight of the last place of a format at `want`), for finite `want`. Read from want's own
/// bits: this runs 2^32 times in a sweep, and frexp with ldexp would be most of its time.
/// `min_exponent` counts as numeric_limits does.
inline double last_places_per_unit(double want, int digits, int min_exponent) {
  const auto biased = static_cast<int>(std::bit_cast<std::uint64_t>(want) >> 52 & 0x7ff);
  const int exponent = std::max(biased - 1023, min_exponent - 1) - (digits - 1);
  return std::bit_cast<double>(static_cast<std::uint64_t>(1023 - exponent) << 52);
}
template <class T>
double last_places_per_unit(double want) {
  using L = std::numeric_limits<T>;
  return last_places_per_unit(want, L::digits, L::min_exponent);
}
template <class T>
long double last_places_per_unit(long double want) {
  int exponent = std::numeric_limits<T>::min_exponent;
  if (want != 0) {
    std::frexp(want, &exponent);
    exponent = std::max(exponent, std::numeric_limits<T>::min_exponent);
  }
  return std::ldexp(1.0L, std::numeric_limits<T>::digits - exponent);
}

/// |got - want| in ULPs of T at `want`, which is known to more digits than T has. NaN, exact
/// infinities and the signs of zeros must agree with `want` rounded to T: the error is infinite if
/// they do not. Where one of `got` and a finite `want` overflows and the other does not, infinity
/// counts as the power of two that follows T's largest number.
template <class T, class Wide>
double ulp_error(T got, Wide want) {
  const T rounded = static_cast<T>(want);
  if (std::isfinite(got) && std::isfinite(rounded) && got != 0) [[likely]]
    return static_cast<double>(std::fabs(static_cast<Wide>(got) - want) *
                               last_places_per_unit<T>(want));
  constexpr double kWrong = std::numeric_limits<double>::infinity();
  if (std::isnan(want) || std::isnan(got)) return std::isnan(want) && std::isnan(got) ? 0 : kWrong;
  if (std::signbit(got) != std::signbit(rounded)) return kWrong;
  if (got == rounded && std::isinf(got)) return 0;
  if (std::isinf(want)) return kWrong;
  const Wide overflowed = std::ldexp(Wide{1}, std::numeric_limits<T>::max_exponent);
  const Wide size = std::isinf(got) ? overflowed : std::fabs(static_cast<Wide>(got));
  return static_cast<double>(std::fabs(size - std::fabs(want)) * last_places_per_unit<T>(want));
}

/// Same bits, or both NaN.
template <class T>
bool same(T a, T b) {
  if constexpr (std::is_floating_point_v<T>)
    if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  using Bits = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;
  return std::bit_cast<Bits>(a) == std::bit_cast<Bits>(b);
}

/// Values at which formulas and formats change.
template <class T>
std::vector<T> special_values() {
  using L = std::numeric_limits<T>;
  std::vector<T> v;
  for (const double x : {0.0,          0.25,
                         0.5,          0.75,
                         1.0,          1.25,
                         1.5,          2.0,
                         2.5,          3.0,
                         10.0,         20.0,
                         88.7,         88.8,
                         103.9,        104.1,
                         127.0,        128.0,
                         149.0,        150.0,
                         151.0,        709.7,
                         709.8,        745.1,
                         745.2,        1023.0,
                         1024.0,       1074.0,
                         1076.0,       16777217.0,
                         2147483647.0, 2147483648.0,
                         2147483649.0, 9223372036854775808.0,
                         1e22,         1e38,
                         65504.0,      65520.0,
                         6e-8})
    v.insert(v.end(), {static_cast<T>(x), static_cast<T>(-x)});
  for (const T x :
       {L::infinity(), L::max(), L::min(), L::denorm_min(), L::epsilon(),
        static_cast<T>(L::min() / 3), std::nextafter(T{1}, T{0}), std::nextafter(T{1}, T{2})})
    v.insert(v.end(), {x, -x});
  v.push_back(L::quiet_NaN());
  return v;
}

/// Every `stride`-th f32 bit pattern and all special values.
inline std::vector<float> float_sweep(std::uint32_t stride) {
  std::vector<float> v = special_values<float>();
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += stride)
    v.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
  return v;
}

struct Random {
  std::uint64_t state = 88172645463325252u;
  std::uint64_t bits() {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state * 0x9e3779b97f4a7c15u;
  }
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }
  double between(double lo, double hi) { return lo + (hi - lo) * uniform(); }
};

/// `n` doubles: any bits, several ranges about zero, every magnitude; and all special values.
inline std::vector<double> double_sweep(int n) {
  std::vector<double> v = special_values<double>();
  Random random;
  constexpr double kRanges[] = {1, 6, 40, 760};
  for (int i = 0; i < n; ++i) {
    const int kind = i % 7;
    if (kind < 4)
      v.push_back(random.between(-kRanges[kind], kRanges[kind]));
    else if (kind == 4)
      v.push_back(random.between(0, 4));
    else if (kind == 5)
      v.push_back(std::ldexp(random.between(-2, 2), static_cast<int>(random.bits() % 128) - 64));
    else
      v.push_back(std::bit_cast<double>(random.bits()));
  }
  return v;
}

}  // namespace flash::test
