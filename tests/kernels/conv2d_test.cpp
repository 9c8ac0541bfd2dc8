// tests/kernels/conv2d_test.cpp -- convolution and its gradients against naive f64 loops
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "epilogue_testing.h"
#include "kernels/cpu/microkernel.h"
#include "leaf_testing.h"

using namespace flash;
using namespace flash::cpu::testing;

namespace {

using Index = std::int64_t;

const std::vector<Conv> kCases{
    // x                out kh kw sh sw ph pw dh dw groups
    {{3, 1, 28, 28}, 32, 5, 5, 1, 1, 2, 2, 1, 1, 1},   // LeNet's first
    {{2, 32, 14, 14}, 64, 5, 5, 1, 1, 2, 2, 1, 1, 1},  // and second
    {{1, 1, 1, 1}, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1},
    {{2, 3, 9, 11}, 5, 3, 3, 2, 2, 1, 1, 1, 1, 1},
    {{1, 4, 17, 35}, 6, 3, 2, 3, 2, 0, 1, 2, 3, 2},
    {{2, 6, 8, 8}, 6, 3, 3, 1, 1, 1, 1, 1, 1, 6},    // one channel a group
    {{1, 70, 7, 7}, 33, 3, 3, 1, 1, 1, 1, 1, 1, 1},  // narrow rows
    {{2, 64, 6, 5}, 48, 1, 1, 1, 1, 0, 0, 1, 1, 1},
    {{1, 8, 10, 10}, 9, 1, 1, 2, 2, 0, 0, 1, 1, 1},  // phases of dx that nothing meets
    {{1, 3, 40, 60}, 17, 7, 7, 2, 2, 3, 3, 1, 1, 1},
    {{1, 2, 5, 6}, 3, 5, 6, 1, 1, 4, 5, 1, 1, 1},    // more padding than image
    {{2, 2, 12, 13}, 3, 2, 3, 4, 5, 0, 0, 1, 1, 1},  // pixels that no window covers
    {{5, 3, 33, 18}, 20, 3, 3, 1, 1, 1, 1, 1, 1, 1},
};

/// Calls f(n, o, y, x, c (of the image), i (of the filter), ky, kx, h, w) for all pairs that meet.
template <class F>
void each_product(const Conv& p, F f) {
  const Shape y = p.y(), w = p.w();
  for (Index n = 0; n < y[0]; ++n)
    for (Index o = 0; o < y[1]; ++o)
      for (Index i = 0; i < y[2]; ++i)
        for (Index j = 0; j < y[3]; ++j)
          for (Index c = 0; c < w[1]; ++c)
            for (Index a = 0; a < p.kh; ++a)
              for (Index b = 0; b < p.kw; ++b) {
                const Index h = i * p.sh - p.ph + a * p.dh, v = j * p.sw - p.pw + b * p.dw;
                if (h < 0 || h >= p.x[2] || v < 0 || v >= p.x[3]) continue;
                const Index channel = o / (p.out / p.groups) * w[1] + c;
                f(((n * y[1] + o) * y[2] + i) * y[3] + j,
                  ((n * p.x[1] + channel) * p.x[2] + h) * p.x[3] + v,
                  ((o * w[1] + c) * p.kh + a) * p.kw + b);
              }
}

/// Sums and their magnitudes, to bound the error with.
struct Sums {
  explicit Sums(Index n)
      : value(static_cast<std::size_t>(n)), magnitude(value.size()), terms(value.size()) {}
  void add(Index i, double x) {
    const auto at = static_cast<std::size_t>(i);
    value[at] += x;
    magnitude[at] += std::abs(x);
    terms[at] += 1;
  }
  void check(const Array& got) const {
    const DType t = got.operand().dtype;
    const double step = t == f64 ? 0x1p-52 : 0x1p-23;
    for (Index i = 0; i < got.numel(); ++i) {
      const auto at = static_cast<std::size_t>(i);
      const double bound = step * magnitude[at] * std::sqrt(terms[at] + 1) +
                           epsilon(t) * std::abs(value[at]) + (t == f16 ? 0x1p-24 : 0);
      if (!(std::abs(got[i] - value[at]) <= bound)) {
        CAPTURE(i);
        CHECK(got[i] == doctest::Approx(value[at]));
        return;
      }
    }
  }
  std::vector<double> value, magnitude, terms;
};

struct Operands {
  Operands(DType t, const Conv& p) : x(t, p.x), w(t, p.w()), dy(t, p.y()), bias(t, {p.out}) {
    x.fill(1), w.fill(2), dy.fill(3), bias.fill(4);
  }
  Array x, w, dy, bias;
};

/// Bytes of forward, input gradient and filter gradient, one after the other.
std::string all_bits(const Conv& p, DType t, const Array& x, const Array& w, const Array& dy,
                     const Array& bias) {
  return run(Prim::kConv2d, {&x, &w, &bias}, t, p.y(), p.attrs()).bytes() +
         run(Prim::kConv2dDx, {&dy, &w}, t, p.x, p.attrs({p.x[2], p.x[3]})).bytes() +
         run(Prim::kConv2dDw, {&dy, &x}, t, p.w(), p.attrs({p.kh, p.kw})).bytes();
}

}  // namespace

