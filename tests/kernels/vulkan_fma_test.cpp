// tests/kernels/vulkan_fma_test.cpp -- fma on Vulkan rounds once, wherever the last bit hangs by a
// thread
#include <doctest/doctest.h>

#include <flash/flash.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "vulkan_here.h"

using namespace flash;
using namespace flash::test;

namespace {

template <class T>
struct Operands {
  std::vector<T> a, b, c;
  void add(T x, T y, T z) {
    a.push_back(x);
    b.push_back(y);
    c.push_back(z);
  }
};

/// What is hard: products beside the middle of two numbers, what a difference leaves of a product,
/// results below the normal numbers, zeros, infinities and NaN.
template <class T, class Bits>
Operands<T> hard_operands() {
  constexpr int kDigits = std::numeric_limits<T>::digits;
  constexpr int kLeast = std::numeric_limits<T>::min_exponent;
  constexpr int kMost = std::numeric_limits<T>::max_exponent;
  std::mt19937_64 g(7);
  const auto upto = [&](int n) { return static_cast<int>(g() % static_cast<unsigned>(n)); };
  const auto any = [&] { return std::bit_cast<T>(static_cast<Bits>(g())); };
  const auto near_one = [&] {
    const T m = static_cast<T>(1 + std::ldexp(static_cast<double>(g() >> 11), -53));
    return upto(2) ? -m : m;
  };
  Operands<T> all;
  for (int i = 0; i < 1 << 14; ++i) {
    // (1 + h)(1 - h) is just below 1; half a unit of c's last place from it is the tie.
    const T h = static_cast<T>(std::ldexp(1.0, -(kDigits / 2 + 1 + upto(kDigits / 2 - 2))));
    const T sign = upto(2) ? T(1) : T(-1), half = std::ldexp(sign, -kDigits);
    const T odd = T(1) + static_cast<T>(2 * upto(1000) + 1) * std::numeric_limits<T>::epsilon();
    const int scale = kLeast + kDigits + upto(kMost - kLeast - 2 * kDigits);
    const T z = upto(2) ? odd : odd + std::numeric_limits<T>::epsilon();
    all.add((T(1) + h) * half, std::ldexp(T(1) - h, scale), std::ldexp(z, scale));

    const T x = near_one(), y = near_one();
    all.add(x, y, std::nextafter(-x * y, static_cast<T>(upto(3) - 1)));
    all.add(x, y, std::ldexp(near_one(), upto(6 * kDigits) - 3 * kDigits));
    // Around the least normal number, with a c of any size there.
    const int e = kLeast / 2 + upto(20) - 10;
    const T p = std::ldexp(x, e), q = std::ldexp(y, kLeast - e - upto(2 * kDigits) + kDigits);
    all.add(p, q, std::ldexp(near_one(), kLeast - upto(kDigits)));
    all.add(p, q, -p * q);
    all.add(any(), any(), any());
  }
  const T inf = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  const T corners[] = {0,
                       -T(0),
                       1,
                       -1,
                       inf,
                       -inf,
                       nan,
                       std::numeric_limits<T>::max(),
                       std::numeric_limits<T>::min(),
                       std::numeric_limits<T>::denorm_min()};
  for (const T x : corners)
    for (const T y : corners)
      for (const T z : corners) all.add(x, y, z);
  return all;
}

template <class T, class Bits>
void check_fma(DType dtype) {
  const Operands<T> all = hard_operands<T, Bits>();
  const auto on_device = [&](const std::vector<T>& v) {
    return from_blob(const_cast<T*>(v.data()), {static_cast<std::int64_t>(v.size())}, dtype)
        .to("vulkan");
  };
  const Tensor result = flash::fma(on_device(all.a), on_device(all.b), on_device(all.c));
  const std::vector<T> got = result.to_vector<T>();
  int wrong = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const T want = std::fma(all.a[i], all.b[i], all.c[i]);
    const bool same = std::isnan(want) ? std::isnan(got[i])
                                       : std::bit_cast<Bits>(want) == std::bit_cast<Bits>(got[i]);
    if (same) continue;
    if (++wrong > 3) continue;
    INFO(all.a[i], " * ", all.b[i], " + ", all.c[i], ": ", got[i], ", want ", want);
    CHECK(same);
  }
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("fma on Vulkan rounds once") {
  if (vulkan_here() == nullptr) return;
  check_fma<float, std::uint32_t>(f32);
  check_fma<double, std::uint64_t>(f64);
}
