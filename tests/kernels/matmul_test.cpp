// tests/kernels/matmul_test.cpp -- products against naive f64 loops, and bits that nothing changes
#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <vector>

#include "epilogue_testing.h"
#include "kernels/cpu/blas.h"
#include "kernels/cpu/microkernel.h"
#include "kernels/cpu/product_tile.h"
#include "leaf_testing.h"

using namespace flash;
using namespace flash::cpu::testing;

namespace {

/// Sizes that meet every edge of tiles and vectors: below, at and above them.
const std::vector<std::array<std::int64_t, 3>> kSizes{
    {1, 1, 1},    {1, 7, 3},     {2, 3, 0},      {5, 1, 17},     {1, 33, 64},   {13, 31, 29},
    {16, 64, 16}, {17, 65, 100}, {31, 10, 257},  {64, 10, 84},   {32, 64, 25},  {63, 129, 400},
    {100, 3, 5},  {3, 500, 385}, {129, 257, 33}, {300, 70, 784}, {257, 600, 65}};

/// Checks out = a · b + bias element by element; the error of a chain of k products grows with k.
void check_product(const Array& a, const Array& b, const Array* bias, const Array& out) {
  const int r = out.shape().rank();
  const std::int64_t m = out.shape()[r - 2], n = out.shape()[r - 1], k = a.shape().back();
  const DType t = out.operand().dtype;
  const double step = t == DType::kF64 ? 0x1p-52 : 0x1p-23;
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < n; ++j) {
      double sum = 0, magnitude = 0;
      for (std::int64_t l = 0; l < k; ++l) {
        const double product = a.at({i, l}) * b.at({l, j});
        sum += product;
        magnitude += std::abs(product);
      }
      if (bias) {
        sum += (*bias)[j];
        magnitude += std::abs((*bias)[j]);
      }
      const double bound = step * magnitude * std::sqrt(static_cast<double>(k + 1)) +
                           epsilon(t) * std::abs(sum) + (t == DType::kF16 ? 0x1p-24 : 0);
      const double got = out.at({i, j});
      if (!(std::abs(got - sum) <= bound)) {
        CAPTURE(i);
        CAPTURE(j);
        CHECK(got == doctest::Approx(sum));
        return;
      }
    }
}

}  // namespace

TEST_CASE("matmul is the sum of products, with and without bias, in every dtype") {
  for (const DType t : {f32, f64, f16, bf16})
    for (const auto& size : kSizes) {
      const std::int64_t m = size[0], n = size[1], k = size[2];
      CAPTURE(name(t));
      CAPTURE(m);
      CAPTURE(n);
      CAPTURE(k);
      Array a(t, {m, k}), b(t, {k, n}), bias(t, {n});
      a.fill(1), b.fill(2), bias.fill(3);
      check_product(a, b, nullptr, run(Prim::kMatmul, {&a, &b}, t, {m, n}));
      check_product(a, b, &bias, run(Prim::kMatmul, {&a, &b, &bias}, t, {m, n}));
    }
}

TEST_CASE("matmul gives the same bits for every layout of its operands") {
  for (const DType t : {f32, f64, f16, bf16})
    for (const auto& size : kSizes) {
      const std::int64_t m = size[0], n = size[1], k = size[2];
      CAPTURE(name(t));
      CAPTURE(m);
      CAPTURE(n);
      CAPTURE(k);
      Array a(t, {m, k}), b(t, {k, n}), bias(t, {n});
      a.fill(4), b.fill(5), bias.fill(6);
      const std::string want = run(Prim::kMatmul, {&a, &b, &bias}, t, {m, n}).bytes();
      for (const Layout la : kLayouts)
        for (const Layout lb : kLayouts) {
          const Array a2 = a.copy(la), b2 = b.copy(lb), bias2 = bias.copy(la);
          CHECK(run(Prim::kMatmul, {&a2, &b2, &bias2}, t, {m, n}).bytes() == want);
        }
      Array shifted(t, {m, n}, Layout::kShifted);
      run(Prim::kMatmul, {&a, &b, &bias}, t, {m, n}, {}, nullptr, &shifted);
      CHECK(shifted.bytes() == want);
    }
}

TEST_CASE("matmul gives the same bits on 1, 2, 3 and 5 threads") {
  for (const DType t : {f32, f64, bf16})
    for (const auto& size : kSizes) {
      const std::int64_t m = size[0], n = size[1], k = size[2];
      Array a(t, {3, m, k}), b(t, {3, k, n});
      a.fill(7), b.fill(8);
      std::string want;
      for (const int threads : {1, 2, 3, 5}) {
        const Threads scope(threads);
        const std::string got = run(Prim::kMatmul, {&a, &b}, t, {3, m, n}).bytes();
        if (want.empty()) want = got;
        CHECK(got == want);
      }
    }
}

