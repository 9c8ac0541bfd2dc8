// tests/history.h -- what kernel_history() says of a few calls
#pragma once

#include <doctest/doctest.h>

#include <flash/flash.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace flash::test {

std::vector<KernelRecord> history_of(const auto& run) {
  kernel_history();
  record_kernels(true);
  run();
  record_kernels(false);
  return kernel_history();
}

/// A map, a product and a reduction.
inline std::vector<KernelRecord> history_of_three(Device d) {
  const Tensor x = full({70, 50}, 0.5, {.device = d}), w = full({50, 20}, 0.25, {.device = d});
  x.eval();
  w.eval();
  return history_of([&] {
    Tensor y = exp(x + 1.5) * x;
    eval_all();
    Tensor z = matmul(x, w);
    eval_all();
    Tensor s = (cos(x) * sin(x) + 0.375).sum(1);
    eval_all();
  });
}

/// `got` has a CPU's names and numbers, and times of its own.
inline void check_history(const std::vector<KernelRecord>& got,
                          const std::vector<KernelRecord>& want, const MachineLimits& limits) {
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    CHECK(got[i].name == want[i].name);
    CHECK(got[i].bytes == want[i].bytes);
    CHECK(got[i].flops == want[i].flops);
    CHECK(got[i].microseconds > 0);
    CHECK(got[i].gb_per_s() > 0);
    CHECK(got[i].share(limits) > 0);
  }
}

/// The least of several times that exp() of n elements takes a device, in microseconds.
inline double time_of_exp(std::int64_t n, Device d) {
  const Tensor x = full({n}, 0.5, {.device = d});
  x.eval();
  double us = 1e9;
  for (const KernelRecord& k : history_of([&] {
         for (int i = 0; i < 5; ++i) {
           Tensor y = exp(x + 0.75);
           y.eval();
         }
       }))
    us = std::min(us, k.microseconds);
  return us;
}

}  // namespace flash::test
