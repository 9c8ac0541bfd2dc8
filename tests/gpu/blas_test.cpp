// tests/gpu/blas_test.cpp -- products of half types by cuBLASLt, in every layout that it takes
#include <doctest/doctest.h>
#include <flash/flash.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "core/device.h"
#include "fake.h"

using namespace flash;
using namespace flash::test;

namespace {

long products() { return Fake::cuda().calls("cublasLtMatmul"); }

/// Some numbers on the CPU, of which every device has the same.
Tensor numbers(const Shape& shape, DType t) { return randn(shape).to(t); }

/// Computes on both and compares: how many units of the last place of `t` apart, at most.
void check_near(const Tensor& got, const Tensor& want, DType t) {
  const double unit = t == DType::kBF16 ? 0x1p-8 : 0x1p-11;
  const std::vector<float> g = got.to(DType::kF32).to_vector<float>(),
                           w = want.to(DType::kF32).to_vector<float>();
  REQUIRE(g.size() == w.size());
  double worst = 0;
  for (std::size_t i = 0; i < g.size(); ++i)
    worst = std::max(worst, std::abs(double{g[i]} - double{w[i]}) / (std::abs(double{w[i]}) + 1));
  CHECK(worst <= 2 * unit);
}

struct Case {
  const char* name;
  int products;  ///< by the library
  std::function<Tensor(Device, DType)> run;
};

}  // namespace

TEST_CASE("products of half types go to cuBLASLt, in whatever layout it takes") {
  const auto at = [](Device d, DType t, const Shape& s) { return numbers(s, t).to(d); };
  const Case cases[] = {
      {"plain", 1,
       [&](Device d, DType t) {
         return matmul(at(d, t, {40, 64}), at(d, t, {64, 48}));
       }},
      {"right transposed", 1,
       [&](Device d, DType t) {
         return matmul(at(d, t, {40, 64}), at(d, t, {48, 64}).t());
       }},
      {"both transposed", 1,
       [&](Device d, DType t) {
         return matmul(at(d, t, {64, 40}).t(), at(d, t, {48, 64}).t());
       }},
      {"rows of a larger one, from an odd place", 1,
       [&](Device d, DType t) {
         return matmul(at(d, t, {40, 101}).narrow(1, 3, 64), at(d, t, {66, 48}).narrow(0, 1, 64));
       }},
      {"a batch", 1,
       [&](Device d, DType t) {
         return matmul(at(d, t, {3, 30, 32}), at(d, t, {3, 32, 21}));
       }},
      {"a batch of two dimensions, one side of which repeats", 1,
       [&](Device d, DType t) {
         return matmul(at(d, t, {2, 3, 30, 32}), at(d, t, {1, 1, 32, 21}));
       }},
      {"repeats in one dimension only: no one stride", 0,
       [&](Device d, DType t) {
         return matmul(at(d, t, {2, 3, 30, 32}), at(d, t, {3, 32, 21}));
       }},
      {"linear with a bias, of three dimensions", 1,
       [&](Device d, DType t) {
         return linear(at(d, t, {4, 12, 48}), at(d, t, {40, 48}), at(d, t, {40}));
       }},
      {"one row", 1,
       [&](Device d, DType t) {
         return matmul(at(d, t, {1, 512}), at(d, t, {512, 80}));
       }},
      {"one column", 1,
       [&](Device d, DType t) {
         return matmul(at(d, t, {80, 512}), at(d, t, {512, 1}));
       }},
      {"an activation behind it", 1,
       [&](Device d, DType t) {
         return gelu(linear(at(d, t, {40, 64}), at(d, t, {48, 64}), at(d, t, {48}))) * 2;
       }},
      {"every second column: its memory does not do", 0,
       [&](Device d, DType t) {
         return matmul(at(d, t, {40, 128}).slice(1, 0, 128, 2), at(d, t, {64, 48}));
       }},
      {"the library has none", 0,
       [&](Device d, DType t) {
         return matmul(at(d, t, {40, 65}), at(d, t, {65, 48}));
       }},
      {"small", 0,
       [&](Device d, DType t) {
         return matmul(at(d, t, {8, 8}), at(d, t, {8, 8}));
       }},
  };
  for (const DType t : {DType::kF16, DType::kBF16})
    for (const Case& c : cases) {
      const std::string about = c.name;
      CAPTURE(about);
      manual_seed(5);
      const Tensor want = c.run("cpu", t);
      const long before = products();
      manual_seed(5);
      const Tensor got = c.run("cuda:0", t).to("cpu");
      CHECK(products() - before == c.products);
      check_near(got, want, t);
    }
  const long before = products();
  const Tensor x = numbers({64, 64}, DType::kF32), there = x.to("cuda:0");
  CHECK((matmul(x, x).to_vector<float>() == matmul(there, there).to_vector<float>()));
  CHECK(products() == before);  // f32 has the CPU's bits
}

