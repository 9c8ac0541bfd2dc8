// tests/history.h -- what kernel_history() says of a few calls
#pragma once

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
