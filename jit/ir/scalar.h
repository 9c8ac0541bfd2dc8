// jit/ir/scalar.h -- what each arithmetic op means for one element; the interpreter and the
// builder's constant folding share it
//
// T is the register type: std::int32_t, std::int64_t, float or double. Include only from files that
// are compiled with -ffp-contract=off.
#pragma once

#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "jit/ir/kernel.h"

namespace flash::ir::scalar {

template <class T>
concept Int = std::integral<T>;
template <class T>
concept Float = std::floating_point<T>;

template <Int T>
using Unsigned = std::make_unsigned_t<T>;

/// Integer arithmetic wraps: it is done on the unsigned type.
template <class T>
T add(T a, T b) {
  if constexpr (Int<T>)
    return static_cast<T>(static_cast<Unsigned<T>>(a) + static_cast<Unsigned<T>>(b));
  else
    return a + b;
}
template <class T>
T sub(T a, T b) {
  if constexpr (Int<T>)
    return static_cast<T>(static_cast<Unsigned<T>>(a) - static_cast<Unsigned<T>>(b));
  else
    return a - b;
}
template <class T>
T mul(T a, T b) {
  if constexpr (Int<T>)
    return static_cast<T>(static_cast<Unsigned<T>>(a) * static_cast<Unsigned<T>>(b));
  else
    return a * b;
}
template <class T>
T div(T a, T b) {
  if constexpr (Int<T>) {
    if (b == 0) return 0;
    if (b == -1) return sub<T>(0, a);
    return static_cast<T>(a / b);
  } else {
    return a / b;
  }
}
template <Int T>
T rem(T a, T b) {
  return b == 0 ? a : b == -1 ? T{0} : static_cast<T>(a % b);
}
/// a * 2^n, n integral.
template <Float T>
T scale(T a, T n) {
  return a != a ? a : std::scalbn(a, static_cast<int>(n));
}
template <class T>
T neg(T a) {
  if constexpr (Int<T>)
    return sub<T>(0, a);
  else
    return -a;
}
template <class T>
T abs(T a) {
  if constexpr (Int<T>)
    return a < 0 ? sub<T>(0, a) : a;
  else
    return std::fabs(a);
}
template <class T>
T max(T a, T b) {
  if constexpr (Float<T>) {
    if (a != a) return a;
    if (b != b) return b;
  }
  return a > b ? a : b;
}
template <class T>
T min(T a, T b) {
  if constexpr (Float<T>) {
    if (a != a) return a;
    if (b != b) return b;
  }
  return a < b ? a : b;
}

template <Int T>
T shl(T a, T b) {
  constexpr T kMask = sizeof(T) * 8 - 1;
  return static_cast<T>(static_cast<Unsigned<T>>(a) << (b & kMask));
}
template <Int T>
T shr_a(T a, T b) {
  constexpr T kMask = sizeof(T) * 8 - 1;
  return static_cast<T>(a >> (b & kMask));
}
template <Int T>
T shr_l(T a, T b) {
  constexpr T kMask = sizeof(T) * 8 - 1;
  return static_cast<T>(static_cast<Unsigned<T>>(a) >> (b & kMask));
}
inline std::int32_t mul_hi_u(std::int32_t a, std::int32_t b) {
  const auto wide = std::uint64_t{static_cast<std::uint32_t>(a)} * static_cast<std::uint32_t>(b);
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(wide >> 32));
}

/// kCast between register types.
template <class To, class From>
To cast(From x) {
  if constexpr (Int<To> && Float<From>) {
    constexpr From kLimit = sizeof(To) == 8 ? From(0x1p63) : From(0x1p31);
    if (!(x >= -kLimit && x < kLimit)) {
      // f64 → i32: values in (-2^31 - 1, -2^31) also truncate to INT_MIN, as out of range gives.
      return std::numeric_limits<To>::min();
    }
  }
  return static_cast<To>(x);
}

template <class T>
constexpr T identity(ReduceKind kind) {
  using Limits = std::numeric_limits<T>;
  switch (kind) {
    case ReduceKind::kSum:
      return T{0};
    case ReduceKind::kProd:
      return T{1};
    case ReduceKind::kMax:
      return Float<T> ? -Limits::infinity() : Limits::min();
    default:
      return Float<T> ? Limits::infinity() : Limits::max();
  }
}

/// Calls f with a zero of the C++ type of t.
template <class F>
auto dispatch(Type t, F f) {
  switch (t) {
    case Type::kI32:
      return f(std::int32_t{});
    case Type::kI64:
      return f(std::int64_t{});
    case Type::kF32:
      return f(float{});
    default:
      return f(double{});
  }
}

}  // namespace flash::ir::scalar
