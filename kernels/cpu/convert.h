// kernels/cpu/convert.h -- elements to and from the type they are computed in
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/dtype.h"

namespace flash::cpu {

/// The type an element is computed in: f64 for f64, f32 for f32 and the half types.
template <class S>
struct ComputeOf {
  using Type = float;
};
template <>
struct ComputeOf<double> {
  using Type = double;
};

inline float load(float x) { return x; }
inline double load(double x) { return x; }
inline float load(Half x) { return to_float(x); }
inline float load(BFloat16 x) { return to_float(x); }

template <class S, class T>
S store(T x) {
  if constexpr (std::is_same_v<S, Half>)
    return to_half(x);
  else if constexpr (std::is_same_v<S, BFloat16>)
    return to_bfloat16(x);
  else
    return x;
}

/// Calls f with a value of the C++ type of `dtype`, which must be floating.
template <class F>
decltype(auto) with_float_type(DType dtype, F&& f) {
  switch (dtype) {
    case DType::kF64:
      return f(double{});
    case DType::kF16:
      return f(Half{});
    case DType::kBF16:
      return f(BFloat16{});
    default:
      return f(float{});
  }
}

/// Calls f with a value of the type that `dtype` is computed in.
template <class F>
decltype(auto) with_compute_type(DType dtype, F&& f) {
  if (dtype == DType::kF64) return f(double{});
  return f(float{});
}

/// dst[i] = src[i * stride], n elements of `dtype` widened to the compute type T.
template <class T>
void widen(DType dtype, std::int64_t n, const void* src, std::int64_t stride, T* dst);

/// dst[i] = src[i], n elements rounded to `dtype`, to nearest even.
template <class T>
void narrow(DType dtype, std::int64_t n, const T* src, void* dst);

}  // namespace flash::cpu
