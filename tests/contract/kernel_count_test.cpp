// tests/contract/kernel_count_test.cpp -- how many kernels a program becomes, counted at the device
//
// The null device plans as the CPU does and computes nothing, so large sizes cost nothing. What the
// CPU's own splitting of reductions adds is counted on the CPU.
#include <doctest/doctest.h>

#include <flash/flash.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "kernels/cpu/thread_pool.h"
#include "kernels/null/runtime.h"

using namespace flash;

namespace {

const Device kNull{DeviceType::kNull};
null::NullRuntime& null_runtime() { return static_cast<null::NullRuntime&>(runtime(kNull)); }

struct Count {
  std::uint64_t launches = 0, leaves = 0;
  std::string table;
};

/// Launches of what `f` records. It is flushed here, when the temporaries of f's expressions are
/// gone: while they live their values must be stored.
template <class F>
Count count(F&& f) {
  eval_all();
  null_runtime().reset();
  record_kernels(true);
  kernel_history();
  const Stats before = stats();
  f();
  eval_all();
  record_kernels(false);
  const Stats after = stats();
  Count c{after.launches - before.launches, after.leaf_launches - before.leaf_launches, ""};
  for (const KernelRecord& k : kernel_history())
    c.table +=
        "  " + k.name + (k.leaf ? " (leaf)" : "") + ", " + std::to_string(k.tiles) + " tiles\n";
  return c;
}

/// A tensor of a device that is computed already.
Tensor made(const Shape& shape, Device device, DType dtype = f32, bool requires_grad = false) {
  Tensor t = full(shape, 1, {.dtype = dtype, .device = device});
  t.eval();
  if (requires_grad) t.set_requires_grad();
  return t;
}

struct Composite {
  const char* name;
  int forward, backward;
  std::function<Tensor(const Tensor& x, const Tensor& w, const Tensor& b, const Tensor& target)> f;
};

const std::vector<Composite>& composites() {
  static const std::vector<Composite> all = {
      {"softmax", 1, 2, [](auto& x, auto&, auto&, auto&) { return softmax(x, 1); }},
      {"log_softmax", 1, 2, [](auto& x, auto&, auto&, auto&) { return log_softmax(x, 1); }},
      {"logsumexp", 1, 2, [](auto& x, auto&, auto&, auto&) { return logsumexp(x, 1); }},
      {"layer_norm", 1, 2,
       [](auto& x, auto& w, auto& b, auto&) { return layer_norm(x, {x.size(1)}, w, b); }},
      {"cross_entropy, rows", 1, 2,
       [](auto& x, auto&, auto&, auto& t) { return cross_entropy(x, t, Reduction::kNone, 3); }},
      {"cross_entropy, mean", 2, 2,
       [](auto& x, auto&, auto&, auto& t) { return cross_entropy(x, t, Reduction::kMean, 3); }},
      {"cross_entropy, smoothed", 2, 2,
       [](auto& x, auto&, auto&, auto& t) {
         return cross_entropy(x, t, Reduction::kMean, 3, 0.1);
       }},
      {"a user's softmax", 1, 3,
       [](auto& x, auto&, auto&, auto&) {
         const Tensor e = exp(x);
         return e / sum(e, {1}, true);
       }},
      {"a user's softmax, shifted", 1, 4,
       [](auto& x, auto&, auto&, auto&) {
         const Tensor e = exp(x - amax(x, {1}, true).detach());
         return e / sum(e, {1}, true);
       }},
      {"a user's softmax without keepdim", 1, 3,
       [](auto& x, auto&, auto&, auto&) {
         const Tensor e = exp(x);
         return e / sum(e, {1}).unsqueeze(1);
       }},
      {"a user's rms norm", 1, 5,
       [](auto& x, auto& w, auto&, auto&) { return x * rsqrt(mean(x * x, {1}, true) + 1e-6) * w; }},
      {"standard deviation", 1, 2, [](auto& x, auto&, auto&, auto&) { return flash::std(x, {1}); }},
      {"gelu", 1, 1, [](auto& x, auto&, auto&, auto&) { return gelu(x); }},
      {"dropout", 1, 1, [](auto& x, auto&, auto&, auto&) { return dropout(x, 0.3); }},
      {"bias, gelu, dropout, residual", 1, 2,
       [](auto& x, auto&, auto& b, auto&) { return x + dropout(gelu(x + b), 0.3); }},
  };
  return all;
}

void check_composites(Device device, const Shape& shape, DType dtype) {
  CAPTURE(shape.str());
  CAPTURE(name(dtype));
  CAPTURE(device.str());
  const Tensor x = made(shape, device, dtype, true), w = made({shape[1]}, device, dtype, true),
               b = made({shape[1]}, device, dtype, true);
  const Tensor target = made({shape[0]}, device, i64);
  for (const Composite& c : composites()) {
    CAPTURE(std::string(c.name));
    Tensor y;
    const Count forward = count([&] {
      y = c.f(x, w, b, target);
      y.eval();
    });
    {
      INFO("forward:\n" << forward.table);
      CHECK(forward.launches >= 1);
      CHECK(forward.launches <= static_cast<std::uint64_t>(c.forward));
    }
    const Tensor seed = made(y.shape(), device, dtype);
    const Count backward = count([&] {
      const std::vector<Tensor> g = grad({y}, {x, w, b}, {seed}, false, false, true);
      eval_all();
    });
    INFO("backward:\n" << backward.table);
    CHECK(backward.launches >= 1);
    CHECK(backward.launches <= static_cast<std::uint64_t>(c.backward));
  }
}

}  // namespace

