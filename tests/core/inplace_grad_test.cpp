// tests/core/inplace_grad_test.cpp -- gradients through in-place changes, of tensors and of views
#include <doctest/doctest.h>

#include "core/autograd/autograd.h"
#include "core/ops/create.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"
#include "tests/core/tape_helpers.h"

using namespace flash;
using namespace flash::testing;

TEST_CASE("a leaf that requires a gradient is not changed in place while the tape is on") {
  Tensor x = leaf({1, 2}, {2});
  CHECK(says(error_of([&] { x.add_(1.0); }), "leaf that requires a gradient"));
  CHECK(says(error_of([&] { x[0].fill_(0.0); }), "view of a leaf"));
  CHECK(values(x.detach()) == V{1, 2});  // nothing happened
  no_grad([&] { x.add_(1.0); });
  CHECK(values(x.detach()) == V{2, 3});
  CHECK(x.requires_grad());
  sum(x * x).backward();
  CHECK(values(x.grad()) == V{4, 6});
}

TEST_CASE("in-place operations differentiate as their out-of-place twins") {
  Tensor x = leaf({1, 2}, {2});
  Tensor y = x * 3.0;
  y.mul_(2.0);
  y.add_(x);
  y.sub_(from_vector(V{1, 1}));
  y.div_(2.0);  // (7x - 1) / 2
  CHECK(y.requires_grad());
  sum(y * y).backward();
  CHECK(values(x.grad()) == V{21, 45.5});
}

TEST_CASE("an in-place operation with a tensor on the tape takes a constant onto it") {
  Tensor x = leaf({1, 2}, {2});
  Tensor y = zeros({2}, f64);
  CHECK_FALSE(y.requires_grad());
  y.add_(x * 2.0);
  CHECK(y.requires_grad());
  sum(y).backward();
  CHECK(values(x.grad()) == V{2, 2});
}

TEST_CASE("overwriting cuts the history: the gradient is zero") {
  Tensor x = leaf({1, 2}, {2});
  Tensor y = x * 2.0;
  y.fill_(5.0);
  CHECK(y.requires_grad());
  sum(y * y).backward();
  CHECK(values(x.grad()) == V{0, 0});
  Tensor z = x * 2.0;
  const Tensor src = leaf({7}, {1});
  z.copy_(src);  // broadcast
  sum(z * from_vector(V{1, 10})).backward();
  CHECK(values(src.grad()) == V{11});
  CHECK(values(x.grad()) == V{0, 0});
  CHECK(src.is_leaf());
  CHECK_FALSE(z.is_leaf());
}

TEST_CASE("a hook on a copy does not see the gradient of its source") {
  Tensor x = leaf({1, 2}, {2});
  Tensor y = x * 2.0, z = zeros({2}, f64);
  z.copy_(y);
  int calls = 0;
  V seen;
  z.register_hook([&](const Tensor& g) {
    ++calls;
    seen = values(g);
    return Tensor();
  });
  sum(y * 3.0 + z).backward();
  CHECK(calls == 1);
  CHECK(seen == V{1, 1});
  CHECK(values(x.grad()) == V{8, 8});
}

TEST_CASE("reading a saved value after it was changed in place throws and names the operation") {
  Tensor x = leaf({1, 2}, {2});
  Tensor y = x * 2.0;
  const Tensor z = y * y;
  y.add_(1.0);
  const std::string e = error_of([&] { sum(z).backward(); });
  CHECK(says(e, "mul saved a tensor of shape [2]"));
  CHECK(says(e, "changed in place"));
  Tensor w = exp(x);
  w.add_(1.0);  // exp saved its output
  CHECK(says(error_of([&] { sum(w).backward(); }), "exp saved"));
  Tensor v = x + 1.0;
  v.add_(1.0);  // add saves nothing
  sum(v).backward();
  CHECK(values(x.grad()) == V{1, 1});
}