TEST_CASE("a product is prepared once, and replayed by a graph like all else") {
  const Fake fake = Fake::cuda();
  const Device d("cuda:0");
  const Tensor w = numbers({64, 96}, DType::kBF16).to(d), b = numbers({64}, DType::kBF16).to(d);
  Tensor x = numbers({32, 96}, DType::kBF16).to(d);
  eval_all();
  const auto step = [&] {
    const Tensor y = relu(linear(x, w, b)), z = gelu(linear(y, w.t().contiguous())).sum(1);
    const double s = (z.to(DType::kF32).sum() + exp(y.to(DType::kF32)).mean()).item();
    return s;
  };
  const double first = step();
  const long prepared = fake.calls("cublasLtMatmulAlgoGetHeuristic");
  const std::uint64_t replays = stats().replays;
  for (int i = 0; i < 6; ++i) CHECK(step() == first);
  CHECK(fake.calls("cublasLtMatmulAlgoGetHeuristic") == prepared);
  CHECK(stats().replays > replays);
}

TEST_CASE("what cuBLASLt cannot prepare an own kernel computes; a product that fails is an error") {
  const Fake fake = Fake::cuda();
  const char* const calls[] = {
      "cublasLtMatmulDescCreate",       "cublasLtMatmulDescSetAttribute",
      "cublasLtMatrixLayoutCreate",     "cublasLtMatrixLayoutSetAttribute",
      "cublasLtMatmulPreferenceCreate", "cublasLtMatmulPreferenceSetAttribute",
      "cublasLtMatmulAlgoGetHeuristic", "cublasLtMatmul"};
  std::int64_t size = 40;  // a product that is new
  for (const char* call : calls)
    for (const int nth : {1, 2}) {
      CAPTURE(call);
      CAPTURE(nth);
      const Shape shape{2, ++size, 64};
      const Tensor x = numbers(shape, DType::kF16).to("cuda:0"),
                   w = numbers({2, 64, 30}, DType::kF16).to("cuda:0"),
                   b = numbers({30}, DType::kF16).to("cuda:0");
      eval_all();
      const long live = fake.live("blas object"), before = fake.calls(call);
      fake.fail(call, nth, 14);
      const auto run = [&] { return (matmul(x, w) + b).to(DType::kF32).sum().item(); };
      std::string error;
      for (int i = 0; i < nth && error.empty(); ++i) try {
          run();
        } catch (const DeviceError& e) {
          error = e.what();
        }
      if (fake.calls(call) - before < nth) {  // it makes fewer of these
        fake.fail("", 0, 0);
        continue;
      }
      const bool prepares = std::string(call) != "cublasLtMatmul";
      CHECK(error.empty() == prepares);
      CHECK((prepares || error.find("FLASH_CUBLAS=off") != std::string::npos));
      const double again = run();
      CHECK(std::isfinite(again));
      CHECK(run() == again);
      CHECK(fake.live("blas object") - live <= 4);  // one product's
    }
}
