// tests/jit/interpreter_reduce_test.cpp -- reductions against a plain reading of kernel.h's tree
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "run_kernel.h"

using namespace flash;
using namespace flash::test;
using ir::Form;
using ir::ReduceKind;
using ir::Role;
using std::int64_t;

namespace {

template <class T>
T combine(ReduceKind kind, T a, T b) {
  switch (kind) {
    case ReduceKind::kSum:
      return a + b;
    case ReduceKind::kProd:
      return a * b;
    case ReduceKind::kMax:
      return std::isnan(a) ? a : std::isnan(b) ? b : a > b ? a : b;
    default:
      return std::isnan(a) ? a : std::isnan(b) ? b : a < b ? a : b;
  }
}
template <class T>
T identity(ReduceKind kind) {
  constexpr T kInf = std::numeric_limits<T>::infinity();
  return kind == ReduceKind::kSum    ? T(0)
         : kind == ReduceKind::kProd ? T(1)
         : kind == ReduceKind::kMax  ? -kInf
                                     : kInf;
}

// The recursive form of the binary counter: blocks [first, first + n) where the largest power of
// two below or at n goes left.
template <class T>
T pairwise(ReduceKind kind, const std::vector<T>& v, std::size_t first, std::size_t n) {
  if (n == 0) return identity<T>(kind);
  if (n == 1) return v[first];
  std::size_t left = std::bit_floor(n);
  if (left == n) left = n / 2;
  return combine(kind, pairwise(kind, v, first, left), pairwise(kind, v, first + left, n - left));
}

template <class T>
T row_block(ReduceKind kind, const std::vector<T>& x, std::size_t lanes) {
  std::vector<T> acc(lanes, identity<T>(kind));
  for (std::size_t j = 0; j < x.size(); ++j) acc[j % lanes] = combine(kind, acc[j % lanes], x[j]);
  for (std::size_t h = lanes / 2; h > 0; h /= 2)
    for (std::size_t i = 0; i < h; ++i) acc[i] = combine(kind, acc[i], acc[i + h]);
  return acc[0];
}
template <class T>
T column_block(ReduceKind kind, const std::vector<T>& x) {
  T acc = identity<T>(kind);
  for (const T v : x) acc = combine(kind, acc, v);
  return acc;
}

// element(o, j): the element at outer index o, position j of the run.
template <class T, class F>
T expected(Form form, ReduceKind kind, int64_t outer, int64_t run, F element) {
  const int64_t block = form == Form::kRow ? 4096 : 64;
  std::vector<T> blocks;
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t from = 0; from < run; from += block) {
      std::vector<T> x;
      for (int64_t j = from; j < std::min(run, from + block); ++j) x.push_back(element(o, j));
      blocks.push_back(form == Form::kRow ? row_block(kind, x, sizeof(T) == 8 ? 32 : 64)
                                          : column_block(kind, x));
    }
  return pairwise(kind, blocks, 0, blocks.size());
}

// Values whose sum shows the order they were added in.
template <class T>
std::vector<T> noise(int64_t n, bool near_one) {
  std::vector<T> v(static_cast<std::size_t>(n));
  std::uint64_t state = 88172645463325252u;
  for (T& x : v) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    const double u = static_cast<double>(state >> 11) * 0x1p-53;
    x = static_cast<T>(near_one ? 0.999 + 0.002 * u : (u - 0.4) * std::ldexp(1.0, int(state & 15)));
  }
  return v;
}

template <class T>
void check_bits(T got, T want) {
  CHECK((got == want || (std::isnan(got) && std::isnan(want))));
}

constexpr ReduceKind kKinds[] = {ReduceKind::kSum, ReduceKind::kProd, ReduceKind::kMax,
                                 ReduceKind::kMin};

