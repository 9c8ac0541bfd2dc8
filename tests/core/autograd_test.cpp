// tests/core/autograd_test.cpp -- the tape: leaves, accumulation, graphs kept and freed, hooks,
// errors
#include <doctest/doctest.h>

#include <cmath>
#include <thread>

#include "core/autograd/autograd.h"
#include "core/autograd/meta.h"
#include "core/ops/create.h"
#include "core/ops/elementwise.h"
#include "core/ops/linalg.h"
#include "core/ops/reduce.h"
#include "core/tensor_impl.h"
#include "tests/core/tape_helpers.h"

using namespace flash;
using namespace flash::testing;

TEST_CASE("a result requires a gradient when an operand does and the tape is on") {
  const Tensor x = leaf({1, 2}), c = from_vector(V{3, 4});
  CHECK(x.requires_grad());
  CHECK(x.is_leaf());
  CHECK(x.grad_fn().empty());
  const Tensor y = x * c;
  CHECK(y.requires_grad());
  CHECK_FALSE(y.is_leaf());
  CHECK(y.grad_fn() == "mul");
  CHECK_FALSE((c + c).requires_grad());
  CHECK((c + c).is_leaf());
  CHECK_FALSE(no_grad([&] { return x * c; }).requires_grad());
  {
    NoGrad off;
    CHECK_FALSE(grad_enabled());
    EnableGrad on;
    CHECK((x * c).requires_grad());
  }
  CHECK(grad_enabled());
  CHECK_FALSE(y.detach().requires_grad());
  CHECK(y.detach().shares_storage(y));
}

TEST_CASE("backward adds to the gradients of leaves, and zero_grad forgets them") {
  Tensor x = leaf({1, 2, 3});
  CHECK_FALSE(x.grad().defined());
  sum(x * x).backward();
  CHECK(values(x.grad()) == V{2, 4, 6});
  const Tensor held = x.grad();
  sum(x * 3.0).backward();
  CHECK(values(x.grad()) == V{5, 7, 9});
  CHECK(values(held) == V{5, 7, 9});  // accumulated in place
  x.zero_grad();
  CHECK_FALSE(x.grad().defined());
  CHECK_FALSE(x.grad().requires_grad());
}

TEST_CASE("a tensor used several times gets the sum of its gradients") {
  Tensor x = leaf({2, 3});
  const Tensor y = x * x;
  sum(y * x + y).backward();  // x³ + x²
  CHECK(values(x.grad()) == V{16, 33});
}

TEST_CASE("leaves never share a gradient") {
  Tensor a = leaf({1, 2}), b = leaf({3, 4});
  const Tensor g = from_vector(V{1, 1});
  (a + b).backward(g);
  a.grad().mul_(10.0);
  CHECK(values(a.grad()) == V{10, 10});
  CHECK(values(b.grad()) == V{1, 1});
  CHECK(values(g) == V{1, 1});
}

TEST_CASE("backward needs a graph, and a gradient for all but one-element tensors") {
  Tensor x = leaf({1, 2});
  CHECK(says(error_of([&] { from_vector(V{1}).backward(); }), "does not require a gradient"));
  CHECK(says(error_of([&] { (x * 2.0).backward(); }), "shape [2] needs a gradient"));
  CHECK(says(error_of([&] { (x * 2.0).backward(from_vector(V{1, 2, 3})); }), "shape [3]"));
  CHECK(says(error_of([&] { (x * 2.0).backward(ones({2})); }), "f32"));
  (x * 2.0).backward(from_vector(V{1, 10}));
  CHECK(values(x.grad()) == V{2, 20});
  CHECK_THROWS_AS(Tensor().backward(), ValueError);
}

TEST_CASE("a graph is freed by its first backward, unless it is retained") {
  Tensor x = leaf({1, 2});
  const Tensor y = sum(x * x);
  y.backward({}, /*retain_graph=*/true);
  y.backward();
  CHECK(values(x.grad()) == V{4, 8});
  CHECK(says(error_of([&] { y.backward(); }), "pass retain_graph"));
  CHECK(says(error_of([&] { y.backward(); }), "mul"));
}

TEST_CASE("integers have no gradient, and only leaves are switched") {
  Tensor i = arange(3);
  CHECK(says(error_of([&] { i.set_requires_grad(); }), "only floating tensors"));
  Tensor x = leaf({1});
  Tensor y = x * 2.0;
  CHECK(says(error_of([&] { y.set_requires_grad(false); }), "detach()"));
  y.set_requires_grad(true);  // it does already
  x.set_requires_grad(false);
  CHECK_FALSE((x * 2.0).requires_grad());
}