TEST_CASE("row operations are one kernel forward and few backward, on every shape") {
  use_evaluator("fuse");
  for (const Shape& s : {Shape{4096, 1024}, Shape{7, 33}, Shape{64, 100000}, Shape{1, 100000},
                         Shape{100000, 4}, Shape{70000, 10}})
    for (const DType d : {f32, bf16}) check_composites(kNull, s, d);
}

TEST_CASE("row operations are as many launches on the CPU, whatever the number of threads") {
  use_evaluator("fuse");
  const int before = cpu::num_threads();
  for (const int threads : {1, 2, 4, 8}) {
    cpu::set_num_threads(threads);
    CAPTURE(threads);
    for (const Shape& s : {Shape{4096, 1024}, Shape{512, 1024}, Shape{7, 33}, Shape{8, 100000},
                           Shape{100000, 4}, Shape{70000, 10}})
      for (const DType d : {f32, bf16}) check_composites(Device(), s, d);
  }
  cpu::set_num_threads(before);
}

TEST_CASE("an element-wise chain with broadcasts and views is one kernel") {
  const Tensor x = made({64, 128}, kNull), row = made({128}, kNull), column = made({64, 1}, kNull),
               t = made({128, 64}, kNull), mask = made({64, 128}, kNull, boolean);
  Tensor y;
  Count c = count([&] { y = tanh(sqrt(abs(x * row + 1)) * 0.5 - column) + t.t().flip(0); });
  INFO(c.table);
  CHECK(c.launches == 1);
  c = count([&] { y = where(mask, x.to(f16).to(f32), row.expand({64, 128})).t() * 2; });
  INFO(c.table);
  CHECK(c.launches == 1);
  // Several results of one iteration space.
  Tensor z;
  c = count([&] {
    y = exp(x) + row;
    z = y * y - column;
    eval_all();
  });
  INFO(c.table);
  CHECK(c.launches == 1);
  // A reduction takes what leads to it, and what follows.
  c = count([&] { y = sqrt(sum((x - row) * (x - row))) + 1; });
  INFO(c.table);
  CHECK(c.launches == 1);
  c = count([&] { y = sum(x * column, {0}) / 64 + row; });
  INFO(c.table);
  CHECK(c.launches == 1);
}

TEST_CASE("values that nobody can see are not computed") {
  const Tensor x = made({100}, kNull);
  const Count c = count([&] {
    Tensor y = exp(x);
    Tensor z = y + 1;
    Tensor unused = sum(matmul(z.view({10, 10}), z.view({10, 10})));
  });
  INFO(c.table);
  CHECK(c.launches == 0);
}