TEST_CASE("conv2d and its gradients are the sums of products that the definition says") {
  for (const DType t : {f32, f64, f16, bf16})
    for (const Conv& p : kCases) {
      CAPTURE(name(t));
      CAPTURE(p.x.str());
      CAPTURE(p.w().str());
      const Operands in(t, p);
      Sums y(p.y().numel()), dx(p.x.numel()), dw(p.w().numel());
      each_product(p, [&](Index at_y, Index at_x, Index at_w) {
        y.add(at_y, in.x[at_x] * in.w[at_w]);
        dx.add(at_x, in.dy[at_y] * in.w[at_w]);
        dw.add(at_w, in.dy[at_y] * in.x[at_x]);
      });
      y.check(run(Prim::kConv2d, {&in.x, &in.w}, t, p.y(), p.attrs()));
      dx.check(run(Prim::kConv2dDx, {&in.dy, &in.w}, t, p.x, p.attrs({p.x[2], p.x[3]})));
      dw.check(run(Prim::kConv2dDw, {&in.dy, &in.x}, t, p.w(), p.attrs({p.kh, p.kw})));
      const Index pixels = p.y()[2] * p.y()[3];
      for (Index i = 0; i < p.y().numel(); ++i) y.add(i, in.bias[i / pixels % p.out]);
      y.check(run(Prim::kConv2d, {&in.x, &in.w, &in.bias}, t, p.y(), p.attrs()));
    }
}

TEST_CASE("convolutions give the same bits on any number of threads and for any layout") {
  for (const DType t : {f32, f64, f16, bf16})
    for (const Conv& p : kCases) {
      CAPTURE(name(t));
      CAPTURE(p.x.str());
      const Operands in(t, p);
      std::string want;
      for (const int threads : {1, 2, 3, 5}) {
        const Threads scope(threads);
        const std::string got = all_bits(p, t, in.x, in.w, in.dy, in.bias);
        if (want.empty()) want = got;
        CHECK(got == want);
      }
      for (const Layout layout : kLayouts) {
        const Array x = in.x.copy(layout), w = in.w.copy(layout), dy = in.dy.copy(layout),
                    bias = in.bias.copy(layout);
        CHECK(all_bits(p, t, x, w, dy, bias) == want);
      }
    }
}

TEST_CASE("convolutions give the same bits with every instruction set") {
  for (const DType t : {f32, f64, bf16})
    for (const Conv& p : kCases) {
      CAPTURE(name(t));
      CAPTURE(p.x.str());
      const Operands in(t, p);
      const std::string want = all_bits(p, t, in.x, in.w, in.dy, in.bias);
      for (const char* isa : {"portable", "avx2", "avx512"}) {
        cpu::select_microkernels(isa);
        CHECK(all_bits(p, t, in.x, in.w, in.dy, in.bias) == want);
      }
      cpu::select_microkernels("");
    }
}

TEST_CASE("conv2d runs its epilogue on every element of its output once") {
  for (const Conv& p : kCases) {
    CAPTURE(p.x.str());
    const Operands in(f32, p);
    Array other(f32, p.y());
    other.fill(5);
    const Array plain = run(Prim::kConv2d, {&in.x, &in.w, &in.bias}, f32, p.y(), p.attrs());
    for (const int threads : {1, 3}) {
      const Threads scope(threads);
      Array out(f32, p.y()), result(f32, p.y());
      const TestEpilogue epilogue(out, other, result);
      run(Prim::kConv2d, {&in.x, &in.w, &in.bias}, f32, p.y(), p.attrs(), &epilogue.get(), &out);
      CHECK(out.bytes() == plain.bytes());
      for (Index i = 0; i < result.numel(); ++i)
        if (result[i] != TestEpilogue::expected(plain[i], other[i], i))
          CHECK(result[i] == TestEpilogue::expected(plain[i], other[i], i));
    }
  }
}

TEST_CASE("no images give an empty result and zero gradients") {
  const Conv p{{0, 2, 6, 6}, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1};
  const Operands in(f32, p);
  CHECK(run(Prim::kConv2d, {&in.x, &in.w}, f32, p.y(), p.attrs()).numel() == 0);
  CHECK(run(Prim::kConv2dDx, {&in.dy, &in.w}, f32, p.x, p.attrs({6, 6})).numel() == 0);
  const Array dw = run(Prim::kConv2dDw, {&in.dy, &in.x}, f32, p.w(), p.attrs({3, 3}));
  for (Index i = 0; i < dw.numel(); ++i) CHECK(dw[i] == 0);
}
