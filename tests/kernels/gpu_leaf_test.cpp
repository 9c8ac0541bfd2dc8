// tests/kernels/gpu_leaf_test.cpp -- GPU leaf kernels, emulated on the host, have the CPU's bits
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "core/error.h"
#include "gpu_leaf_cases.h"
#include "gpu_leaf_testing.h"

using namespace flash;
using namespace flash::cpu::testing;
using namespace flash::test;

namespace {

using Index = std::int64_t;
constexpr DType kFloats[] = {f32, f64, f16, bf16};

/// Puts what is easily got wrong in some places: zeros of both signs, infinities, NaN, tiny values.
Array& spice(Array& x, std::uint64_t seed) {
  constexpr double kValues[] = {-0.0,
                                0.0,
                                std::numeric_limits<double>::infinity(),
                                -std::numeric_limits<double>::infinity(),
                                std::numeric_limits<double>::quiet_NaN(),
                                1e-30,
                                -1e-30,
                                6e4};
  Numbers numbers(seed);
  for (Index i = 0; i < x.numel() / 9; ++i) x.set(numbers.below(x.numel()), kValues[i % 8]);
  return x;
}

struct Product {
  Index m, n, k;
};
constexpr Product kProducts[] = {{1, 1, 1},     {1, 7, 3},       {2, 3, 0},     {5, 1, 17},
                                 {1, 33, 64},   {13, 31, 29},    {17, 65, 16},  {31, 10, 257},
                                 {64, 10, 84},  {3, 200, 513},   {130, 3, 300}, {70, 66, 512},
                                 {40, 300, 31}, {129, 130, 259}, {8, 129, 256}, {97, 5, 1025}};

}  // namespace

TEST_CASE("emulated products have the CPU's bits in every dtype, layout and tile") {
  const OwnProducts own;
  LeafCalls calls;
  std::deque<Array> arrays;
  const auto make = [&](DType t, const Shape& shape, std::uint64_t seed, Layout layout) {
    Array plain(t, shape);
    plain.fill(seed);
    return &arrays.emplace_back(plain.copy(layout));
  };
  int turn = 0;
  for (const DType t : kFloats)
    for (const auto& [m, n, k] : kProducts)
      for (const int processors : {1, 4, 1000, 0}) {
        calls.set_device(device_of(processors));
        const Layout la = kLayouts[turn % 5], lb = kLayouts[turn / 5 % 5];
        ++turn;
        const Array *a = make(t, {m, k}, 1, la), *b = make(t, {k, n}, 2, lb),
                    *bias = make(t, {n}, 3, la);
        calls.add(Prim::kMatmul, {a, b}, t, {m, n});
        calls.add(Prim::kMatmul, {a, b, bias}, t, {m, n});
      }
  calls.check();
  for (const char* entry : {"matmul_f32_128x128_256", "matmul_f64_64x64_256",
                            "matmul_bf16_32x128_256", "matmul_f16_8x128_128", "matmul_f32_32x32_64",
                            "matmul_f32_64x64_64", "matmul_f64_16x16_64", "fold_f64_256"})
    CHECK(calls.used(entry));
}

TEST_CASE("emulated products of batches, repeated rows and values beyond numbers") {
  const OwnProducts own;
  LeafCalls calls(device_of(2));
  Array a(f32, {2, 1, 9, 21}), b(f32, {3, 21, 35}), c(f32, {4, 2, 3, 21, 5}), d(f32, {21, 2});
  a.fill(1), b.fill(2), c.fill(3), d.fill(4);
  calls.add(Prim::kMatmul, {&a, &b}, f32, {2, 3, 9, 35});
  calls.add(Prim::kMatmul, {&a, &c}, f32, {4, 2, 3, 9, 5});
  calls.add(Prim::kMatmul, {&a, &d}, f32, {2, 1, 9, 2});
  Array none(f32, {0, 21, 35}), empty(f32, {9, 0}), thin(f32, {0, 35});
  calls.add(Prim::kMatmul, {&a, &none}, f32, {2, 0, 9, 35});
  calls.add(Prim::kMatmul, {&empty, &thin}, f32, {9, 35});
  for (const Strides& strides : {Strides{0, 1}, Strides{1, 0}, Strides{0, 0}, Strides{-1, 3}}) {
    Operand x = b.operand();
    x.data = static_cast<float*>(x.data) + 50;
    x.shape = {20, 21};
    x.strides = strides;
    Operand y = x;
    y.shape = {21, 20};
    y.strides = {strides[1], strides[0]};
    calls.add(Prim::kMatmul, {x, y}, f32, {20, 20});
  }
  Array big(f32, {37, 300}), wild(f32, {300, 41});
  big.fill(5), wild.fill(6);
  spice(big, 7), spice(wild, 8);
  Array tiny(f32, {5, 300}), tinier(f32, {300, 40});  // products that round to -0
  for (Index i = 0; i < tiny.numel(); ++i) tiny.set(i, -1e-30);
  for (Index i = 0; i < tinier.numel(); ++i) tinier.set(i, 1e-30);
  calls.add(Prim::kMatmul, {&big, &wild}, f32, {37, 41});
  calls.add(Prim::kMatmul, {&tiny, &tinier}, f32, {5, 40});
  calls.check();
}

