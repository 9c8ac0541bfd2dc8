// tests/accuracy/throughput.cpp -- interleaved rounds of some milliseconds, and their medians
#include "accuracy/throughput.h"

#include <algorithm>
#include <chrono>
#include <functional>

#include "ulp.h"

namespace flash::accuracy {
namespace {

constexpr std::size_t kElements = std::size_t{1} << 16;
constexpr double kRoundNs = 4e6;

double nanoseconds(const std::function<void()>& call, int times) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  for (int i = 0; i < times; ++i) call();
  return std::chrono::duration<double, std::nano>(Clock::now() - start).count();
}

/// A call to repeat, and how often it fits into a round.
struct Loop {
  std::function<void()> call;
  int times = 1;
  std::vector<double> rates = {};  // elements per ns

  void prepare() {
    call();  // compiles, and touches the memory
    times = std::max(1, static_cast<int>(kRoundNs / nanoseconds(call, 1)));
  }
  void round() {
    rates.push_back(static_cast<double>(kElements) * times / nanoseconds(call, times));
  }
  double median() {
    std::sort(rates.begin(), rates.end());
    return rates[rates.size() / 2];
  }
};

void keep(const void* p) { asm volatile("" : : "r"(p) : "memory"); }

template <class T, class Narrow>
void half_loop(const Function& f, const std::vector<T>& x, std::vector<T>& y, Narrow narrow) {
  constexpr std::size_t kBlock = 1024;
  float in[kBlock], out[kBlock];
  for (std::size_t first = 0; first < x.size(); first += kBlock) {
    for (std::size_t i = 0; i < kBlock; ++i) in[i] = to_float(x[first + i]);
    f.libm32(in, out, kBlock);
    for (std::size_t i = 0; i < kBlock; ++i) y[first + i] = narrow(out[i]);
  }
}

template <class T, class Plain>
Speed measure(const Function& f, const Tensor& x, int rounds, Plain plain) {
  const std::vector<T> in = x.to_vector<T>();
  std::vector<T> out(in.size());
  Loop flash{[&] { f.op(x).eval(); }};
  Loop libm{[&] {
    plain(in, out);
    keep(out.data());
  }};
  for (Loop* loop : {&flash, &libm}) loop->prepare();
  for (int i = 0; i < rounds; ++i)
    for (Loop* loop : {&flash, &libm}) loop->round();
  return {flash.median(), libm.median()};
}

}  // namespace

Speed measure_speed(const Function& f, DType dtype, int rounds) {
  test::Random random;
  std::vector<double> values(kElements);
  for (double& v : values) v = random.between(f.low, f.high);
  const Tensor x = from_vector(values).to(dtype);
  x.eval();
  switch (dtype) {
    case DType::kF64:
      return measure<double>(f, x, rounds, [&](const auto& in, auto& out) {
        f.libm64(in.data(), out.data(), in.size());
      });
    case DType::kF32:
      return measure<float>(f, x, rounds, [&](const auto& in, auto& out) {
        f.libm32(in.data(), out.data(), in.size());
      });
    case DType::kF16:
      return measure<Half>(f, x, rounds,
                           [&](const auto& in, auto& out) { half_loop(f, in, out, to_half); });
    default:
      return measure<BFloat16>(
          f, x, rounds, [&](const auto& in, auto& out) { half_loop(f, in, out, to_bfloat16); });
  }
}

}  // namespace flash::accuracy
