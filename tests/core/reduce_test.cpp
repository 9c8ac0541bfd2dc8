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

TEST_CASE("a standard deviation of half types rounds once") {
  manual_seed(5);
  for (const DType d : {f16, bf16}) {
    const Tensor x = randn({200, 7}).to(d);
    const Tensor want = flash::std(x.to(f32), {1}).to(d);
    CHECK(flash::std(x, {1}).to(f32).to_vector<float>() == want.to(f32).to_vector<float>());
  }
}
