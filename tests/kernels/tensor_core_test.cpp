// tests/kernels/tensor_core_test.cpp -- products and convolutions of halves on emulated tensor
// cores
//
// Operands are small whole numbers, whose sums f32 holds exactly: so the bits are the CPU's in
// whatever order they are added. That the order is fixed is for a GPU to show; that f32 is added
// in, the emulation's C++ and the instruction's name say.
#include <doctest/doctest.h>

#include <deque>
#include <string>

#include "gpu_leaf_cases.h"
#include "gpu_leaf_testing.h"

using namespace flash;
using namespace flash::cpu::testing;
using namespace flash::test;

namespace {

using Index = std::int64_t;
constexpr DType kHalves[] = {f16, bf16};

gpu::Capabilities device_with_tensor_cores(int processors) {
  gpu::Capabilities device = device_of(processors);
  device.tensor_cores = true;
  return device;
}

/// Whole numbers between -4 and 4, in some layout. Arrays live as long as this.
class Numbered {
 public:
  const Array* operator()(DType t, const Shape& shape, Layout layout = Layout::kContiguous) {
    Array plain(t, shape);
    Numbers numbers(++seed_);
    for (Index i = 0; i < plain.numel(); ++i)
      plain.set(i, static_cast<double>(numbers.below(9) - 4));
    return &arrays_.emplace_back(plain.copy(layout));
  }

 private:
  std::deque<Array> arrays_;
  std::uint64_t seed_ = 0;
};

struct Product {
  Index m, n, k;
};

}  // namespace

TEST_CASE("emulated tensor cores multiply matrices of every layout") {
  const OwnProducts own;
  LeafCalls calls;
  Numbered make;
  // All, some and no sizes are multiples of 8, which may be read at once; few and many processors
  // make large tiles, small ones, and parts.
  constexpr Product kProducts[] = {{128, 136, 64}, {24, 40, 520}, {17, 19, 0},
                                   {130, 97, 31},  {70, 66, 513}, {64, 48, 36},
                                   {40, 250, 8},   {100, 24, 1},  {33, 300, 16}};
  int turn = 0;
  for (const DType t : kHalves)
    for (const auto& [m, n, k] : kProducts)
      for (const int processors : {1, 1000})
        for (const Layout la : {Layout::kContiguous, Layout::kTransposed})
          for (const Layout lb : {Layout::kContiguous, Layout::kTransposed}) {
            calls.set_device(device_with_tensor_cores(processors));
            const Array *a = make(t, {m, k}, la), *b = make(t, {k, n}, lb), *bias = make(t, {n});
            if (processors == 1 || ++turn % 2 == 0) calls.add(Prim::kMatmul, {a, b}, t, {m, n});
            if (processors == 1 || turn % 2 == 1)
              calls.add_with_epilogue(Prim::kMatmul, {a, b, bias}, t, {m, n});
          }
  calls.check();
  for (const std::string type : {"f16", "bf16"})
    for (const char* way : {"kk", "kn", "mk", "mn"}) {
      CHECK(calls.used("matmul_" + type + "_64x64_128_mma_" + way));
      CHECK(calls.used("matmul_" + type + "_64x64_128_mma_" + way + "_x8"));
      CHECK(calls.used("matmul_" + type + "_128x128_256_mma_" + way));
      CHECK(calls.used("matmul_" + type + "_128x128_256_mma_" + way + "_x8"));
    }
}

