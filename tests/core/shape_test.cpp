// tests/core/shape_test.cpp -- sizes, strides, broadcasting, and what their errors say
#include "core/shape.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

#include "core/error.h"
#include "core/ops/create.h"
#include "core/ops/shape_ops.h"
#include "core/tensor.h"

using namespace flash;

TEST_CASE("shapes broadcast by NumPy's rule") {
  CHECK(broadcast_shapes({2, 3}, {3}, "add") == Shape{2, 3});
  CHECK(broadcast_shapes({3}, {2, 1}, "add") == Shape{2, 3});
  CHECK(broadcast_shapes({}, {4, 0}, "add") == Shape{4, 0});
  CHECK(broadcast_shapes({1}, {0}, "add") == Shape{0});
  CHECK(broadcast_shapes({5, 1, 4}, {1, 6, 1}, "add") == Shape{5, 6, 4});
}

TEST_CASE("a broadcast that fails names the operation, both shapes and the dimension") {
  CHECK_THROWS_WITH_AS(broadcast_shapes({2, 3}, {4}, "add"),
                       "add: shapes [2, 3] and [4] do not broadcast (dim 1: 3 vs 4)", ShapeError);
  CHECK_THROWS_WITH_AS(broadcast_shapes({4}, {2, 3}, "mul"),
                       "mul: shapes [4] and [2, 3] do not broadcast (dim 1: 4 vs 3)", ShapeError);
  CHECK_THROWS_WITH_AS(broadcast_shapes({2, 0}, {2, 3}, "mul"),
                       "mul: shapes [2, 0] and [2, 3] do not broadcast (dim 1: 0 vs 3)",
                       ShapeError);
}

TEST_CASE("contiguous strides are row-major and recognised") {
  CHECK(contiguous_strides({2, 3, 4}) == Strides{12, 4, 1});
  CHECK(contiguous_strides({2, 0, 4}) == Strides{4, 4, 1});
  CHECK(contiguous_strides({}) == Strides{});
  CHECK(is_contiguous({2, 3}, {3, 1}));
  CHECK(is_contiguous({2, 1, 3}, {3, 77, 1}));  // dims of size 1 don't count
  CHECK(is_contiguous({2, 0}, {9, 9}));
  CHECK(is_contiguous({}, {}));
  CHECK_FALSE(is_contiguous({2, 3}, {1, 2}));
  CHECK_FALSE(is_contiguous({2, 3}, {4, 1}));
  CHECK_FALSE(is_contiguous({2, 3}, {0, 1}));
}

TEST_CASE("negative dims count from the back, others are refused") {
  CHECK(normalize_dim(-1, 3, "sum") == 2);
  CHECK(normalize_dim(0, 0, "sum") == 0);
  CHECK(normalize_dim(-1, 0, "sum") == 0);
  CHECK_THROWS_WITH_AS(normalize_dim(2, 2, "sum"),
                       "sum: dim 2 is out of range for a tensor of rank 2 (want -2 to 1)",
                       IndexError);
  CHECK_THROWS_AS(normalize_dim(-4, 3, "sum"), IndexError);
}

TEST_CASE("a shape holds up to eight sizes that can be edited") {
  Shape s{2, 4};
  s.insert(1, 3);
  CHECK(s == Shape{2, 3, 4});
  s.insert(3, 5);
  CHECK(s == Shape{2, 3, 4, 5});
  s.erase(0);
  CHECK(s == Shape{3, 4, 5});
  CHECK(s.str() == "[3, 4, 5]");
  CHECK(s.numel() == 60);
  CHECK(Shape{}.numel() == 1);
  CHECK_THROWS_AS(s.erase(3), IndexError);
  CHECK_THROWS_AS(s.insert(-1, 2), IndexError);
  const std::vector<std::int64_t> nine(9, 1);
  CHECK_THROWS_AS(Shape{std::span<const std::int64_t>(nine)}, ShapeError);
  Shape full{1, 1, 1, 1, 1, 1, 1, 1};
  CHECK_THROWS_AS(full.push_back(1), ShapeError);
}