TEST_CASE("emulated convolutions and their gradients have the CPU's bits") {
  const OwnProducts own;
  LeafCalls calls;
  std::deque<Array> arrays;
  const auto make = [&](DType t, const Shape& shape, std::uint64_t seed, Layout layout) {
    Array plain(t, shape);
    plain.fill(seed);
    if (t == f32 && seed % 2 == 1 && plain.numel() > 0) spice(plain, seed);
    return &arrays.emplace_back(plain.copy(layout));
  };
  int turn = 0;
  for (const DType t : kFloats)
    for (const Conv& p : kConvs)
      for (const int processors : {1, 1000, 0}) {
        calls.set_device(device_of(processors));
        const Layout lx = kLayouts[turn % 5], lw = kLayouts[turn / 5 % 5];
        ++turn;
        const auto odd = static_cast<std::uint64_t>(turn);
        const Array *x = make(t, p.x, odd, lx), *w = make(t, p.w(), odd + 2, lw),
                    *dy = make(t, p.y(), odd + 4, lx), *bias = make(t, {p.out}, 4, lw);
        calls.add(Prim::kConv2d, {x, w}, t, p.y(), p.attrs());
        calls.add(Prim::kConv2d, {x, w, bias}, t, p.y(), p.attrs());
        calls.add(Prim::kConv2dDx, {dy, w}, t, p.x, p.attrs({p.x[2], p.x[3]}));
        calls.add(Prim::kConv2dDw, {dy, x}, t, p.w(), p.attrs({p.kh, p.kw}));
      }
  calls.check();
}

namespace {

struct Pool {
  Shape x;
  Index kh, kw, sh, sw, ph, pw;
  std::vector<Index> attrs(bool count_padding, std::initializer_list<Index> more = {}) const {
    std::vector<Index> a{kh, kw, sh, sw, ph, pw, count_padding};
    a.insert(a.end(), more);
    return a;
  }
  Shape out() const {
    return {x[0], x[1], (x[2] + 2 * ph - kh) / sh + 1, (x[3] + 2 * pw - kw) / sw + 1};
  }
};

const std::vector<Pool> kPools{
    {{2, 3, 28, 28}, 2, 2, 2, 2, 0, 0}, {{1, 2, 7, 9}, 3, 2, 1, 2, 1, 1},
    {{3, 5, 5, 5}, 5, 5, 5, 5, 0, 0},   {{1, 1, 1, 1}, 1, 1, 1, 1, 0, 0},
    {{2, 2, 33, 35}, 3, 3, 2, 2, 1, 1}, {{1, 4, 8, 70}, 2, 2, 3, 1, 0, 1},
    {{2, 65, 6, 34}, 2, 2, 2, 2, 0, 0}, {{1, 3, 12, 66}, 2, 2, 2, 2, 1, 1},
    {{1, 2, 9, 9}, 4, 3, 1, 1, 2, 1},   {{1, 2, 3, 4}, 2, 2, 2, 2, 1, 1},
    {{2, 0, 6, 8}, 2, 2, 2, 2, 0, 0},   {{0, 3, 6, 8}, 2, 2, 2, 2, 0, 0}};

/// Values of few levels, so that windows hold equal maxima, zeros of both signs, some NaNs.
Array levels(DType t, const Shape& shape, bool wild) {
  Array x(t, shape);
  Numbers numbers(5);
  for (Index i = 0; i < x.numel(); ++i) {
    const Index level = numbers.below(12);
    x.set(i, !wild || level < 8 ? static_cast<double>(level - 4)
             : level == 8       ? std::nan("")
             : level == 9       ? -0.0
                                : -std::numeric_limits<double>::infinity());
  }
  return x;
}

}  // namespace

