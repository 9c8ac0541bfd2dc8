// tests/contract/threads_test.cpp -- large reductions have the same bits on any number of threads
//
// One thread runs them whole. More cut those with few results in parts, and whichever part is done
// last combines them: the order in which threads come by must not show.
#include <doctest/doctest.h>

#include <flash/flash.h>

#include <functional>
#include <string>
#include <vector>

#include "kernels/cpu/thread_pool.h"

using namespace flash;

namespace {

using Values = std::vector<std::vector<double>>;

struct Case {
  const char* name;
  Shape shape;
  bool few;  ///< results; it is cut in parts
  std::function<std::vector<Tensor>(const Tensor& x)> f;
};

const std::vector<Case>& cases() {
  const auto total = [](const Tensor& x) { return std::vector<Tensor>{sum(x * x)}; };
  const auto columns = [](const Tensor& x) {
    return std::vector<Tensor>{sum(x, {0}), amax(x, {0}), mean(x * x, {0})};
  };
  const auto rows = [](const Tensor& x) { return std::vector<Tensor>{sum(exp(x), {1})}; };
  const auto norm = [](const Tensor& x) {
    Tensor w = ones({x.size(1)}).to(x.dtype()), b = zeros_like(w);
    w.set_requires_grad();
    b.set_requires_grad();
    const Tensor y = layer_norm(x, {x.size(1)}, w, b);
    std::vector<Tensor> all = grad({y}, {w, b}, {x});
    all.push_back(y);
    return all;
  };
  const auto loss = [](const Tensor& x) {
    const Tensor target = remainder(arange(x.size(0)), x.size(1));
    return std::vector<Tensor>{cross_entropy(x, target, Reduction::kMean, 1)};
  };
  static const std::vector<Case> all = {
      {"sum of all", {300000}, true, total},
      {"sum of all, many dimensions", {3, 70, 401, 5}, true, total},
      {"narrow columns", {100000, 4}, true, columns},
      {"wide columns", {640, 1100}, true, columns},
      {"planes", {3, 1000, 70}, true, [](const Tensor& x) { return std::vector{sum(x, {1})}; }},
      {"outer and inner",
       {90, 3, 5000},
       true,
       [](const Tensor& x) {
         return std::vector{sum(x, {0, 2})};
       }},
      {"few rows", {2, 100000}, true, rows},
      {"many rows", {2000, 50}, false, rows},
      {"layer norm", {70000, 10}, true, norm},
      {"mean of cross entropies", {70000, 10}, true, loss},
  };
  return all;
}

Values run(const Case& r, const Tensor& x) {
  Values all;
  for (const Tensor& t : r.f(x)) all.push_back(t.to(f64).to_vector<double>());
  return all;
}

std::int64_t tiles(const Case& r, const Tensor& x) {
  record_kernels(true);
  kernel_history();
  for (const Tensor& t : r.f(x)) t.eval();
  record_kernels(false);
  std::int64_t n = 0;
  for (const KernelRecord& k : kernel_history()) n += k.tiles;
  return n;
}

}  // namespace

TEST_CASE("large reductions have the same bits on any number of threads") {
  const int before = cpu::num_threads();
  manual_seed(3);
  for (const char* evaluator : {"fuse", "interpret"}) {
    use_evaluator(evaluator);
    CAPTURE(std::string(evaluator));
    for (const DType d : {f32, f64, bf16})
      for (const Case& r : cases()) {
        CAPTURE(std::string(r.name));
        CAPTURE(name(d));
        const Tensor x = randn(r.shape).to(d);
        x.eval();
        cpu::set_num_threads(1);
        const Values want = run(r, x);
        for (const int threads : {2, 3, 8}) {
          cpu::set_num_threads(threads);
          CAPTURE(threads);
          for (int again = 0; again < 3; ++again) CHECK((run(r, x) == want));
        }
      }
  }
  cpu::set_num_threads(before);
  use_evaluator("fuse");
}

TEST_CASE("a reduction with few results has tiles for all threads") {
  const int before = cpu::num_threads();
  for (const Case& r : cases()) {
    CAPTURE(std::string(r.name));
    const Tensor x = randn(r.shape);
    cpu::set_num_threads(1);
    const std::int64_t whole = tiles(r, x);
    cpu::set_num_threads(8);
    CHECK((tiles(r, x) >= whole + 8) == r.few);
  }
  CHECK(sum(zeros({0, 100000}), {1}).to_vector<float>().empty());
  cpu::set_num_threads(before);
}
