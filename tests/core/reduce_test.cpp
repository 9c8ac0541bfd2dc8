// tests/core/reduce_test.cpp -- reductions as a user of `using namespace flash` writes them
#include <doctest/doctest.h>

#include <cmath>
#include <iostream>
#include <vector>

#include "core/ops/create.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"

using namespace flash;

TEST_CASE("prod, var and std are members too: the bare name of the last is a namespace") {
  const Tensor x = from_vector(std::vector<double>{1, 2, 4, 3, 3, 9}, {2, 3});
  CHECK(x.prod().item() == 648);
  CHECK(x.prod({1}).to_vector<double>() == std::vector<double>{8, 81});
  CHECK(x.prod({0}, true).shape() == Shape{1, 3});
  CHECK(x.var().item() == doctest::Approx(118.0 / 15));
  CHECK(x.std().item() == doctest::Approx(std::sqrt(118.0 / 15)));
  CHECK(x.var({1}).to_vector<double>()[1] == doctest::Approx(12));
  CHECK(x.std({1}, true).shape() == Shape{2, 1});
  CHECK(x.std({1}, false, 0).to_vector<double>()[1] == doctest::Approx(std::sqrt(8.0)));
  CHECK_THROWS_WITH_AS(x.to(i64).std(), doctest::Contains("std: takes a floating dtype"),
                       DTypeError);
}

TEST_CASE("reductions take one dimension, several or none") {
  const Tensor x = arange(6).view({2, 3});
  CHECK(x.sum(1).to_vector<std::int64_t>() == std::vector<std::int64_t>{3, 12});
  CHECK(sum(x, -1, true).shape() == Shape{2, 1});
  CHECK(x.sum({0, 1}).item() == 15);
  CHECK(x.amax().item() == 5);
  CHECK(x.to(f32).mean(0).to_vector<float>() == std::vector<float>{1.5f, 2.5f, 3.5f});
  CHECK_THROWS_AS(x.sum(std::int64_t{1} << 32), IndexError);
  CHECK(x.argmax().item<int>() == 5);
  CHECK(x.t().argmax().item<int>() == 5);
  CHECK(argmin(x, {}, true).shape() == Shape{1, 1});
  CHECK(argmax(zeros({})).item<int>() == 0);
  CHECK_THROWS_AS(argmax(zeros({0, 3})), ShapeError);
  // On any device.
  const Tensor far = zeros({2, 3}, {.device = Device(DeviceType::kNull)});
  CHECK(argmax(far, 0).device() == far.device());
}

TEST_CASE("one bound of clamp is enough") {
  const Tensor x = tensor({-1, 0, 5});
  CHECK(clamp(x, 0).to_vector<std::int64_t>() == std::vector<std::int64_t>{0, 0, 5});
  CHECK(clamp(x, {}, 3).to_vector<std::int64_t>() == std::vector<std::int64_t>{-1, 0, 3});
  CHECK_THROWS_AS(clamp(x, {}, {}), ValueError);
}

TEST_CASE("a standard deviation of half types rounds once") {
  manual_seed(5);
  for (const DType d : {f16, bf16}) {
    const Tensor x = randn({200, 7}).to(d);
    const Tensor want = flash::std(x.to(f32), {1}).to(d);
    CHECK(flash::std(x, {1}).to(f32).to_vector<float>() == want.to(f32).to_vector<float>());
  }
}