TEST_CASE("emulated poolings and their gradients have the CPU's bits") {
  LeafCalls calls(device_of(4));
  std::deque<Array> arrays;
  int turn = 0;
  for (const DType t : kFloats)
    for (const Pool& p : kPools)
      for (const bool wild : {false, true}) {
        const Layout layout = kLayouts[turn++ % 5];
        const Array& x = arrays.emplace_back(levels(t, p.x, wild).copy(layout));
        Array plain(t, p.out());
        plain.fill(3);
        if (plain.numel() > 0 && wild) spice(plain, 4);
        const Array& dy = arrays.emplace_back(plain.copy(layout));
        calls.add(Prim::kMaxPool2d, {&x}, t, p.out(), p.attrs(true));
        calls.add(Prim::kMaxPool2dDx, {&dy, &x}, t, p.x, p.attrs(true));
        for (const bool count : {false, true}) {
          calls.add(Prim::kAvgPool2d, {&x}, t, p.out(), p.attrs(count));
          calls.add(Prim::kAvgPool2dDx, {&dy}, t, p.x, p.attrs(count, {p.x[2], p.x[3]}));
        }
      }
  calls.check();
}

namespace {

Array indices(const Shape& shape, Index rows, std::uint64_t seed,
              Layout layout = Layout::kContiguous) {
  Array a(i64, shape, layout);
  Numbers numbers(seed);
  for (Index i = 0; i < a.numel(); ++i) a.set(i, static_cast<double>(numbers.below(rows)));
  return a;
}

}  // namespace

TEST_CASE("emulated gathers copy rows of every dtype and layout") {
  LeafCalls calls(device_of(4));
  std::deque<Array> arrays;
  for (const DType t : {f32, f64, f16, bf16, i64, u8})
    for (const Layout layout : kLayouts)
      for (const Index width : {0, 1, 7, 8, 64}) {
        Array plain(t, {11, width});
        for (Index i = 0; i < plain.numel(); ++i) plain.set(i, static_cast<double>(i % 250));
        const Array& table = arrays.emplace_back(plain.copy(layout));
        const Array& index = arrays.emplace_back(indices({5, 9}, 11, 1, layout));
        calls.add(Prim::kGatherRows, {&table, &index}, t, {5, 9, width});
      }
  Array table(f32, {4, 5}), none(i64, {0}), scalar(i64, {});
  table.fill(1);
  scalar.set(0, 3);
  calls.add(Prim::kGatherRows, {&table, &none}, f32, {0, 5});
  calls.add(Prim::kGatherRows, {&table, &scalar}, f32, {5});
  calls.check();
}

TEST_CASE("emulated sums of rows add in the order of their items") {
  LeafCalls calls;
  std::deque<Array> arrays;
  for (const DType t : kFloats)
    for (const auto& [rows, width] : std::vector<std::array<Index, 2>>{
             {13, 1}, {13, 7}, {1, 64}, {100, 65}, {257, 130}, {5, 0}})
      for (const Layout layout : kLayouts) {
        calls.set_device(device_of(layout == Layout::kGaps ? 64 : 1));
        Array plain(t, {30, 20, width});
        plain.fill(2);
        if (plain.numel() > 0 && t == f64) spice(plain, 3);
        const Array& dy = arrays.emplace_back(plain.copy(layout));
        const Array& index = arrays.emplace_back(indices({30, 20}, rows, 3, layout));
        calls.add(Prim::kScatterAddRows, {&dy, &index}, t, {rows, width}, {rows});
      }
  Array dy(f32, {0, 5}), none(i64, {0}), negative(f32, {1, 5}), zero(i64, {1});
  for (Index i = 0; i < 5; ++i) negative.set(i, -0.0);
  zero.set(0, 0);
  calls.add(Prim::kScatterAddRows, {&dy, &none}, f32, {4, 5}, {4});
  calls.add(Prim::kScatterAddRows, {&negative, &zero}, f32, {4, 5}, {4});
  calls.check();
}