TEST_CASE("emulated tensor cores: batches, strange strides, addresses between vectors") {
  const OwnProducts own;
  LeafCalls calls(device_with_tensor_cores(2));
  Numbered make;
  for (const DType t : kHalves) {
    calls.add(Prim::kMatmul, {make(t, {2, 1, 24, 32}), make(t, {3, 32, 40})}, t, {2, 3, 24, 40});
    calls.add(Prim::kMatmul, {make(t, {5, 24, 32}), make(t, {32, 40})}, t, {5, 24, 40});
    for (const Layout layout : {Layout::kGaps, Layout::kReversed, Layout::kShifted})
      calls.add(Prim::kMatmul, {make(t, {3, 40, 64}, layout), make(t, {64, 24}, layout)}, t,
                {3, 40, 24});
    // Rows of a larger matrix, from each place of a vector on.
    for (Index first = 0; first <= 8; ++first) {
      Operand x = make(t, {40, 72})->operand(), w = make(t, {64, 56})->operand();
      x.data = static_cast<std::byte*>(x.data) + first * 2;
      x.shape = {40, 64};
      calls.add(Prim::kMatmul, {x, w}, t, {40, 56});
    }
    // One matrix for all of a batch, one row for all of a matrix.
    Operand row = make(t, {64})->operand();
    row.shape = {2, 32, 64};
    row.strides = {0, 0, 1};
    calls.add(Prim::kMatmul, {row, make(t, {64, 24})->operand()}, t, {2, 32, 24});
  }
  calls.check();
}

TEST_CASE("emulated tensor cores: convolutions and their gradients") {
  const OwnProducts own;
  LeafCalls calls;
  Numbered make;
  std::vector<Conv> convs = kConvs;
  convs.push_back({{2, 20, 9, 7}, 40, 3, 3, 2, 1, 1, 1, 1, 2, 1});
  convs.push_back({{3, 36, 6, 6}, 72, 2, 3, 1, 2, 1, 0, 1, 1, 2});
  convs.push_back({{4, 17, 5, 8}, 130, 3, 3, 1, 1, 1, 1, 1, 1, 1});
  int turn = 0;
  for (const DType t : kHalves)
    for (const Conv& p : convs) {
      // Large tiles where there are rows for them.
      calls.set_device(device_with_tensor_cores(turn % 2 == 0 || p.out > 96 ? 1 : 1000));
      const Layout lx = kLayouts[turn % 5], lw = kLayouts[turn / 5 % 5];
      ++turn;
      const Array *x = make(t, p.x, lx), *w = make(t, p.w(), lw), *dy = make(t, p.y(), lx),
                  *bias = make(t, {p.out}, lw);
      calls.add_with_epilogue(Prim::kConv2d, {x, w, bias}, t, p.y(), p.attrs());
      calls.add(Prim::kConv2d, {x, w}, t, p.y(), p.attrs());
      calls.add(Prim::kConv2dDx, {dy, w}, t, p.x, p.attrs({p.x[2], p.x[3]}));
      calls.add(Prim::kConv2dDw, {dy, x}, t, p.w(), p.attrs({p.kh, p.kw}));
    }
  calls.check();
  for (const std::string type : {"f16_", "bf16_"})
    for (const std::string tile : {"64x64_128", "128x128_256"}) {
      CHECK(calls.used("conv2d_" + type + tile + "_mma_kn"));
      CHECK(calls.used("conv2d_dw_" + type + tile + "_mma_kk"));
    }
}

TEST_CASE("tensor cores' kernels have no race and touch what is theirs alone") {
  const OwnProducts own;
  LeafCalls calls(device_with_tensor_cores(3));
  Numbered make;
  calls.add(Prim::kMatmul, {make(f16, {70, 64}), make(f16, {64, 72}, Layout::kTransposed)}, f16,
            {70, 72});
  calls.add(Prim::kMatmul, {make(bf16, {72, 40}, Layout::kTransposed), make(bf16, {40, 24})}, bf16,
            {72, 24});
  calls.add(Prim::kMatmul, {make(bf16, {19, 37}), make(bf16, {37, 41})}, bf16, {19, 41});
  calls.set_device(device_with_tensor_cores(1));
  calls.add(Prim::kMatmul, {make(f16, {104, 40}), make(f16, {40, 104})}, f16, {104, 104});
  const Conv conv{{2, 5, 9, 11}, 20, 3, 2, 2, 3, 1, 1, 1, 2, 1};
  const Array *x = make(f16, conv.x), *w = make(f16, conv.w()), *dy = make(f16, conv.y());
  calls.add(Prim::kConv2d, {x, w}, f16, conv.y(), conv.attrs());
  calls.add(Prim::kConv2dDw, {dy, x}, f16, conv.w(), conv.attrs({3, 2}));
  calls.check(true);
}