TEST_CASE("contractions take bias, activation and dropout along as one leaf launch") {
  const Tensor x = made({64, 128}, kNull), w = made({32, 128}, kNull), b = made({32}, kNull);
  Tensor y;
  const auto one_leaf = [&](auto&& f) {
    const Count c = count([&] { y = f(); });
    INFO(c.table);
    CHECK(c.launches == 1);
    CHECK(c.leaves == 1);
  };
  one_leaf([&] { return relu(linear(x, w, b)); });
  one_leaf([&] { return gelu(matmul(x, w.t()) + b); });
  one_leaf([&] { return dropout(relu(linear(x, w, b)), 0.5) * 2.0; });
  one_leaf([&] { return linear(x, w, b).to(f16); });
  const Tensor image = made({8, 3, 28, 28}, kNull), filter = made({16, 3, 5, 5}, kNull),
               bias = made({16}, kNull), scale = made({1, 16, 1, 1}, kNull);
  one_leaf([&] { return relu(conv2d(image, filter, bias) * scale); });
  one_leaf([&] { return relu(max_pool2d(image, {})); });
}

TEST_CASE("an epilogue of hundreds of numbers and results is computed") {
  use_evaluator("fuse");
  Tensor y = matmul(ones({4, 3}), ones({3, 5}));
  for (int i = 0; i < 600; ++i) y = y + static_cast<double>(i);
  CHECK(y[3][4].item() == 3 + 599 * 300);
  const Tensor z = matmul(ones({4, 3}), ones({3, 5}));
  std::vector<Tensor> kept;
  for (int i = 0; i < 200; ++i) kept.push_back(z * static_cast<double>(i));
  CHECK(kept.back().sum().item() == 20 * 3 * 199);
  CHECK(kept.front().sum().item() == 0);
}

// A kernel computes again what a reduction needs of the loops before it, so work and code grew with
// the square of a chain's length.
TEST_CASE("a chain of row operations is cut into kernels of bounded length") {
  use_evaluator("fuse");
  const auto chain = [](int n) {
    Tensor y = rand({7, 33});
    for (int i = 1; i <= n; ++i) y = softmax(y * static_cast<double>(i), 1);
    return y;
  };
  const auto launches = [&](int n) {
    const Tensor y = chain(n);
    const std::uint64_t before = stats().launches;
    y.eval();
    return stats().launches - before;
  };
  CHECK(launches(1) == 1);
  CHECK(launches(2) == 1);
  const std::uint64_t twenty = launches(20), forty = launches(40);
  CHECK(twenty <= 20);
  CHECK(forty <= 2 * twenty);
  CHECK(forty >= 20);
  const Tensor y = chain(12);
  manual_seed(7);
  const std::vector<float> fused = chain(12).to_vector<float>();
  use_evaluator("eager");
  manual_seed(7);
  CHECK(chain(12).to_vector<float>() == fused);
  use_evaluator("fuse");
}

// Compilers of GPUs take minutes for a kernel of thousands of operations.
TEST_CASE("a kernel has at most 512 operations") {
  use_evaluator("fuse");
  const auto chain = [](int n, bool branches) {
    Tensor y = full({70}, 0.5), z = full({70}, 0.25);
    for (int i = 0; i < n; ++i) {
      y = y * 0.5 + (branches ? z : y);
      if (branches) z = maximum(y, z * 0.75);
    }
    return branches ? (y + z).sum() : y;
  };
  const auto launches = [&](int n, bool branches) {
    const std::uint64_t before = stats().launches;  // a limit may flush the first part
    chain(n, branches).eval();
    return stats().launches - before;
  };
  CHECK(launches(250, false) == 1);
  CHECK(launches(257, false) == 2);
  CHECK(launches(1000, false) == 4);
  CHECK(launches(1000, true) >= 6);
  CHECK(launches(1000, true) <= 12);
  const std::vector<float> fused = chain(600, true).to_vector<float>();
  use_evaluator("eager");
  CHECK(chain(600, true).to_vector<float>() == fused);
  use_evaluator("fuse");
}

