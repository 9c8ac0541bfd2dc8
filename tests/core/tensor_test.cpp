// tests/core/tensor_test.cpp -- what reads as it does in PyTorch: assignment to views, operators,
// slices, options
#include <doctest/doctest.h>

#include <sstream>
#include <vector>

#include "core/autograd/autograd.h"
#include "core/ops/create.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"

using namespace flash;
using V = std::vector<float>;

TEST_CASE("assigning to a view that has no name writes through it") {
  Tensor x = zeros({2, 3}), y = tensor({1.0, 2.0, 3.0});
  x[0] = y;
  x.slice(1, 2) = 7;
  x[1] = y + 1;
  CHECK(x.to_vector<float>() == V{1, 2, 7, 2, 3, 4});
  x[0] += 1;
  x.select(1, 0) *= y.slice(0, 1);
  CHECK(x.to_vector<float>() == V{4, 3, 8, 6, 3, 4});
  Tensor row = x[0];
  row = y;  // a name: it stands for another tensor now
  CHECK(x[0].to_vector<float>() == V{4, 3, 8});
}

TEST_CASE("operators with numbers, and bits of masks") {
  Tensor x = tensor({1.0, 2.0, 3.0});
  x += 1;
  x *= 2.0;
  CHECK(x.to_vector<float>() == V{4, 6, 8});
  CHECK(x.add(1).sub(2).mul(2).div(4).to_vector<float>() == V{1.5, 2.5, 3.5});
  const Tensor low = x<7, high = x> 5;
  CHECK((low & high).to_vector<bool>() == std::vector<bool>{false, true, false});
  CHECK((low | high).to_vector<bool>() == std::vector<bool>(3, true));
  CHECK((low ^ high).to_vector<bool>() == std::vector<bool>{true, false, true});
  CHECK((~low).to_vector<bool>() == std::vector<bool>{false, false, true});
}

TEST_CASE("what a slice leaves out depends on its direction") {
  const Tensor x = arange(5);
  using L = std::vector<std::int64_t>;
  CHECK(x.slice(0, {.step = -1}).to_vector<std::int64_t>() == L{4, 3, 2, 1, 0});
  CHECK(x.slice(0, {.start = 3, .step = -2}).to_vector<std::int64_t>() == L{3, 1});
  CHECK(x.slice(0, {.stop = 2, .step = -1}).to_vector<std::int64_t>() == L{4, 3});
  CHECK(x.slice(0, {.start = 1, .stop = 4}).to_vector<std::int64_t>() == L{1, 2, 3});
  CHECK(x.slice(0, {.step = 2}).to_vector<std::int64_t>() == L{0, 2, 4});
}

TEST_CASE("empty braces are the default options everywhere") {
  CHECK(tensor({1.0, 2.0}, {}).dtype() == f32);
  CHECK(eye(2, {}).dtype() == f32);
  CHECK(linspace(0, 2, 3, {}).dtype() == f32);
  CHECK(rand({2}, {}).dtype() == f32);
  CHECK(randn({2}, {}).dtype() == f32);
  CHECK(randn({2}, {.dtype = f64, .requires_grad = true}).requires_grad());
  CHECK(eye(2, i64).dtype() == i64);
  CHECK(rand({2}, f64).dtype() == f64);
}

TEST_CASE("shapes and dtypes print") {
  std::ostringstream s;
  s << zeros({2, 3}).shape() << ' ' << zeros({1}, bf16).dtype();
  CHECK(s.str() == "[2, 3] " + std::string(name(bf16)));
}

TEST_CASE("gradients at the edges: bounds of clamp, and nothing to deviate") {
  Tensor x = tensor({-1.0, 0.0, 1.0, 2.0}, {.requires_grad = true});
  clamp(x, 0, 1).sum().backward();
  CHECK(x.grad().to_vector<float>() == V{0, 1, 1, 0});
  Tensor same = tensor({3.0, 3.0, 3.0}, {.requires_grad = true});
  same.std().backward();
  CHECK(same.grad().to_vector<float>() == V{0, 0, 0});
}