TEST_CASE("sizes that are negative or too many are refused") {
  CHECK_NOTHROW(check_shape({2, 0, 3}, "zeros"));
  CHECK_THROWS_WITH_AS(
      check_shape({2, -1}, "zeros"),
      "zeros: shape [2, -1] has the negative size -1 in dim 1 (want sizes of 0 or more)",
      ShapeError);
  const std::int64_t big = std::int64_t{1} << 32;
  CHECK_THROWS_AS(check_shape({big, big}, "zeros"), ShapeError);
  CHECK_THROWS_AS(check_shape({big, 0, big}, "zeros"), ShapeError);  // its strides overflow
  CHECK_NOTHROW(check_shape({big, big / 4}, "zeros"));
}

TEST_CASE("no shape is made whose elements or bytes a 64-bit count does not hold") {
  const std::int64_t huge = std::int64_t{1} << 62, big = std::int64_t{1} << 32;
  const Tensor one = zeros({1});
  CHECK_THROWS_WITH_AS(one.expand({huge, 4}),
                       "expand: shape [4611686018427387904, 4] has more elements than a 64-bit "
                       "count holds",
                       ShapeError);
  CHECK_THROWS_WITH_AS(one.expand({big, 1}) + one.expand({1, big}),
                       "add: shape [4294967296, 4294967296] has more elements than a 64-bit count "
                       "holds",
                       ShapeError);
  CHECK_THROWS_WITH_AS(one.expand({huge}).clone(),
                       doctest::Contains("shape [4611686018427387904] of f32 has more bytes than "
                                         "a 64-bit count holds"),
                       ShapeError);
  CHECK_THROWS_WITH_AS(
      zeros({huge}),
      "zeros: shape [4611686018427387904] of f32 has more bytes than a 64-bit count holds",
      ShapeError);
  CHECK_THROWS_AS(zeros({0}).view({huge, 4}), ShapeError);
  CHECK_THROWS_AS(zeros({0}).view({huge, 4, -1}), ShapeError);
  CHECK_THROWS_AS(zeros({0, 2}).unflatten(0, {huge, 4}), ShapeError);
  CHECK_THROWS_AS(one.expand({huge}).unfold(0, huge / 2, 1), ShapeError);
  CHECK_THROWS_AS(cat({one.expand({huge}), one.expand({huge})}), ShapeError);
  CHECK_THROWS_AS(pad(one, {INT64_MAX, 1}), ShapeError);
  CHECK_THROWS_AS(from_host(nullptr, {huge}, DType::kF32), ShapeError);
  CHECK(one.expand({huge}).numel() == huge);  // takes no memory
}

TEST_CASE("a tensor that no memory holds is refused with its size") {
  const Tensor x = zeros({std::int64_t{1} << 58});
  CHECK_THROWS_WITH_AS(x.eval(), doctest::Contains("1 EiB"), OutOfMemory);
}

TEST_CASE("an index map must stay inside its storage, whatever its numbers") {
  const std::int64_t least = INT64_MIN, most = INT64_MAX;
  const Tensor x = zeros({16});
  CHECK_THROWS_WITH_AS(x.as_strided({1000}, {-1}, least), doctest::Contains("16 elements"),
                       IndexError);
  CHECK_THROWS_AS(x.as_strided({4000000}, {-1}, least), IndexError);
  CHECK_THROWS_AS(x.as_strided({5}, {std::int64_t{1} << 62}, 0), IndexError);
  CHECK_THROWS_AS(x.as_strided({3, 3}, {most, most}, 2), IndexError);
  CHECK_THROWS_AS(x.as_strided({2}, {least}, most), IndexError);
  CHECK_NOTHROW(x.as_strided({1, 4}, {least, -5}, 15));  // a single index takes no step
  CHECK(fits_storage({4, 1}, {-5, most}, 15, 16));
  CHECK_FALSE(fits_storage({4, 1}, {-5, most}, 14, 16));
  CHECK_FALSE(fits_storage({}, {}, 16, 16));
  CHECK(fits_storage({0}, {1}, 99, 16));

  float data[3] = {1, 2, 3};
  CHECK_THROWS_WITH_AS(
      from_blob(data, {3}, Strides{std::int64_t{1} << 62}, DType::kF32),
      "from_blob: shape [3] and strides [4611686018427387904] reach farther than a 64-bit count "
      "of elements",
      ShapeError);
  CHECK_THROWS_AS(from_blob(data, {3}, Strides{std::int64_t{1} << 60}, DType::kF32), ShapeError);
  CHECK(from_blob(data, {2}, Strides{2}, DType::kF32).sum().item<float>() == 4);
}
