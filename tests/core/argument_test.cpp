// tests/core/argument_test.cpp -- extreme and wrong arguments, refused by the operation's own name
#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

#include "core/error.h"
#include "core/ops/create.h"
#include "core/ops/linalg.h"
#include "core/ops/shape_ops.h"
#include "core/tensor.h"

using namespace flash;

TEST_CASE("arange counts its elements without overflow") {
  const std::int64_t step = std::int64_t{1} << 61;
  const std::vector<std::int64_t> up = arange(INT64_MIN, INT64_MAX, step).to_vector<std::int64_t>();
  REQUIRE(up.size() == 8);
  CHECK(up.front() == INT64_MIN);
  CHECK(up.back() == 3 * step);
  CHECK(arange(INT64_MAX, INT64_MIN, -step).numel() == 8);
  CHECK(arange(INT64_MAX - 2, INT64_MAX).numel() == 2);
  const char* const many = "arange: the range has more elements than a 64-bit count of bytes holds";
  CHECK_THROWS_WITH_AS(arange(0.0, 1e30, 1.0), many, ShapeError);
  CHECK_THROWS_WITH_AS(arange(INT64_MIN, INT64_MAX), many, ShapeError);
}

TEST_CASE("eye names itself") {
  CHECK_THROWS_WITH_AS(
      eye(-1), "eye: shape [-1, -1] has the negative size -1 in dim 0 (want sizes of 0 or more)",
      ShapeError);
}

TEST_CASE("one_hot tells an undefined index from one of a wrong dtype") {
  CHECK_THROWS_WITH_AS(one_hot(Tensor(), 3), "one_hot: an operand is an undefined tensor",
                       ValueError);
  CHECK_THROWS_WITH_AS(one_hot(zeros({2}), 3), "one_hot: the index must be an integer tensor",
                       DTypeError);
}

TEST_CASE("a product whose batches do not fit names both shapes whole") {
  CHECK_THROWS_WITH_AS(matmul(zeros({2, 3, 4}), zeros({3, 4, 5})),
                       "matmul: shapes [2, 3, 4] and [3, 4, 5] do not fit (the batch dimensions "
                       "are [2] and [3])",
                       ShapeError);
}