TEST_CASE("an optimizer's update over many parameters is at most four launches") {
  struct Parameter {
    Tensor p, g, m, v;
  };
  std::vector<Parameter> all;
  for (int i = 0; i < 40; ++i) {
    Shape s;
    if (i % 4 == 0) s = {256, 100 + i};
    if (i % 4 == 1) s = {100 + i};
    if (i % 4 == 2) s = {16, 3, 5, 5};
    if (i % 4 == 3) s = {1};
    all.push_back({made(s, kNull), made(s, kNull), made(s, kNull), made(s, kNull)});
  }
  const auto step = [&](double lr) {
    NoGrad off;
    for (Parameter& a : all) {
      a.p.mul_(1 - lr * 0.01);
      a.m.copy_(lerp(a.m, a.g, 0.1));
      a.v.copy_(a.v * 0.999 + a.g * a.g * 0.001);
      a.p.sub_(a.m / (sqrt(a.v) / 0.3 + 1e-8) * (lr / 0.1));
    }
    end_step();
  };
  step(1e-3);
  const Count c = count([&] { step(2e-3); });
  INFO(c.table);
  CHECK(c.launches >= 1);
  CHECK(c.launches <= 4);
}

namespace {

/// An MLP by hand, on the null device: forward, loss, backward, update.
struct Mlp {
  Mlp() {
    const std::int64_t sizes[] = {784, 512, 512, 10};
    for (int i = 0; i < 3; ++i) {
      weights.push_back(made({sizes[i + 1], sizes[i]}, kNull, f32, true));
      weights.push_back(made({sizes[i + 1]}, kNull, f32, true));
      for (int k = 0; k < 2; ++k) {
        first.push_back(made(weights[static_cast<std::size_t>(2 * i + k)].shape(), kNull));
        second.push_back(made(weights[static_cast<std::size_t>(2 * i + k)].shape(), kNull));
      }
    }
  }

  void step(std::int64_t n, double lr, bool item_before, bool item_after) {
    const Tensor x = made({n, 784}, kNull), y = made({n}, kNull, i64);
    Tensor h = x;
    for (std::size_t i = 0; i < 6; i += 2) {
      h = linear(h, weights[i], weights[i + 1]);
      if (i < 4) h = dropout(relu(h), 0.1);
    }
    const Tensor loss = cross_entropy(h, y);
    if (item_before) (void)loss.item();
    const std::vector<Tensor> g = grad({loss}, weights);
    {
      NoGrad off;
      for (std::size_t i = 0; i < weights.size(); ++i) {
        first[i].copy_(lerp(first[i], g[i], 0.1));
        second[i].copy_(second[i] * 0.999 + g[i] * g[i] * 0.001);
        weights[i].sub_(first[i] / (sqrt(second[i]) + 1e-8) * lr);
      }
    }
    end_step();
    if (item_after) (void)loss.item();
  }

  std::vector<Tensor> weights, first, second;
};

}  // namespace

TEST_CASE(
    "steady training steps compile nothing and plan nothing, whatever the batch, rate and seed") {
  Mlp model;
  for (const bool before : {false, true})
    for (const bool after : {false, true}) {
      CAPTURE(before);
      CAPTURE(after);
      for (int i = 0; i < 2; ++i) model.step(32, 1e-3, before, after);
      const Stats start = stats();
      double lr = 1e-3;
      std::uint64_t seed = 1;
      for (const std::int64_t n : {10, 32, 63, 64, 256, 17, 128}) {
        manual_seed(seed++);
        model.step(n, lr *= 0.9, before, after);
      }
      CHECK(stats().kernels_compiled == start.kernels_compiled);
      CHECK(stats().plan_misses == start.plan_misses);
      CHECK(stats().plan_hits > start.plan_hits);
    }
  model.step(32, 1e-3, false, false);
  const Count c = count([&] { model.step(32, 1e-3, false, false); });
  INFO(c.table);
  // Two launches make the batch itself.
  CHECK(c.launches <= 18 + 2);
  CHECK(c.leaves == 3 + 5);  // three products forward; backward three for weights, two for inputs
}