TEST_CASE("grad() gives gradients without touching grad()") {
  const Tensor x = leaf({1, 2}), w = leaf({5, 7}), other = leaf({1});
  const Tensor h = x * w;
  const std::vector<Tensor> g = grad({sum(h * h)}, {x, h}, {}, true);
  CHECK(values(g[0]) == V{50, 196});
  CHECK(values(g[1]) == V{10, 28});
  CHECK_FALSE(x.grad().defined());
  CHECK_FALSE(w.grad().defined());
  CHECK(says(error_of([&] { grad({sum(h)}, {other}, {}, true); }), "allow_unused"));
  CHECK_FALSE(grad({sum(h)}, {other}, {}, true, false, true)[0].defined());
  CHECK(says(error_of([&] { grad({sum(h)}, {from_vector(V{1})}); }), "input 0 does not require"));
  const std::vector<Tensor> two = grad({h, x}, {x}, {from_vector(V{1, 1}), from_vector(V{2, 2})});
  CHECK(values(two[0]) == V{7, 9});
  CHECK(values(grad({x}, {x}, {from_vector(V{3, 4})})[0]) == V{3, 4});
}

TEST_CASE("with create_graph gradients are differentiated again, to any order") {
  Tensor x = leaf({2});
  Tensor y = x * x * x * x;
  double want[] = {32, 48, 48, 24};
  for (const double w : want) {
    y = grad({y}, {x}, {}, false, /*create_graph=*/true)[0];
    CHECK(y.item() == doctest::Approx(w));
  }
  CHECK_FALSE(grad({x * x}, {x})[0].requires_grad());
  Tensor z = leaf({3});
  (z * z * z).backward({}, false, /*create_graph=*/true);
  CHECK(z.grad().requires_grad());
  CHECK(grad({z.grad()}, {z})[0].item() == doctest::Approx(18));
  z.zero_grad();  // z's gradient holds the graph, which holds z
}

TEST_CASE("hooks see the complete gradient and may replace it") {
  Tensor x = leaf({1, 2});
  Tensor y = x * 3.0;
  std::vector<V> seen;
  y.register_hook([&](const Tensor& g) {
    seen.push_back(values(g));
    return g * 10.0;
  });
  const std::int64_t id = x.register_hook([&](const Tensor& g) {
    seen.push_back(values(g));
    return Tensor();
  });
  const Tensor loss = sum(y) + sum(y);
  loss.backward({}, true);
  CHECK(seen == std::vector<V>{{2, 2}, {60, 60}});
  CHECK(values(x.grad()) == V{60, 60});
  x.remove_hook(id);
  seen.clear();
  CHECK(values(grad({loss}, {x}, {}, true)[0]) == V{60, 60});
  CHECK(seen.size() == 1);
  const std::int64_t elsewhere = y.register_hook([](const Tensor& g) { return g.to("null"); });
  CHECK(says(error_of([&] { loss.backward({}, true); }), "f64 on null; it must be"));
  y.remove_hook(elsewhere);
  y.register_hook([](const Tensor& g) { return sum(g); });
  CHECK(says(error_of([&] { loss.backward(); }), "register_hook"));
  CHECK(says(error_of([&] { from_vector(V{1}).register_hook([](const Tensor& g) { return g; }); }),
             "does not require a gradient"));
}

TEST_CASE("retain_grad keeps the gradient of a result") {
  Tensor x = leaf({1, 2});
  Tensor y = x * 3.0;
  sum(y * y).backward({}, true);
  CHECK_FALSE(y.grad().defined());
  y.retain_grad();
  sum(y * y).backward();
  CHECK(values(y.grad()) == V{6, 12});
}

TEST_CASE("set_grad takes a gradient that fits") {
  Tensor x = leaf({1, 2});
  x.set_grad(from_vector(V{5, 6}));
  CHECK(values(x.grad()) == V{5, 6});
  CHECK(says(error_of([&] { x.set_grad(from_vector(V{1})); }), "does not fit"));
  x.set_grad({});
  CHECK_FALSE(x.grad().defined());
}

TEST_CASE("every handle to a leaf finds its gradient") {
  Tensor x = leaf({1, 2});
  const Tensor other = x;
  sum(other * other).backward();
  CHECK(values(x.grad()) == V{2, 4});
  CHECK(values(other.grad()) == V{2, 4});
}

