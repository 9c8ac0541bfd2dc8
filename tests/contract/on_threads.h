// tests/contract/on_threads.h -- what tests of threads share: starting them together, and a
// training
#pragma once

#include <doctest/doctest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <flash/flash.h>

#include "contract/small_net.h"
#include "fuzz/prelude.h"

/// Runs f(0) … f(n - 1), each on a thread of its own that starts when all are there; what one of
/// them throws fails the test.
inline void on_threads(int n, const std::function<void(int)>& f) {
  std::atomic<int> waiting{n};
  std::vector<std::string> errors(static_cast<std::size_t>(n));
  std::vector<std::thread> threads;
  for (int i = 0; i < n; ++i)
    threads.emplace_back([&, i] {
      waiting.fetch_sub(1);
      while (waiting.load() > 0) std::this_thread::yield();
      try {
        f(i);
      } catch (const std::exception& e) {
        errors[static_cast<std::size_t>(i)] = e.what();
      }
    });
  for (std::thread& t : threads) t.join();
  for (const std::string& e : errors) CHECK(e == "");
}

/// A small model with its data; what training it leaves, as bits.
struct Training {
  explicit Training(std::uint64_t seed) : random(seed) {
    flash::manual_seed(seed);
    model = std::make_unique<SmallNet>();
    for (int i = 0; i < 12; ++i) {
      x.push_back(flash::randn({8 + i % 3, 1, 8, 8}, flash::f32, &random));
      y.push_back(flash::randint(0, 5, {8 + i % 3}, {}, &random));
    }
    flash::eval_all();
  }
  void run() {
    flash::optim::AdamW opt(model->parameters(), {.lr = 1e-2});
    for (std::size_t i = 0; i < x.size(); ++i) {
      const flash::Tensor loss = flash::cross_entropy((*model)(x[i]), y[i]);
      if (i % 4 == 0) losses.push_back(loss.item());
      opt.zero_grad();
      loss.backward();
      opt.step();
    }
  }
  std::vector<std::vector<std::uint8_t>> bits() const {
    std::vector<std::vector<std::uint8_t>> all;
    for (const flash::Tensor& p : model->parameters()) all.push_back(fuzz::bytes_of(p.detach()));
    return all;
  }

  flash::Generator random;
  std::unique_ptr<SmallNet> model;
  std::vector<flash::Tensor> x, y;
  std::vector<double> losses;
};
