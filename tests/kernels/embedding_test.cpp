// tests/kernels/embedding_test.cpp -- gathered rows, summed gradients, refused indices
#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

#include "core/error.h"
#include "leaf_testing.h"

using namespace flash;
using namespace flash::cpu::testing;

namespace {
Array indices(const Shape& shape, std::int64_t rows, std::uint64_t seed,
              Layout layout = Layout::kContiguous) {
  Array a(i64, shape, layout);
  Numbers numbers(seed);
  for (std::int64_t i = 0; i < a.numel(); ++i) a.set(i, static_cast<double>(numbers.below(rows)));
  return a;
}
}  // namespace

TEST_CASE("gather_rows copies the rows that are named, in every dtype and layout") {
  for (const DType t : {f32, f64, f16, bf16, i64, u8})
    for (const Layout layout : kLayouts) {
      Array table(t, {11, 7}, layout);
      for (std::int64_t i = 0; i < table.numel(); ++i) table.set(i, static_cast<double>(i));
      const Array index = indices({5, 9}, 11, 1, layout);
      const Array out = run(Prim::kGatherRows, {&table, &index}, t, {5, 9, 7});
      for (std::int64_t i = 0; i < 45; ++i)
        for (std::int64_t j = 0; j < 7; ++j)
          CHECK(out[i * 7 + j] == table.at({static_cast<std::int64_t>(index[i]), j}));
    }
}

TEST_CASE("scatter_add_rows sums in the order of the items, whatever the threads and the layout") {
  for (const DType t : {f32, f64, f16, bf16})
    for (const std::int64_t width : {1, 7, 64}) {
      Array dy(t, {300, width});
      dy.fill(2);
      const Array index = indices({300}, 13, 3);
      std::vector<double> want(static_cast<std::size_t>(13 * width), 0.0);
      for (std::int64_t i = 0; i < 300; ++i)
        for (std::int64_t j = 0; j < width; ++j) {
          double& sum = want[static_cast<std::size_t>(index[i]) * static_cast<std::size_t>(width) +
                             static_cast<std::size_t>(j)];
          sum += dy.at({i, j});
          if (t != f64) sum = static_cast<float>(sum);
        }
      Array rounded(t, {13, width});
      for (std::int64_t i = 0; i < rounded.numel(); ++i)
        rounded.set(i, want[static_cast<std::size_t>(i)]);
      for (const int threads : {1, 2, 5})
        for (const Layout layout : kLayouts) {
          const Threads scope(threads);
          const Array dy2 = dy.copy(layout), index2 = index.copy(layout);
          const Array out = run(Prim::kScatterAddRows, {&dy2, &index2}, t, {13, width}, {13});
          CHECK(out.bytes() == rounded.bytes());
        }
    }
}

TEST_CASE("rows that no index names get zeros, also when there are no indices at all") {
  Array dy(f32, {0, 5}), index(i64, {0});
  const Array out = run(Prim::kScatterAddRows, {&dy, &index}, f32, {4, 5}, {4});
  for (std::int64_t i = 0; i < 20; ++i) CHECK(out[i] == 0);
  Array table(f32, {4, 5});
  CHECK(run(Prim::kGatherRows, {&table, &index}, f32, {0, 5}).numel() == 0);
}

TEST_CASE("an index out of range is refused with its value, its place and the range") {
  for (const int threads : {1, 3}) {
    const Threads scope(threads);
    Array table(f32, {4, 5000}), index(i64, {40}), dy(f32, {40, 5000});
    table.fill(1), dy.fill(2);
    for (std::int64_t i = 0; i < 40; ++i) index.set(i, 3);
    index.set(17, 4);
    index.set(30, -1);
    CHECK_THROWS_WITH_AS(run(Prim::kGatherRows, {&table, &index}, f32, {40, 5000}),
                         "embedding: index 4 (item 17) is out of range for 4 rows; want 0 to 3",
                         IndexError);
    CHECK_THROWS_WITH_AS(
        run(Prim::kScatterAddRows, {&dy, &index}, f32, {4, 5000}, {4}),
        "embedding's gradient: index 4 (item 17) is out of range for 4 rows; want 0 to 3",
        IndexError);
  }
}
