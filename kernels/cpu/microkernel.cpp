// kernels/cpu/microkernel.cpp -- the portable inner loops, and the choice among instruction sets
#include "kernels/cpu/microkernel.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <string>

#include "core/dtype.h"
#include "core/env.h"

#define FLASH_TARGET
#include "kernels/cpu/microkernel_impl.h"

namespace flash::cpu {
namespace {

/// Four elements in an array: compilers make of it what the CPU has.
template <class T>
struct Four {
  using Scalar = T;
  struct Vec {
    T x[4];
  };
  using Mask = std::int64_t;
  static constexpr int kLanes = 4, kTile = 4;
  static constexpr int kMaxRows[kMaxVectors] = {4, 4, 0};
  template <class F>
  static Vec each(F f) {
    return {{f(0), f(1), f(2), f(3)}};
  }
  static Vec zero() { return {}; }
  static Vec set1(T x) { return {{x, x, x, x}}; }
  static Vec load(const T* p) { return {{p[0], p[1], p[2], p[3]}}; }
  static Vec load(const T* p, Mask m) {
    return each([&](int i) { return i < m ? p[i] : T(0); });
  }
  static void store(T* p, Vec v) { std::copy_n(v.x, 4, p); }
  static void store(T* p, Mask m, Vec v) { std::copy_n(v.x, m, p); }
  static Vec add(Vec a, Vec b) {
    return each([&](int i) { return a.x[i] + b.x[i]; });
  }
  static Vec fma(Vec a, Vec b, Vec c) {
    return each([&](int i) { return std::fma(a.x[i], b.x[i], c.x[i]); });
  }
  static Vec even(Vec a, Vec b) { return {{a.x[0], a.x[2], b.x[0], b.x[2]}}; }
  static Vec odd(Vec a, Vec b) { return {{a.x[1], a.x[3], b.x[1], b.x[3]}}; }
  static Vec zip_low(Vec a, Vec b) { return {{a.x[0], b.x[0], a.x[1], b.x[1]}}; }
  static Vec zip_high(Vec a, Vec b) { return {{a.x[2], b.x[2], a.x[3], b.x[3]}}; }
  struct Pred {
    bool x[4];
  };
  static Pred replaces(Vec v, Vec best) {
    Pred p;
    for (int i = 0; i < 4; ++i)
      p.x[i] = v.x[i] > best.x[i] || (std::isnan(v.x[i]) && !std::isnan(best.x[i]));
    return p;
  }
  static Vec select(Pred p, Vec a, Vec b) {
    return each([&](int i) { return p.x[i] ? a.x[i] : b.x[i]; });
  }
  static Mask mask(std::int64_t n) { return n; }
  static void transpose_tile(const T* src, std::int64_t src_row, T* dst, std::int64_t dst_row) {
    for (int i = 0; i < kTile; ++i)
      for (int j = 0; j < kTile; ++j) dst[j * dst_row + i] = src[i * src_row + j];
  }
};

constexpr HalfRows kPortableHalfRows{[](std::int64_t n, const std::uint16_t* src, float* dst) {
                                       for (std::int64_t i = 0; i < n; ++i)
                                         dst[i] = to_float(Half{src[i]});
                                     },
                                     [](std::int64_t n, const std::uint16_t* src, float* dst) {
                                       for (std::int64_t i = 0; i < n; ++i)
                                         dst[i] = to_float(BFloat16{src[i]});
                                     },
                                     [](std::int64_t n, const float* src, std::uint16_t* dst) {
                                       for (std::int64_t i = 0; i < n; ++i)
                                         dst[i] = to_half(src[i]).bits;
                                     },
                                     [](std::int64_t n, const float* src, std::uint16_t* dst) {
                                       for (std::int64_t i = 0; i < n; ++i)
                                         dst[i] = to_bfloat16(src[i]).bits;
                                     }};

template <class T>
std::atomic<const Microkernels<T>*> selected{nullptr};

/// The best set that is there and no better than `isa` ("" is the best of all).
template <class T>
const Microkernels<T>* best(std::string_view isa) {
  if (isa.empty() || isa == "avx512")
    if (const auto* set = MicrokernelSets<T>::avx512()) return set;
  if (isa != "portable")
    if (const auto* set = MicrokernelSets<T>::avx2()) return set;
  return MicrokernelSets<T>::portable();
}

template <class T>
const Microkernels<T>& current() {
  const auto* set = selected<T>.load(std::memory_order_acquire);
  if (!set) [[unlikely]] {
    select_microkernels(env::get_choice(Env::kIsa));
    set = selected<T>.load(std::memory_order_acquire);
  }
  return *set;
}

}  // namespace

template <>
const Microkernels<float>* MicrokernelSets<float>::portable() {
  static constexpr auto table = make<Four<float>>("portable");
  return &table;
}

template <>
const Microkernels<double>* MicrokernelSets<double>::portable() {
  static constexpr auto table = make<Four<double>>("portable");
  return &table;
}

void select_microkernels(std::string_view isa) {
  selected<float>.store(best<float>(isa), std::memory_order_release);
  selected<double>.store(best<double>(isa), std::memory_order_release);
}

template <>
const Microkernels<float>& microkernels() {
  return current<float>();
}

template <>
const Microkernels<double>& microkernels() {
  return current<double>();
}

const HalfRows& half_rows() {
  static const HalfRows& chosen = half_rows_avx2() ? *half_rows_avx2() : kPortableHalfRows;
  return chosen;
}

}  // namespace flash::cpu
