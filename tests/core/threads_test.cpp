// tests/core/threads_test.cpp -- tensors that threads hand to each other, and threads that end
#include <doctest/doctest.h>

#include <thread>
#include <vector>

#include "core/autograd/autograd.h"
#include "core/ops/create.h"
#include "core/ops/elementwise.h"
#include "core/ops/linalg.h"
#include "core/ops/reduce.h"

using namespace flash;

namespace {
using V = std::vector<float>;

template <class F>
void on_a_thread(F f) {
  std::thread(f).join();
}
}  // namespace

TEST_CASE("a thread that ends evaluates what is pending, whatever it ran before") {
  const Tensor w = ones({8, 8});
  w.eval();
  for (int k = 0; k < 20; ++k) {
    Tensor out, product;
    on_a_thread([&] {
      Tensor t = ones({3}) * 2;
      CHECK(t.sum().item() == 6);
      out = t + k;
      product = matmul(w, w) * k;
    });
    CHECK(out.to_vector<float>() == V(3, 2.0f + static_cast<float>(k)));
    CHECK(product.sum().item() == 512 * k);
  }
}

TEST_CASE("gradients that a thread computed outlive it") {
  Tensor w = ones({4}).set_requires_grad();
  on_a_thread([&] { (w * 3).sum().backward(); });
  CHECK(w.grad().to_vector<float>() == V(4, 3));
}

TEST_CASE("a value that another thread overwrote is read anew") {
  Tensor x = zeros({16});
  x.eval();
  const Tensor row = x.view({4, 4}).select(0, 1);
  const Tensor before = x + 1, before_row = row + 1;  // this thread's trace has x as an input now
  on_a_thread([&] {
    x.fill_(5);
    x.eval();
  });
  CHECK((x + 1).sum().item() == 96);
  CHECK((row + 1).sum().item() == 24);
  x.add_(1);
  CHECK(x.sum().item() == 96);
  CHECK(before.sum().item() == 16);  // recorded before the write
  CHECK(before_row.sum().item() == 4);
}

TEST_CASE("who is given his memory back may use Flash, or throw") {
  float memory[4] = {1, 2, 3, 4};
  double seen = 0;
  for (const bool throws : {false, true}) {
    Tensor y;
    {
      const Tensor x = from_blob(memory, {4}, DType::kF32, [&] {
        seen += ones({3}).sum().item();
        if (throws) throw std::runtime_error("of the user's");
      });
      y = x * 2;
    }
    CHECK(y.to_vector<float>() == V{2, 4, 6, 8});
  }
  CHECK(seen == 6);
}