TEST_CASE("a change through a view is the base's as well") {
  Tensor x = leaf({1, 2, 3}, {3}), v = leaf({10, 20}, {2});
  Tensor y = x * 2.0;
  Tensor part = y.slice(0, 1, 3);
  part.mul_(from_vector(V{10, 20}));
  part.add_(v);
  CHECK(values(y.detach()) == V{2, 50, 140});
  sum(y * y).backward();
  CHECK(values(x.grad()) == V{8, 2000, 11200});
  CHECK(values(v.grad()) == V{100, 280});
}

TEST_CASE("a view's history follows a change of its base") {
  Tensor x = leaf({1, 2, 3, 4}, {2, 2});
  Tensor y = x * 1.0;
  Tensor row = y.select(0, 1), column = y.t().select(0, 0);
  y.mul_(from_vector(V{1, 2, 3, 4}, {2, 2}));
  sum(row).backward({}, true);
  CHECK(values(x.grad()) == V{0, 0, 3, 4});
  x.zero_grad();
  sum(column).backward();
  CHECK(values(x.grad()) == V{1, 0, 3, 0});
}

TEST_CASE("a view's history follows a change through another view") {
  Tensor x = leaf({1, 2, 3}, {3}), a = leaf({5}, {1});
  Tensor y = x * 1.0;
  Tensor left = y.slice(0, 0, 2), right = y.slice(0, 1, 3);
  right.copy_(a.expand({2}));  // y = [1, 5, 5]
  sum(left * left).backward();
  CHECK(values(x.grad()) == V{2, 0, 0});
  CHECK(values(a.grad()) == V{10});
}

TEST_CASE("writing into views of a constant puts it and its views on the tape") {
  Tensor x = leaf({1, 2}, {2});
  Tensor buffer = zeros({2, 2}, f64);
  Tensor early = buffer.select(1, 1);
  buffer.select(0, 0).copy_(x * x);
  buffer[1].copy_(x);
  CHECK(buffer.requires_grad());
  CHECK(early.requires_grad());
  sum(buffer * from_vector(V{1, 10, 100, 1000}, {2, 2})).backward({}, true);
  CHECK(values(x.grad()) == V{102, 1040});
  x.zero_grad();
  sum(early).backward();
  CHECK(values(x.grad()) == V{0, 5});
}

TEST_CASE("gradients through in-place writes are differentiated again") {
  Tensor x = leaf({1, 2, 3}, {3});
  Tensor y = x * x;
  y.slice(0, 0, 2).add_(square(x.slice(0, 1, 3)));  // [x0² + x1², x1² + x2², x2²]
  const Tensor g = grad({sum(y)}, {x}, {}, false, true)[0];
  CHECK(values(g) == V{2, 8, 12});
  CHECK(values(grad({sum(g * g)}, {x})[0]) == V{8, 64, 96});
}

TEST_CASE("retain_grad follows an in-place change") {
  Tensor x = leaf({1, 2}, {2});
  Tensor y = x * 2.0;
  y.retain_grad();
  y.mul_(3.0);
  sum(y).backward();
  CHECK(values(y.grad()) == V{1, 1});
  CHECK(values(x.grad()) == V{6, 6});
}

TEST_CASE("a half-written chain of views in a loop adds up") {
  Tensor x = leaf({1, 2, 3, 4}, {4});
  Tensor sums = zeros({4}, f64);
  Tensor total = zeros({}, f64);
  for (int i = 0; i < 4; ++i) {
    total = total + x[i];
    sums[i].copy_(total);
  }
  sum(sums).backward();
  CHECK(values(x.grad()) == V{4, 3, 2, 1});
}

TEST_CASE("a factor that is overwritten by the product is kept for the other's gradient") {
  Tensor w = tensor({2.0, 3.0, 4.0}, {.requires_grad = true});
  Tensor y = tensor({5.0, 6.0, 7.0});
  y.mul_(w);
  y.sum().backward();
  CHECK(w.grad().to_vector<float>() == std::vector<float>{5, 6, 7});
}