// grid × outer × run row-major, reduced over (outer, run); the run's stride is `step` elements.
template <class T>
void check_row(Target t, ReduceKind kind, int64_t grid, int64_t outer, int64_t run, int64_t step) {
  const std::vector<T> x = noise<T>(grid * outer * run * step, kind == ReduceKind::kProd);
  std::vector<T> whole(static_cast<std::size_t>(grid)), split = whole, parts = whole;
  constexpr int64_t kSize = sizeof(T);
  const auto build = [&](std::vector<T>& out) {
    auto nest = std::make_unique<Nest>(
        Form::kRow,
        std::vector<Nest::Axis>{{Role::kGrid, grid}, {Role::kLoop, outer}, {Role::kLoop, run}});
    const int in = nest->access(dtype_of<T>, x.data(),
                                {outer * run * step * kSize, run * step * kSize, step * kSize});
    const int to = nest->access(dtype_of<T>, out.data(), {kSize, 0, 0});
    const int partials = nest->partials(dtype_of<T>, grid * (outer * (run / 4096 + 1) + 1));
    nest->b.begin_loop();
    const ir::Value r = nest->b.reduce(kind, nest->b.load(in, type_of<T>()), partials);
    nest->b.begin_row();
    nest->b.store(to, r);
    return nest;
  };
  build(whole)->run(t);
  build(split)->run_split(t, 1);
  build(parts)->run_split(t, 4);
  for (int64_t g = 0; g < grid; ++g) {
    const T want = expected<T>(Form::kRow, kind, outer, run, [&](int64_t o, int64_t j) {
      return x[static_cast<std::size_t>(((g * outer + o) * run + j) * step)];
    });
    CAPTURE(g);
    check_bits(whole[static_cast<std::size_t>(g)], want);
    check_bits(split[static_cast<std::size_t>(g)], want);
    check_bits(parts[static_cast<std::size_t>(g)], want);
  }
}

// outer × run × lanes row-major, reduced over (outer, run).
template <class T>
void check_column(Target t, ReduceKind kind, int64_t outer, int64_t run, int64_t lanes) {
  const std::vector<T> x = noise<T>(outer * run * lanes, kind == ReduceKind::kProd);
  std::vector<T> whole(static_cast<std::size_t>(lanes)), split = whole, parts = whole;
  constexpr int64_t kSize = sizeof(T);
  const auto build = [&](std::vector<T>& out, int64_t chunk) {
    auto nest = std::make_unique<Nest>(
        Form::kColumn,
        std::vector<Nest::Axis>{{Role::kLoop, outer}, {Role::kLoop, run}, {Role::kLane, lanes}});
    const int in = nest->access(dtype_of<T>, x.data(), {run * lanes * kSize, lanes * kSize, kSize});
    const int to = nest->access(dtype_of<T>, out.data(), {0, 0, kSize});
    const int partials = nest->partials(dtype_of<T>, outer * (run / 64 + 1) * lanes);
    nest->b.begin_loop();
    const ir::Value r = nest->b.reduce(kind, nest->b.load(in, type_of<T>()), partials);
    nest->b.begin_row();
    nest->b.store(to, r);
    nest->set_chunk(chunk);
    return nest;
  };
  build(whole, 19)->run(t);
  build(split, 300)->run_split(t, 1);
  build(parts, 19)->run_split(t, 2);
  for (int64_t lane = 0; lane < lanes; ++lane) {
    const T want = expected<T>(Form::kColumn, kind, outer, run, [&](int64_t o, int64_t j) {
      return x[static_cast<std::size_t>((o * run + j) * lanes + lane)];
    });
    CAPTURE(lane);
    check_bits(whole[static_cast<std::size_t>(lane)], want);
    check_bits(split[static_cast<std::size_t>(lane)], want);
    check_bits(parts[static_cast<std::size_t>(lane)], want);
  }
}

}  // namespace

TEST_CASE("a row reduction follows the fixed tree, whole and in parts") {
  for (const Target t : targets())
    for (const ReduceKind kind : kKinds)
      for (const int64_t run : {0, 1, 2, 31, 32, 33, 63, 64, 65, 257, 4095, 4096, 4097, 100000}) {
        CAPTURE(name(t));
        CAPTURE(static_cast<int>(kind));
        CAPTURE(run);
        check_row<float>(t, kind, 1, 1, run, 1);
        check_row<double>(t, kind, 1, 1, run, 1);
      }
}

TEST_CASE("a row reduction over several loop axes pushes the blocks of each outer index in order") {
  for (const Target t : targets())
    for (const int64_t outer : {0, 1, 2, 3, 7, 8, 13})
      for (const int64_t run : {1, 5, 64, 4097}) {
        CAPTURE(name(t));
        CAPTURE(outer);
        CAPTURE(run);
        check_row<float>(t, ReduceKind::kSum, 3, outer, run, 1);
        check_row<double>(t, ReduceKind::kSum, 2, outer, run, 3);
      }
}

TEST_CASE("a column reduction follows the fixed tree, whole and in parts") {
  for (const Target t : targets())
    for (const ReduceKind kind : kKinds)
      for (const int64_t run : {0, 1, 63, 64, 65, 200, 4097}) {
        CAPTURE(name(t));
        CAPTURE(static_cast<int>(kind));
        CAPTURE(run);
        check_column<float>(t, kind, 1, run, 1);
        check_column<float>(t, kind, 2, run, 37);
        check_column<double>(t, kind, 3, run, 19);
      }
  for (const Target t : targets()) check_column<float>(t, ReduceKind::kSum, 1, 130, 700);
}