TEST_CASE("only what a rule needs is saved, constants as bits, outputs without a cycle") {
  const Tensor x = leaf({1, 2}), w = leaf({3, 4}), c = from_vector(V{5, 6});
  const auto saved = [](const Tensor& t) {
    std::vector<SavedTensor::Kind> kinds;
    for (const SavedTensor& s : autograd::history_of(t).node->saved()) kinds.push_back(s.kind);
    return kinds;
  };
  using K = std::vector<SavedTensor::Kind>;
  const auto kTensor = SavedTensor::Kind::kTensor;
  CHECK(saved(x + w).empty());
  CHECK(saved(sum(x)).empty());
  CHECK(saved(x * 2.0) == K{SavedTensor::Kind::kScalar});
  CHECK(saved(x * c) == K{kTensor});
  CHECK(saved(x * w) == K{kTensor, kTensor});
  CHECK(saved(exp(x)) == K{SavedTensor::Kind::kOutput});
  CHECK(saved(relu(x)) == K{SavedTensor::Kind::kOutput});
  Tensor y = exp(x);
  const Ref<autograd::TapeNode> node(autograd::history_of(y).node);
  Cell& cell = *y.impl()->cell;
  CHECK(cell.soft == 1);
  CHECK_FALSE(cell.soft_live());
  const Ref<Cell> keep(&cell);
  y = Tensor();
  CHECK(cell.refs() == 2);  // the tape's soft handle and `keep`
  CHECK(cell.soft == 1);
}

TEST_CASE("a chain of a million operations neither overflows the stack nor drags") {
  Tensor x = leaf({1, 2});
  Tensor y = x;
  for (int i = 0; i < 1'000'000; ++i) y = y + 1.0;
  sum(y).backward();
  CHECK(values(x.grad()) == V{1, 1});
  y = Tensor();  // a chain that was never walked is released as well
  Tensor z = x;
  for (int i = 0; i < 1'000'000; ++i) z = z * 1.0;
  z = Tensor();
  Tensor v = x;
  for (int i = 0; i < 1'000'000; ++i) v = v.view({2});
  sum(v).backward();
  CHECK(values(x.grad()) == V{2, 2});
}

TEST_CASE("custom functions have the gradient that is written for them") {
  const auto cube = [](const Tensor& x) {
    return custom_function(
        "cube", {x},
        [](FunctionContext& c, const std::vector<Tensor>& in) {
          CHECK_FALSE(grad_enabled());
          c.save({in[0]});
          return std::vector<Tensor>{in[0] * in[0] * in[0]};
        },
        [](FunctionContext& c, const std::vector<Tensor>& g) {
          const Tensor x = c.saved()[0];
          return std::vector<Tensor>{g[0] * x * x * 3.0};
        })[0];
  };
  Tensor x = leaf({2, 3});
  const Tensor y = cube(x);
  CHECK(y.grad_fn() == "cube");
  CHECK(values(y) == V{8, 27});
  const Tensor g = grad({sum(y)}, {x}, {}, false, true)[0];
  CHECK(values(g) == V{12, 27});
  CHECK(values(grad({sum(g)}, {x})[0]) == V{12, 18});
  sum(y).backward();
  CHECK(says(error_of([&] { sum(y).backward(); }), "cube"));
  CHECK_FALSE(cube(from_vector(V{1, 2})).requires_grad());
}

TEST_CASE("a custom function that saves its output makes no cycle and is differentiated twice") {
  const auto my_exp = [](const Tensor& x) {
    return custom_function(
        "my_exp", {x},
        [](FunctionContext& c, const std::vector<Tensor>& in) {
          const Tensor y = exp(in[0]);
          c.save({y});
          return std::vector<Tensor>{y};
        },
        [](FunctionContext& c, const std::vector<Tensor>& g) {
          return std::vector<Tensor>{g[0] * c.saved()[0]};
        })[0];
  };
  Tensor x = leaf({1});
  const Tensor g = grad({my_exp(x)}, {x}, {}, false, true)[0];
  CHECK(grad({g}, {x})[0].item() == doctest::Approx(std::exp(1.0)));
  Tensor y = my_exp(x);
  const Ref<Cell> cell = y.impl()->cell;
  y = Tensor();
  CHECK(cell->refs() == 1);  // the node is gone, and with it what it saved
}