TEST_CASE("a bad index is told in the CPU's words, the first of the first call") {
  Array table(f32, {4, 70}), index(i64, {2, 500}), dy(f32, {2, 500, 70}), empty(f32, {0, 70}),
      thin(f32, {4, 0}), good(i64, {3});
  table.fill(1), dy.fill(2);
  for (Index i = 0; i < index.numel(); ++i) index.set(i, static_cast<double>(i % 4));
  for (Index i = 0; i < 3; ++i) good.set(i, 1);
  index.set(617, 4);
  index.set(930, -1);
  const auto run_both = [&](Prim op, const Array& x, const Shape& shape) {
    LeafCalls calls(device_of(4));
    calls.add(Prim::kGatherRows, {&table, &good}, f32, {3, 70});
    calls.add_bad(op, {&x, &index}, f32, shape);
    calls.add_bad(Prim::kGatherRows, {&empty, &good}, f32, {3, 70});
    calls.run();
    std::string want;
    try {
      run(op, {&x, &index}, f32, shape, {shape[0]});
    } catch (const IndexError& e) {
      want = e.what();
    }
    CHECK(calls.message().value_or("none") == want);
    CHECK(want.find("(item 617)") != std::string::npos);
  };
  run_both(Prim::kGatherRows, table, {2, 500, 70});
  run_both(Prim::kGatherRows, thin, {2, 500, 0});
  run_both(Prim::kScatterAddRows, dy, {4, 70});
  LeafCalls calls(device_of(4));
  calls.add_bad(Prim::kScatterAddRows, {&dy, &index}, f32, {0, 70});
  calls.run();
  CHECK(calls.message() ==
        "embedding's gradient: index 0 (item 0) is out of range: there are no rows");
}

TEST_CASE("leaf kernels have no races and touch nothing but their operands") {
  const OwnProducts own;
  LeafCalls calls(device_of(2, 3));
  Array a(f32, {2, 70, 40}, Layout::kGaps), b(f32, {40, 67}, Layout::kReversed), bias(f32, {67}),
      row(f32, {5, 300}), square(f32, {300, 35}), column(f32, {300, 9});
  for (Array* x : {&a, &b, &bias, &row, &square, &column}) x->fill(1);
  calls.add(Prim::kMatmul, {&a, &b, &bias}, f32, {2, 70, 67});
  calls.add(Prim::kMatmul, {&row, &square}, f32, {5, 35});
  calls.set_device(device_of(100));
  calls.add(Prim::kMatmul, {&row, &column}, f32, {5, 9});  // in parts
  const Conv conv{{2, 4, 9, 11}, 6, 3, 2, 2, 3, 1, 1, 1, 2, 2};
  Array x(f32, conv.x), w(f32, conv.w(), Layout::kTransposed), dy(f32, conv.y(), Layout::kGaps);
  x.fill(2), w.fill(3), dy.fill(4);
  calls.add(Prim::kConv2d, {&x, &w}, f32, conv.y(), conv.attrs());
  calls.add(Prim::kConv2dDx, {&dy, &w}, f32, conv.x, conv.attrs({9, 11}));
  calls.add(Prim::kConv2dDw, {&dy, &x}, f32, conv.w(), conv.attrs({3, 2}));
  const Pool pool{{2, 3, 9, 11}, 3, 2, 2, 1, 1, 1};
  Array image(f16, pool.x, Layout::kReversed), grad(f16, pool.out());
  image.fill(5), grad.fill(6);
  calls.add(Prim::kMaxPool2d, {&image}, f16, pool.out(), pool.attrs(true));
  calls.add(Prim::kAvgPool2d, {&image}, f16, pool.out(), pool.attrs(true));
  calls.add(Prim::kMaxPool2dDx, {&grad, &image}, f16, pool.x, pool.attrs(true));
  calls.add(Prim::kAvgPool2dDx, {&grad}, f16, pool.x, pool.attrs(false, {9, 11}));
  Array table(u8, {11, 7}, Layout::kGaps), items(f64, {5, 60, 9});
  for (Index i = 0; i < table.numel(); ++i) table.set(i, static_cast<double>(i));
  items.fill(7);
  const Array index = indices({5, 60}, 11, 8, Layout::kTransposed);
  calls.add(Prim::kGatherRows, {&table, &index}, u8, {5, 60, 7});
  calls.add(Prim::kScatterAddRows, {&items, &index}, f64, {11, 9}, {11});
  calls.check(true);

  // What lies outside of the table is not read.
  LeafCalls bad(device_of(2));
  Array wrong(i64, {2});
  wrong.set(0, 11), wrong.set(1, -1);
  bad.add_bad(Prim::kGatherRows, {&table, &wrong}, u8, {2, 7});
  bad.run(true);
  CHECK(bad.message() == "embedding: index 11 (item 0) is out of range for 11 rows; want 0 to 10");
}