TEST_CASE("matmul gives the same bits with every instruction set") {
  for (const DType t : {f32, f64, f16, bf16})
    for (const auto& [m, n, k] : kSizes) {
      Array a(t, {m, k}), b(t, {k, n}), bias(t, {n});
      a.fill(7), b.fill(8), bias.fill(9);
      const std::string want = run(Prim::kMatmul, {&a, &b, &bias}, t, {m, n}).bytes();
      for (const char* isa : {"portable", "avx2", "avx512"}) {
        cpu::select_microkernels(isa);
        CHECK(run(Prim::kMatmul, {&a, &b, &bias}, t, {m, n}).bytes() == want);
      }
      cpu::select_microkernels("");
    }
}

TEST_CASE("products by OpenBLAS are right, and alike for all layouts and numbers of threads") {
  if (!cpu::blas::available()) {
    MESSAGE("skipped: OpenBLAS is not installed");
    return;
  }
  const auto before = cpu::product_engine();
  cpu::set_product_engine(cpu::ProductEngine::kBlas);
  for (const DType t : {f32, f64, f16, bf16})
    for (const auto& size : kSizes) {
      const std::int64_t m = size[0], n = size[1], k = size[2];
      CAPTURE(name(t));
      CAPTURE(m);
      CAPTURE(n);
      CAPTURE(k);
      Array a(t, {m, k}), b(t, {k, n}), bias(t, {n});
      a.fill(1), b.fill(2), bias.fill(3);
      const Array out = run(Prim::kMatmul, {&a, &b, &bias}, t, {m, n});
      check_product(a, b, &bias, out);
      for (const int threads : {1, 3})
        for (const Layout layout : kLayouts) {
          const Threads scope(threads);
          const Array a2 = a.copy(layout), b2 = b.copy(layout);
          CHECK(run(Prim::kMatmul, {&a2, &b2, &bias}, t, {m, n}).bytes() == out.bytes());
        }
    }
  cpu::set_product_engine(before);
}

TEST_CASE("batches broadcast, and each is the product of its own matrices") {
  Array a(f32, {2, 1, 9, 21}), b(f32, {3, 21, 35});
  a.fill(9), b.fill(10);
  const Array out = run(Prim::kMatmul, {&a, &b}, f32, {2, 3, 9, 35});
  for (std::int64_t i = 0; i < 2; ++i)
    for (std::int64_t j = 0; j < 3; ++j) {
      Array ai(f32, {9, 21}), bj(f32, {21, 35});
      for (std::int64_t e = 0; e < 9 * 21; ++e) ai.set(e, a[i * 9 * 21 + e]);
      for (std::int64_t e = 0; e < 21 * 35; ++e) bj.set(e, b[j * 21 * 35 + e]);
      const Array one = run(Prim::kMatmul, {&ai, &bj}, f32, {9, 35});
      for (std::int64_t e = 0; e < 9 * 35; ++e) CHECK(out[(i * 3 + j) * 9 * 35 + e] == one[e]);
    }
}

TEST_CASE("a stride of 0 repeats a row or a column") {
  Array row(f32, {1, 40});
  row.fill(11);
  Array b(f32, {40, 50}), a(f32, {20, 40});
  b.fill(12);
  for (std::int64_t i = 0; i < a.numel(); ++i) a.set(i, row[i % 40]);
  const std::string want = run(Prim::kMatmul, {&a, &b}, f32, {20, 50}).bytes();
  Array out(f32, {20, 50});
  Operand expanded = row.operand();
  expanded.shape = {20, 40};
  expanded.strides = {0, 1};
  const std::vector<Operand> inputs{expanded, b.operand()};
  LeafCall call;
  call.op = Prim::kMatmul;
  call.inputs = inputs;
  call.output = out.operand();
  CHECK(cpu::run_leaf(call) == 1);
  CHECK(out.bytes() == want);
}

TEST_CASE("an epilogue on a product gives the bits of the two steps one after the other") {
  for (const auto& size : kSizes) {
    const std::int64_t m = size[0], n = size[1], k = size[2];
    CAPTURE(m);
    CAPTURE(n);
    CAPTURE(k);
    Array a(f32, {2, m, k}), b(f32, {2, k, n}), other(f32, {2, m, n});
    a.fill(13), b.fill(14), other.fill(15);
    const Array plain = run(Prim::kMatmul, {&a, &b}, f32, {2, m, n});
    for (const int threads : {1, 3}) {
      const Threads scope(threads);
      Array product(f32, {2, m, n}), result(f32, {2, m, n});
      const TestEpilogue epilogue(product, other, result);
      run(Prim::kMatmul, {&a, &b}, f32, {2, m, n}, {}, &epilogue.get(), &product);
      CHECK(product.bytes() == plain.bytes());
      for (std::int64_t i = 0; i < result.numel(); ++i)
        if (result[i] != TestEpilogue::expected(plain[i], other[i], i))
          CHECK(result[i] == TestEpilogue::expected(plain[i], other[i], i));
    }
  }
}