TEST_CASE("integer sums wrap and integer extremes start at the type's limits") {
  const std::vector<std::int32_t> x = {2147483647, 5, -7};
  for (const Target t : targets()) {
    CAPTURE(name(t));
    for (const int64_t n : {0, 3}) {
      std::int32_t out[4] = {};
      Nest nest(Form::kRow, {{Role::kLoop, n}});
      const int in = nest.access(DType::kI32, x.data(), {4});
      nest.b.begin_loop();
      const ir::Value v = nest.b.load(in, ir::Type::kI32);
      std::vector<ir::Value> r;
      for (const ReduceKind kind : kKinds) r.push_back(nest.b.reduce(kind, v, -1));
      nest.b.begin_row();
      for (std::size_t i = 0; i < 4; ++i)
        nest.b.store(nest.access(DType::kI32, out + i, {0}), r[i]);
      nest.run(t);
      CHECK(out[0] == (n == 0 ? 0 : 2147483645));
      CHECK(out[1] == (n == 0 ? 1 : static_cast<std::int32_t>(2147483647LL * -35 & 0xffffffffLL)));
      CHECK(out[2] == (n == 0 ? std::numeric_limits<std::int32_t>::min() : 2147483647));
      CHECK(out[3] == (n == 0 ? 2147483647 : -7));
    }
  }
}

TEST_CASE("a guard keeps elements out of a reduction") {
  const std::vector<float> x = noise<float>(5000, false);
  for (const Target t : targets()) {
    float out = 0, filtered = 0;
    for (float* to : {&out, &filtered}) {
      Nest nest(Form::kRow, {{Role::kLoop, 5000}});
      const int in = nest.access(DType::kF32, x.data(), {4});
      nest.b.begin_loop();
      const ir::Value v = nest.b.load(in, ir::Type::kF32);
      const ir::Value keep = nest.b.compare(ir::Op::kLt, nest.b.f32(0), v);
      const ir::Value r = to == &out ? nest.b.reduce(ReduceKind::kSum, v, -1, keep)
                                     : nest.b.reduce(ReduceKind::kSum,
                                                     nest.b.select(keep, v, nest.b.f32(-0.0f)), -1);
      nest.b.begin_row();
      nest.b.store(nest.access(DType::kF32, to, {0}), r);
      nest.run(t);
    }
    CHECK(out == filtered);
    CHECK(out > 0);
  }
}

TEST_CASE("a softmax row kernel sees each reduction in the sections after it") {
  constexpr int64_t kRows = 5, kColumns = 300;
  const std::vector<double> x = noise<double>(kRows * kColumns, false);
  for (const Target t : targets()) {
    CAPTURE(name(t));
    std::vector<double> out(x.size()), largest(kRows);
    Nest nest(Form::kRow, {{Role::kGrid, kRows}, {Role::kLoop, kColumns}});
    const int in = nest.access(DType::kF64, x.data(), {kColumns * 8, 8});
    const int to = nest.access(DType::kF64, out.data(), {kColumns * 8, 8});
    ir::Builder& b = nest.b;
    b.begin_loop();
    const ir::Value max = b.reduce(ReduceKind::kMax, b.load(in, ir::Type::kF64), -1);
    b.begin_loop();
    const auto weight = [&] {
      const ir::Value d = b.sub(b.load(in, ir::Type::kF64), max);
      return b.div(b.f64(1), b.fma(d, d, b.f64(1)));
    };
    const ir::Value sum = b.reduce(ReduceKind::kSum, weight(), -1);
    b.begin_row();
    const ir::Value scale = b.div(b.f64(1), sum);
    b.store(nest.access(DType::kF64, largest.data(), {8, 0}), max);
    b.begin_loop();
    b.store(to, b.mul(weight(), scale));
    nest.run(t, true);
    for (int64_t r = 0; r < kRows; ++r) {
      const double* row = x.data() + r * kColumns;
      const double m = *std::max_element(row, row + kColumns);
      const auto w = [&](int64_t j) { return 1 / std::fma(row[j] - m, row[j] - m, 1.0); };
      const double total = expected<double>(Form::kRow, ReduceKind::kSum, 1, kColumns,
                                            [&](int64_t, int64_t j) { return w(j); });
      CHECK(largest[static_cast<std::size_t>(r)] == m);
      for (int64_t j = 0; j < kColumns; ++j)
        REQUIRE(out[static_cast<std::size_t>(r * kColumns + j)] == w(j) * (1 / total));
    }
  }
}
