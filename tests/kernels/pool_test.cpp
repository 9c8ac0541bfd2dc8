// tests/kernels/pool_test.cpp -- pooling and its gradients against plain f64 loops
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "epilogue_testing.h"
#include "kernels/cpu/microkernel.h"
#include "leaf_testing.h"

using namespace flash;
using namespace flash::cpu::testing;

namespace {

using Index = std::int64_t;

struct Case {
  Shape x;
  Index kh, kw, sh, sw, ph, pw;
  std::vector<Index> attrs(bool count_padding = true) const {
    return {kh, kw, sh, sw, ph, pw, count_padding};
  }
  Shape out() const {
    return {x[0], x[1], (x[2] + 2 * ph - kh) / sh + 1, (x[3] + 2 * pw - kw) / sw + 1};
  }
};

const std::vector<Case> kCases{
    {{2, 3, 28, 28}, 2, 2, 2, 2, 0, 0}, {{1, 2, 7, 9}, 3, 2, 1, 2, 1, 1},
    {{3, 5, 5, 5}, 5, 5, 5, 5, 0, 0},   {{1, 1, 1, 1}, 1, 1, 1, 1, 0, 0},
    {{2, 2, 33, 35}, 3, 3, 2, 2, 1, 1}, {{1, 4, 8, 70}, 2, 2, 3, 1, 0, 1},
    {{2, 65, 6, 34}, 2, 2, 2, 2, 0, 0}, {{1, 3, 12, 66}, 2, 2, 2, 2, 1, 1},
    {{2, 0, 6, 8}, 2, 2, 2, 2, 0, 0},   {{0, 3, 6, 8}, 2, 2, 2, 2, 0, 0}};

/// Calls f(image, channel, window row, window column).
template <class F>
void each_window(const Shape& out, F f) {
  for (Index n = 0; n < out[0]; ++n)
    for (Index c = 0; c < out[1]; ++c)
      for (Index i = 0; i < out[2]; ++i)
        for (Index j = 0; j < out[3]; ++j) f(n, c, i, j);
}

/// Calls f(h, w) for the elements of a window that are not padding.
template <class F>
void each_element(const Case& p, Index i, Index j, F f) {
  for (Index a = 0; a < p.kh; ++a)
    for (Index b = 0; b < p.kw; ++b) {
      const Index h = i * p.sh - p.ph + a, w = j * p.sw - p.pw + b;
      if (h >= 0 && h < p.x[2] && w >= 0 && w < p.x[3]) f(h, w);
    }
}

/// Values of few levels, so that windows hold equal maxima, and some NaNs.
Array levels(DType t, const Shape& shape, bool nans) {
  Array x(t, shape);
  Numbers numbers(5);
  for (Index i = 0; i < x.numel(); ++i) {
    const Index level = numbers.below(9);
    x.set(i, nans && level == 8 ? std::nan("") : static_cast<double>(level - 4));
  }
  return x;
}

/// The first maximum of a window, NaN above all.
Index argmax(const Case& p, const Array& x, Index n, Index c, Index i, Index j) {
  Index best = -1;
  double value = 0;
  each_element(p, i, j, [&](Index h, Index w) {
    const double v = x.at({n, c, h, w});
    if (best < 0 || v > value || (std::isnan(v) && !std::isnan(value))) {
      best = h * p.x[3] + w;
      value = v;
    }
  });
  return best;
}

bool same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

}  // namespace

TEST_CASE("max_pool2d takes the maximum of each window, and a NaN where there is one") {
  for (const DType t : {f32, f64, f16, bf16})
    for (const Case& p : kCases)
      for (const bool nans : {false, true}) {
        const Array x = levels(t, p.x, nans);
        for (const Layout layout : kLayouts) {
          const Array in = x.copy(layout);
          const Array out = run(Prim::kMaxPool2d, {&in}, t, p.out(), p.attrs());
          each_window(p.out(), [&](Index n, Index c, Index i, Index j) {
            const Index at = argmax(p, x, n, c, i, j);
            const double want = at < 0 ? -INFINITY : x.at({n, c, at / p.x[3], at % p.x[3]});
            if (!same(out.at({n, c, i, j}), want)) CHECK(out.at({n, c, i, j}) == want);
          });
        }
      }
}

TEST_CASE("max_pool2d_dx gives each gradient to the first maximum of its window") {
  for (const DType t : {f32, f64, f16, bf16})
    for (const Case& p : kCases)
      for (const bool nans : {false, true}) {
        CAPTURE(name(t));
        CAPTURE(p.x.str());
        const Array x = levels(t, p.x, nans);
        Array dy(t, p.out());
        dy.fill(6);
        std::vector<double> want(static_cast<std::size_t>(x.numel()), 0.0);
        each_window(p.out(), [&](Index n, Index c, Index i, Index j) {
          const Index at = argmax(p, x, n, c, i, j);
          if (at < 0) return;
          double& sum = want[static_cast<std::size_t>((n * p.x[1] + c) * p.x[2] * p.x[3] + at)];
          sum += dy.at({n, c, i, j});
          if (t != f64) sum = static_cast<float>(sum);
        });
        Array rounded(t, p.x);
        for (Index i = 0; i < x.numel(); ++i) rounded.set(i, want[static_cast<std::size_t>(i)]);
        for (const int threads : {1, 3})
          for (const Layout layout : kLayouts) {
            const Threads scope(threads);
            const Array dy2 = dy.copy(layout), x2 = x.copy(layout);
            CHECK(run(Prim::kMaxPool2dDx, {&dy2, &x2}, t, p.x, p.attrs()).bytes() ==
                  rounded.bytes());
          }
      }
}

