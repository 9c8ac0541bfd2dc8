// tests/core/threads_test.cpp -- tensors that threads hand to each other, and threads that end
#include <doctest/doctest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "core/autograd/autograd.h"
#include "core/ops/create.h"
#include "core/ops/elementwise.h"
#include "core/ops/linalg.h"
#include "core/ops/reduce.h"
#include "core/stats.h"

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

TEST_CASE("threads write disjoint rows of one tensor, and read their own") {
  constexpr int kThreads = 4, kWrites = 25;
  for (int round = 0; round < 20; ++round) {
    Tensor x = zeros({kThreads, 100}, f64);
    x.eval();
    std::atomic<int> ready{0}, wrong{0};
    std::vector<std::thread> threads;
    for (int k = 0; k < kThreads; ++k)
      threads.emplace_back([&, k] {
        ++ready;
        while (ready < kThreads) {
        }
        Tensor row = x[k];
        for (int j = 1; j <= kWrites; ++j) {
          row.add_(1.0);
          if (j % 5 == 0 && row.to_vector<double>() != std::vector<double>(100, j)) ++wrong;
          if (j % 7 == 0 && (row * 2.0).sum().item() != 200.0 * j) ++wrong;
        }
      });
    for (std::thread& t : threads) t.join();
    CHECK(wrong == 0);
    CHECK(x.to_vector<double>() == std::vector<double>(kThreads * 100, kWrites));
    CHECK(x.version() == kThreads * kWrites);
  }
}

TEST_CASE("what lies between the elements of wrapped memory is never written") {
  for (const char* evaluator : {"fuse", "eager", "interpret"}) {
    use_evaluator(evaluator);
    CAPTURE(std::string(evaluator));
    float image[12];  // four pixels of red, green, blue
    for (int i = 0; i < 12; ++i) image[i] = static_cast<float>(i);
    {
      Tensor red = from_blob(image, {4}, {3}, f32),
             green = from_blob(image + 1, {2, 2}, {6, 3}, f32);
      red.mul_(0.0);
      green.mul_(-1.0);
      green[1].add_(100.0);
      eval_all();
      green.copy_(green + 1);
    }
    const V want{0, 0, 2, 0, -3, 5, 0, 94, 8, 0, 91, 11};
    CHECK(V(image, image + 12) == want);
  }
  use_evaluator("fuse");
  // As an element of the whole memory it is ours.
  float pair[4] = {1, 2, 3, 4};
  {
    const Tensor even = from_blob(pair, {2}, {2}, f32);
    Tensor shown = even;
    shown.add_(1.0);  // pending
    even.as_strided({3}, {1}, 0).mul_(10.0);
  }
  CHECK(V(pair, pair + 4) == V{20, 20, 40, 4});
}

TEST_CASE("threads write interleaved columns of the user's memory, each through its own tensor") {
  constexpr int kThreads = 4, kRows = 200;
  std::vector<float> memory(kThreads * kRows);
  std::vector<std::thread> threads;
  for (int k = 0; k < kThreads; ++k)
    threads.emplace_back([&, k] {
      Tensor column = from_blob(memory.data() + k, {kRows}, {kThreads}, f32);
      for (int j = 0; j < 50; ++j) {
        column.add_(static_cast<float>(k + 1));
        column.eval();
      }
    });
  for (std::thread& t : threads) t.join();
  for (std::size_t i = 0; i < memory.size(); ++i)
    CHECK(memory[i] == 50.0f * static_cast<float>(i % kThreads + 1));
}
