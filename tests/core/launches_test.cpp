// tests/core/launches_test.cpp -- how many launches the composite operations take, forward and
// backward
#include <doctest/doctest.h>

#include "core/autograd/autograd.h"
#include "core/ops/create.h"
#include "core/ops/elementwise.h"
#include "core/ops/linalg.h"
#include "core/ops/reduce.h"
#include "core/stats.h"

using namespace flash;

namespace {

template <class F>
std::uint64_t launches(F&& f) {
  const std::uint64_t before = stats().launches;
  f();
  return stats().launches - before;
}

/// Launches of y = f(), then of the gradients of y with respect to `inputs`.
template <class F>
std::pair<std::uint64_t, std::uint64_t> both(const std::vector<Tensor>& inputs, F&& f) {
  Tensor y;
  const std::uint64_t forward = launches([&] {
    y = f();
    y.eval();
  });
  Tensor seed = randn(y.shape());
  seed.eval();
  const std::uint64_t backward = launches([&] {
    const std::vector<Tensor> g = grad({y}, inputs, {seed});
    eval_all();
  });
  return {forward, backward};
}

}  // namespace

TEST_CASE("softmax, norms and cross entropy are one launch, their gradients at most two") {
  use_evaluator("fuse");
  for (const Shape& s : {Shape{64, 1024}, Shape{7, 33}, Shape{2, 100000}}) {
    CAPTURE(s.str());
    Tensor x = randn(s), w = randn({s[1]}), b = randn({s[1]});
    Tensor target = randint(0, s[1], {s[0]});
    for (Tensor* t : {&x, &w, &b}) {
      t->eval();
      *t = t->detach();
      t->set_requires_grad();
    }
    target.eval();
    const auto soft = both({x}, [&] { return softmax(x, 1); });
    CHECK(soft.first == 1);
    CHECK(soft.second <= 2);
    const auto log_soft = both({x}, [&] { return log_softmax(x, 1); });
    CHECK(log_soft.first == 1);
    CHECK(log_soft.second <= 2);
    const auto norm = both({x, w, b}, [&] { return layer_norm(x, {s[1]}, w, b); });
    CHECK(norm.first == 1);
    CHECK(norm.second <= 2);
    const auto loss = both({x}, [&] { return cross_entropy(x, target); });
    CHECK(loss.first <= 2);  // the rows, then their mean
    CHECK(loss.second <= 2);
    CHECK(launches([&] { cross_entropy(x, target, Reduction::kNone).eval(); }) == 1);
    CHECK(launches([&] {
            const Tensor e = exp(x.detach());
            (e / sum(e, {1}, true)).eval();
          }) == 1);  // as users write it
  }
}

TEST_CASE("temporaries of an expression are not stored by the flush that ends it") {
  use_evaluator("fuse");
  const Shape s{64, 32};
  const std::int64_t array = s.numel() * 4;
  Tensor x = rand(s), y = rand(s);
  eval_all();
  const auto bytes = [](auto&& f) {
    record_kernels(true);
    f();
    std::int64_t n = 0;
    for (const KernelRecord& k : kernel_history()) n += k.bytes;
    record_kernels(false);
    return n;
  };
  CHECK(bytes([&] { tanh(sqrt(abs(x * y + 1)) * 0.5 - y).eval(); }) == 3 * array);
  CHECK(bytes([&] { (1 - x.exp().neg() / (y > x).to(f32)).eval(); }) == 3 * array);
  CHECK(bytes([&] { where(x > y, fma(x + 1, y, x), 0).relu().t().eval(); }) == 3 * array);
  CHECK(bytes([&] { (x - y).t().abs().sum().item(); }) == 2 * array + 4);
  CHECK(bytes([&] { mse_loss(x * 2, y).item(); }) == 2 * array + 4);

  // A value with a name is kept, and given up by std::move.
  Tensor d = x - y;
  CHECK(bytes([&] { d.abs().eval(); }) == 4 * array);
  CHECK(d.defined());
  d = x - y;
  CHECK(bytes([&] { abs(std::move(d)).eval(); }) == 3 * array);
  CHECK_FALSE(d.defined());
}