TEST_CASE("custom functions have several outputs; those unused have the gradient zero") {
  const auto both = [](const Tensor& a, const Tensor& b) {
    return custom_function(
        "both", {a, b},
        [](FunctionContext&, const std::vector<Tensor>& in) {
          return std::vector<Tensor>{in[0] + in[1], in[0] - in[1]};
        },
        [](FunctionContext&, const std::vector<Tensor>& g) {
          return std::vector<Tensor>{g[0] + g[1], g[0] - g[1]};
        });
  };
  Tensor a = leaf({1, 2}), b = leaf({3, 4});
  sum(both(a, b)[1] * 2.0).backward();
  CHECK(values(a.grad()) == V{2, 2});
  CHECK(values(b.grad()) == V{-2, -2});
  const auto bad = [&](Tensor g) {
    return custom_function(
        "bad", {a},
        [](FunctionContext&, const std::vector<Tensor>& in) {
          return std::vector<Tensor>{in[0] * 1.0};
        },
        [g](FunctionContext&, const std::vector<Tensor>&) { return std::vector<Tensor>{g}; })[0];
  };
  CHECK(says(error_of([&] { sum(bad(from_vector(V{1}))).backward(); }), "bad: backward returned"));
  const Tensor same = custom_function(
      "same", {a}, [](FunctionContext&, const std::vector<Tensor>& in) { return in; },
      [](FunctionContext&, const std::vector<Tensor>& g) {
        return std::vector<Tensor>{g[0] * 5.0};
      })[0];
  CHECK(values(grad({sum(same)}, {a})[0]) == V{5, 5});
  CHECK(a.is_leaf());
}

TEST_CASE("threads differentiate at the same time, also through shared leaves") {
  Tensor w = leaf({1, 2});
  w.eval();
  std::vector<std::thread> threads;
  std::vector<V> results(4);
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i)
        results[static_cast<std::size_t>(t)] = values(grad({sum(w * w * (t + 1.0))}, {w})[0]);
    });
  for (std::thread& t : threads) t.join();
  for (int t = 0; t < 4; ++t)
    CHECK(results[static_cast<std::size_t>(t)] == V{2.0 * (t + 1), 4.0 * (t + 1)});
}

TEST_CASE("set_data exchanges a leaf's content and keeps its identity") {
  Tensor x = leaf({1, 2});
  const Tensor other = x;
  sum(x).backward();
  set_data(x, from_vector(std::vector<float>{7, 8, 9}));
  CHECK(other.dtype() == f32);
  CHECK(other.shape() == Shape{3});
  CHECK_FALSE(x.grad().defined());
  sum(x * x).backward();
  CHECK(other.grad().to_vector<float>() == std::vector<float>{14, 16, 18});
  Tensor y = x * 2.0;
  CHECK(says(error_of([&] { set_data(y, x); }), "set_data: takes a leaf"));
  set_data(x, from_vector(std::vector<float>{1}));  // y was made of three elements
  CHECK(says(error_of([&] { sum(y).backward(); }), "Module::to()) after it was used"));
  CHECK_FALSE(x.grad().defined());
  sum(x * 2.0).backward();
  CHECK(x.grad().to_vector<float>() == std::vector<float>{2});
}

// The null device forgets values, so only where gradients go can be seen there.
TEST_CASE("a copy on another device is on the tape, and its gradient comes back") {
  const Device null{DeviceType::kNull}, cpu;
  const Tensor x = leaf({1, 2, 3});
  const Tensor there = x.to(null);
  CHECK(there.device() == null);
  CHECK(there.requires_grad());
  CHECK(there.grad_fn() == "to");
  CHECK(x.to(cpu).is_leaf());
  CHECK_FALSE(no_grad([&] { return x.to(null); }).requires_grad());
  CHECK_FALSE(x.to(i64).to(null).requires_grad());

  // Device by device the gradient takes the way back.
  std::vector<std::string> way;
  Tensor doubled = there * 2.0, back = doubled.to(cpu);
  doubled.register_hook([&](const Tensor& g) {
    way.push_back(g.device().str());
    return g;
  });
  back.register_hook([&](const Tensor& g) {
    way.push_back(g.device().str());
    return g;
  });
  sum(back * back).backward();
  CHECK(way == std::vector<std::string>{"cpu", "null"});
  CHECK(x.grad().device() == cpu);
  CHECK(x.grad().shape() == x.shape());
  CHECK(x.grad().dtype() == f64);

  Tensor w = full({3}, 1, {.dtype = f64, .device = null});
  w.set_requires_grad();
  sum(w.to(cpu) * x.detach()).backward();
  CHECK(w.grad().device() == null);

  const Tensor g = grad({sum((x * x).to(null).to(cpu) * x)}, {x}, {}, true, true)[0];
  CHECK(g.requires_grad());
  CHECK(grad({sum(g)}, {x})[0].device() == cpu);

  // copy_() takes its source from anywhere.
  Tensor target = zeros({2, 3});
  target.copy_(there);
  CHECK(target.device() == cpu);
  CHECK(target.dtype() == f32);
  CHECK(grad({sum(target)}, {x})[0].device() == cpu);
}
