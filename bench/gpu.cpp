// bench/gpu.cpp -- a GPU beside its own limits: bandwidth of fused work, products beside a vendor's
// library, what a launch costs in a replayed plan
//
// Sizes follow from what the device can do, so that each call takes it a few milliseconds.
#include <flash/flash.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/models.h"
#include "bench/process.h"
#include "bench/workloads.h"

namespace flash::bench {
namespace {

/// FLASH_DEVICE if that is a GPU, else the first of CUDA's or HIP's.
std::optional<Device> gpu_here() {
  const auto is_gpu = [](Device d) {
    return d.type() == DeviceType::kCuda || d.type() == DeviceType::kHip;
  };
  if (is_gpu(default_device()) || default_device().type() == DeviceType::kVulkan)
    return default_device();
  for (const Device d : devices())
    if (is_gpu(d)) return d;
  return std::nullopt;
}

/// What sizes are chosen by: where a device has no room to measure its limits, those of a small
/// GPU.
MachineLimits size_limits(Device d) {
  const MachineLimits limits = machine_limits(d);
  return limits.gb_per_s > 0 ? limits : MachineLimits{100, 1000};
}

/// The largest power of two for which a product of n × n matrices takes the device about 20 ms in
/// f32.
std::int64_t product_size(Device d) {
  const double flops = size_limits(d).gflop_per_s * 1e9 * 20e-3;
  std::int64_t n = 32;
  while (n < 8192 && 2 * std::pow(2.0 * static_cast<double>(n), 3) <= flops) n *= 2;
  return n;
}

/// The number of floats that the device copies in about 2 ms, at most 2^28.
std::int64_t vector_size(Device d) {
  const double floats = size_limits(d).gb_per_s * 1e9 * 2e-3 / 8;
  std::int64_t n = 1 << 10;
  while (n < std::int64_t{1} << 28 && 2 * static_cast<double>(n) <= floats) n *= 2;
  return n;
}

/// Of one call among many that nothing waits between.
double seconds_of_call(Device d, const std::function<void()>& call) {
  using Clock = std::chrono::steady_clock;
  constexpr double kLeast = 50e-3;
  const auto seconds = [&](int n) {
    synchronize(d);
    const auto start = Clock::now();
    for (int i = 0; i < n; ++i) call();
    synchronize(d);
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  seconds(3);  // compiled, recorded, warm
  int n = 1;
  double took = seconds(n);
  while (took < kLeast && n < 10'000) {
    n = std::max(n + 1, static_cast<int>(n * std::min(10.0, 1.5 * kLeast / std::max(took, 1e-9))));
    took = seconds(n);
  }
  return took / n;
}

struct Products {
  Tensor a, b;
  double flops = 0;
};
Products products(Device d, DType t) {
  const std::int64_t n = product_size(d);
  manual_seed(1);
  const auto some = [&] {
    Tensor x = rand({n, n}, {.device = d}).to(t);
    x.eval();
    return x;
  };
  return {some(), some(), 2 * std::pow(static_cast<double>(n), 3)};
}

/// TFLOP/s of products one after the other.
double product_rate(Device d, DType t) {
  const Products p = products(d, t);
  return p.flops / seconds_of_call(d, [&] { matmul(p.a, p.b).eval(); }) * 1e-12;
}

/// TFLOP/s by the device's own clock around what does the product: a library, or own kernels.
double product_alone(Device d, DType t) {
  const Products p = products(d, t);
  matmul(p.a, p.b).eval();
  synchronize(d);
  kernel_history();
  record_kernels(true);
  for (int i = 0; i < 10; ++i) matmul(p.a, p.b).eval();
  record_kernels(false);
  Samples us;
  for (const KernelRecord& r : kernel_history())
    if (r.flops > 0) us.values.push_back(r.microseconds);
  return p.flops / us.median() * 1e-6;
}

void add_bandwidth(Suite& suite, Device d) {
  manual_seed(1);
  const std::int64_t n = vector_size(d);
  const int power = std::countr_zero(static_cast<std::uint64_t>(n));
  const Tensor x = rand({n}, {.device = d}), y = rand({n}, {.device = d}),
               square =
                   x.view({std::int64_t{1} << (power - power / 2), std::int64_t{1} << power / 2});
  x.eval();
  y.eval();
  const double limit = machine_limits(d).gb_per_s;
  const auto share = [&](const char* name, double arrays, std::function<void()> call,
                         const char* goal) {
    const auto rate = [=] {
      return arrays * 4 * static_cast<double>(n) / seconds_of_call(d, call) * 1e-9;
    };
    if (limit > 0)
      suite.value(std::string(name) + ", of copy bandwidth", [=] { return rate() / limit; }, {},
                  {.unit = "", .goal = goal});
    else
      suite.value(name, rate, {}, {.unit = "GB/s"});
  };
  share(
      "chain", 3, [=] { tanh(sqrt(abs(x * y + 1)) * 0.5 - y).eval(); }, ">= 0.85");
  share(
      "axpy", 3, [=] { (x * 2 + y).eval(); }, ">= 0.85");
  share(
      "exp", 2, [=] { exp(x).eval(); }, ">= 0.85");
  share(
      "sum", 1, [=] { sum(square).eval(); }, ">= 0.8");
  share(
      "sum dim 0", 1, [=] { sum(square, {0}).eval(); }, ">= 0.8");
  share(
      "sum dim 1", 1, [=] { sum(square, {1}).eval(); }, ">= 0.8");
  if (limit > 0) suite.value("copy bandwidth", [=] { return limit; }, {}, {.unit = "GB/s"});
}

void add_products(Suite& suite, Device d) {
  const std::string size = std::to_string(product_size(d));
  if (const double limit = machine_limits(d).gflop_per_s; limit > 0)
    suite.value("f32 matmul " + size + ", of the FMA limit",
                [=] { return product_rate(d, DType::kF32) * 1e3 / limit; }, {}, {.unit = ""});
  else
    suite.value("f32 matmul " + size, [=] { return product_rate(d, DType::kF32); }, {},
                {.unit = "TFLOP/s"});
  suite.value("bf16 matmul " + size, [=] { return product_rate(d, DType::kBF16); }, {},
              {.unit = "TFLOP/s"});
  suite.value("bf16 matmul " + size + ", of what computes it alone",
              [=] { return product_rate(d, DType::kBF16) / product_alone(d, DType::kBF16); }, {},
              {.unit = "", .goal = ">= 0.95"});
  if (d.type() != DeviceType::kCuda) return;
  suite.value("bf16 matmul " + size + ", own kernel",
              [=] {
                return std::strtod(output_of({"env", "FLASH_CUBLAS=off", "FLASH_DEVICE=" + d.str(),
                                              own_program(), "--gpu-product"})
                                       .c_str(),
                                   nullptr);
              },
              {}, {.unit = "TFLOP/s"});
}

/// Maps of sizes that differ, so that none is fused with another: one plan of so many launches.
void add_launches(Suite& suite, Device d) {
  constexpr int kLaunches = 30;
  std::vector<Tensor> x;
  for (int i = 0; i < kLaunches; ++i) x.push_back(ones({1000 + i}, {.device = d}));
  for (const Tensor& t : x) t.eval();
  suite.value("a launch of a replayed plan of 30",
              [=] {
                return seconds_of_call(d,
                                       [&] {
                                         std::vector<Tensor> y;
                                         for (const Tensor& t : x) y.push_back(t * 2 + 1);
                                         y.back().eval();
                                       }) *
                       1e6 / kLaunches;
              },
              {}, {.unit = "us"});
}

void add_training(Suite& suite, Device d) {
  const Device before = default_device();
  set_default_device(d);
  const auto step = std::make_shared<TrainingStep<LeNet>>(64, std::vector<std::int64_t>{1, 28, 28});
  set_default_device(before);
  suite.value("LeNet step, batch 64", [=] { return seconds_of_call(d, [&] { (*step)(); }) * 1e3; },
              {}, {.unit = "ms"});
}

}  // namespace

void gpu_product() {
  const std::optional<Device> d = gpu_here();
  std::cout << (d ? product_rate(*d, DType::kBF16) : 0) << std::endl;
}

void gpu(Suite& suite) {
  const std::optional<Device> d = gpu_here();
  if (!d) {
    std::cout
        << "\ngpu: none of CUDA's or HIP's is here; flash devices says why. What else it lists "
           "is measured where FLASH_DEVICE names it\n";
    return;
  }
  std::cout << "\ngpu: " << d->str() << ", " << runtime(*d).description() << '\n';
  add_bandwidth(suite, *d);
  add_products(suite, *d);
  add_launches(suite, *d);
  add_training(suite, *d);
}

}  // namespace flash::bench
