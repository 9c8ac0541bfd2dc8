// tests/core/dtype_test.cpp -- promotion, names and the half formats
#include "core/dtype.h"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include "core/error.h"

using namespace flash;

namespace {
float f32_of(std::uint32_t bits) { return std::bit_cast<float>(bits); }
Half half_of(unsigned bits) { return Half{static_cast<std::uint16_t>(bits)}; }
BFloat16 bfloat16_of(unsigned bits) { return BFloat16{static_cast<std::uint16_t>(bits)}; }
}  // namespace

TEST_CASE("promotion is PyTorch's") {
  CHECK(promote(u8, i8) == i16);
  CHECK(promote(u8, i64) == i64);
  CHECK(promote(boolean, u8) == u8);
  CHECK(promote(i64, f16) == f16);
  CHECK(promote(i64, bf16) == bf16);
  CHECK(promote(f16, bf16) == f32);
  CHECK(promote(f16, f32) == f32);
  CHECK(promote(boolean, boolean) == boolean);
  for (int a = 0; a < kNumDTypes; ++a) {
    const auto x = static_cast<DType>(a);
    CHECK(promote(x, x) == x);
    CHECK(promote(x, f64) == f64);
    CHECK(promote(x, boolean) == x);
    for (int b = 0; b < kNumDTypes; ++b) {
      const auto y = static_cast<DType>(b);
      CHECK(promote(x, y) == promote(y, x));
      CHECK(size_of(promote(x, y)) >= (is_floating(x) == is_floating(y) ? size_of(x) : 1));
      CHECK(is_floating(promote(x, y)) == (is_floating(x) || is_floating(y)));
    }
  }
}

TEST_CASE("a dtype is found by its own, PyTorch's and C's name") {
  for (int i = 0; i < kNumDTypes; ++i) {
    const auto t = static_cast<DType>(i);
    CHECK(parse_dtype(info(t).name) == t);
    CHECK(parse_dtype(info(t).torch_name) == t);
    CHECK(parse_dtype("torch." + std::string(info(t).torch_name)) == t);
    CHECK(info(t).bits == 8 * size_of(t));
  }
  CHECK(parse_dtype("half") == f16);
  CHECK_THROWS_WITH_AS(
      parse_dtype("float8"),
      "parse_dtype: \"float8\" is not a dtype; known are bool, u8, i8, i16, i32, "
      "i64, f16, bf16, f32, f64 and PyTorch's names for them (float32, uint8, ...)",
      DTypeError);
}

TEST_CASE("every f16 survives the way to float and back") {
  int nans = 0;
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    const float f = to_float(half_of(bits));
    if (std::isnan(f)) {
      ++nans;
      CHECK(to_half(f).bits == (bits | 0x200u));  // quiet, payload kept
    } else {
      REQUIRE(to_half(f).bits == bits);
    }
  }
  CHECK(nans == 2 * 1023);
  CHECK(to_float(half_of(0x0001)) == 0x1p-24f);
  CHECK(to_float(half_of(0x3c00)) == 1.0f);
  CHECK(to_float(half_of(0x7bff)) == 65504.0f);
  CHECK(to_float(half_of(0xfc00)) == -std::numeric_limits<float>::infinity());
}

TEST_CASE("float to f16 rounds to nearest, ties to even, subnormals included") {
  for (unsigned low = 0; low < 0x7bff; ++low) {  // every pair of neighbours
    const float a = to_float(half_of(low)), b = to_float(half_of(low + 1));
    const float middle = (a + b) / 2;  // exact: a half has 11 bits, a float 24
    REQUIRE(to_half(std::nextafter(middle, a)).bits == low);
    REQUIRE(to_half(std::nextafter(middle, b)).bits == low + 1);
    REQUIRE(to_half(middle).bits == (low & 1u ? low + 1 : low));
    REQUIRE(to_half(-middle).bits == (0x8000u | (low & 1u ? low + 1 : low)));
  }
  CHECK(to_half(65519.99f).bits == 0x7bff);
  CHECK(to_half(65520.0f).bits == 0x7c00);  // the tie above the largest goes to inf
  CHECK(to_half(1e30f).bits == 0x7c00);
  CHECK(to_half(1e-30f).bits == 0);
  CHECK(to_half(-0.0f).bits == 0x8000);
  CHECK(std::isnan(to_float(to_half(f32_of(0x7f800001)))));  // its payload lies below f16's
}

TEST_CASE("float to bf16 rounds to nearest, ties to even, and NaN stays NaN") {
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    const float f = to_float(bfloat16_of(bits));
    if (std::isnan(f)) {
      CHECK(to_bfloat16(f).bits == (bits | 0x40u));
      continue;
    }
    REQUIRE(to_bfloat16(f).bits == bits);
    if ((bits & 0x7fffu) >= 0x7f80) continue;
    const std::uint32_t word = bits << 16;
    REQUIRE(to_bfloat16(f32_of(word | 0x7fff)).bits == bits);
    REQUIRE(to_bfloat16(f32_of(word | 0x8001)).bits == bits + 1);
    REQUIRE(to_bfloat16(f32_of(word | 0x8000)).bits == (bits & 1u ? bits + 1 : bits));
  }
  CHECK(std::isnan(to_float(to_bfloat16(f32_of(0x7fffffff)))));
  CHECK(std::isnan(to_float(to_bfloat16(f32_of(0x7f800001)))));
  CHECK(to_bfloat16(f32_of(0x00000001)).bits == 0);  // the least subnormal is below half a step
  CHECK(to_bfloat16(f32_of(0x00018000)).bits == 2);  // a subnormal tie
}