TEST_CASE("an epilogue is computed once for each element, whatever the kernel, tile and parts") {
  const OwnProducts own;
  LeafCalls calls;
  std::deque<Array> arrays;
  const auto make = [&](DType t, const Shape& shape) {
    Array& x = arrays.emplace_back(t, shape);
    x.fill(arrays.size());
    return &x;
  };
  for (const DType t : {f32, bf16, f16})
    for (const int processors : {1, 1000}) {  // large tiles; small ones and parts
      calls.set_device(device_of(processors));
      calls.add_with_epilogue(Prim::kMatmul, {make(t, {2, 70, 90}), make(t, {90, 66})}, t,
                              {2, 70, 66});
      calls.add_with_epilogue(Prim::kMatmul,
                              {make(t, {64, 600}), make(t, {600, 10}), make(t, {10})}, t,
                              {64, 10});  // transposed
      if (t == f16) continue;
      calls.add_with_epilogue(Prim::kMatmul, {make(t, {5, 1030}), make(t, {1030, 129})}, t,
                              {5, 129});
      // [3, 6, 9, 8] by filters [10, 3, 3, 2], two groups, stride 2 and 1: -> [3, 10, 5, 7]
      calls.add_with_epilogue(Prim::kConv2d,
                              {make(t, {3, 6, 9, 8}), make(t, {10, 3, 3, 2}), make(t, {10})}, t,
                              {3, 10, 5, 7}, {2, 1, 1, 0, 1, 1, 2});
      calls.add_with_epilogue(Prim::kMaxPool2d, {make(t, {2, 3, 7, 6})}, t, {2, 3, 3, 3},
                              {3, 2, 2, 2, 0, 0, 0});
      calls.add_with_epilogue(Prim::kAvgPool2d, {make(t, {2, 3, 7, 6})}, t, {2, 3, 3, 3},
                              {3, 2, 2, 2, 0, 0, 0});
    }
  calls.check();
}

TEST_CASE("what has no kernel is refused in words") {
  Array a(f64, {2, 2});
  a.fill(1);
  const std::vector<Operand> inputs{a.operand(), a.operand()};
  LeafCall call;
  call.op = Prim::kMatmul;
  call.inputs = inputs;
  call.output = a.operand();
  gpu::Capabilities device;
  device.f64 = false;
  const auto scratch = [](std::size_t) -> void* { return nullptr; };
  const gpu::LeafMemory memory{scratch, nullptr, 0};
  CHECK_THROWS_WITH_AS(gpu::leaf_launches(call, device, memory),
                       "matmul: this device has no f64 arithmetic; cast the operands to f32",
                       DTypeError);
  device.f64 = true;
  const Epilogue epilogue;
  call.epilogue = &epilogue;
  call.op = Prim::kConv2dDx;
  CHECK_THROWS_WITH_AS(gpu::leaf_launches(call, device, memory),
                       "conv2d_dx takes no epilogue; what follows is a kernel of its own",
                       InternalError);
  call.epilogue = nullptr;
  call.op = Prim::kAdd;
  CHECK_THROWS_WITH_AS(gpu::leaf_launches(call, device, memory),
                       "leaf_launches: GPUs have no leaf kernel for add", InternalError);
}