TEST_CASE("max pooling gives the same bits with every instruction set, minus zeros included") {
  for (const DType t : {f32, f64})
    for (const Case& p : kCases) {
      Array x = levels(t, p.x, true), dy(t, p.out());
      dy.fill(6);
      for (Index i = 0; i < dy.numel(); i += 3) dy.set(i, -0.0);
      for (Index i = 0; i < x.numel(); i += 2)
        if (x[i] == 0) x.set(i, -0.0);
      const Array strided = x.copy(Layout::kGaps);  // takes the general path
      const std::string y = run(Prim::kMaxPool2d, {&strided}, t, p.out(), p.attrs()).bytes();
      const std::string dx = run(Prim::kMaxPool2dDx, {&dy, &strided}, t, p.x, p.attrs()).bytes();
      for (const char* isa : {"portable", "avx2", "avx512"}) {
        cpu::select_microkernels(isa);
        CHECK(run(Prim::kMaxPool2d, {&x}, t, p.out(), p.attrs()).bytes() == y);
        CHECK(run(Prim::kMaxPool2dDx, {&dy, &x}, t, p.x, p.attrs()).bytes() == dx);
      }
      cpu::select_microkernels("");
    }
}

TEST_CASE("avg_pool2d divides by the window's size, with or without the padding") {
  for (const DType t : {f32, f64, f16, bf16})
    for (const Case& p : kCases)
      for (const bool count_padding : {true, false}) {
        CAPTURE(name(t));
        CAPTURE(p.x.str());
        Array x(t, p.x), dy(t, p.out());
        x.fill(7), dy.fill(8);
        std::vector<double> dx(static_cast<std::size_t>(x.numel()), 0.0);
        const Array out = run(Prim::kAvgPool2d, {&x}, t, p.out(), p.attrs(count_padding));
        each_window(p.out(), [&](Index n, Index c, Index i, Index j) {
          double sum = 0;
          Index inside = 0;
          each_element(p, i, j, [&](Index h, Index w) {
            sum += x.at({n, c, h, w});
            ++inside;
          });
          const double count = static_cast<double>(count_padding ? p.kh * p.kw : inside);
          const double error = std::abs(out.at({n, c, i, j}) - sum / count);
          if (!(error <= 4 * epsilon(t))) CHECK(out.at({n, c, i, j}) == sum / count);
          each_element(p, i, j, [&](Index h, Index w) {
            dx[static_cast<std::size_t>(((n * p.x[1] + c) * p.x[2] + h) * p.x[3] + w)] +=
                dy.at({n, c, i, j}) / count;
          });
        });
        auto attrs = p.attrs(count_padding);
        attrs.push_back(p.x[2]);
        attrs.push_back(p.x[3]);
        const Array grad = run(Prim::kAvgPool2dDx, {&dy}, t, p.x, attrs);
        for (Index i = 0; i < x.numel(); ++i) {
          const double want = dx[static_cast<std::size_t>(i)];
          if (!(std::abs(grad[i] - want) <= 8 * epsilon(t))) CHECK(grad[i] == want);
        }
        for (const int threads : {1, 3})
          for (const Layout layout : kLayouts) {
            const Threads scope(threads);
            const Array x2 = x.copy(layout), dy2 = dy.copy(layout);
            CHECK(run(Prim::kAvgPool2d, {&x2}, t, p.out(), p.attrs(count_padding)).bytes() ==
                  out.bytes());
            CHECK(run(Prim::kAvgPool2dDx, {&dy2}, t, p.x, attrs).bytes() == grad.bytes());
          }
      }
}

TEST_CASE("pooling runs its epilogue on every element of its output once") {
  for (const Case& p : kCases)
    for (const Prim op : {Prim::kMaxPool2d, Prim::kAvgPool2d}) {
      CAPTURE(p.x.str());
      Array x(f32, p.x), other(f32, p.out());
      x.fill(9), other.fill(10);
      const Array plain = run(op, {&x}, f32, p.out(), p.attrs());
      Array pooled(f32, p.out()), result(f32, p.out());
      const TestEpilogue epilogue(pooled, other, result);
      run(op, {&x}, f32, p.out(), p.attrs(), &epilogue.get(), &pooled);
      CHECK(pooled.bytes() == plain.bytes());
      for (Index i = 0; i < result.numel(); ++i)
        if (result[i] != TestEpilogue::expected(plain[i], other[i], i))
          CHECK(result[i] == TestEpilogue::expected(plain[i], other[i], i));
    }
}
