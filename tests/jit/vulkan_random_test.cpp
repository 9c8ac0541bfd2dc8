// tests/jit/vulkan_random_test.cpp -- kernels on a Vulkan device have the interpreter's bits
#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <memory>
#include <random>

#include "device_runner.h"
#include "jit/emit/clike/clike.h"
#include "jit/emit/clike/glsl.h"
#include "kernels/vulkan/runtime.h"
#include "random_kernel.h"
#include "vulkan_here.h"
#include "wide_map.h"

using namespace flash;
using namespace flash::test;

namespace {

void check_random(DeviceRuntime& device, int count) {
  const int begin = first_kernel();
  for (int seed = begin; seed < begin + count; ++seed) {
    RandomKernel k(static_cast<std::uint64_t>(seed));
    CAPTURE(seed);
    INFO(k.text());
    const auto want = k.run(Target::kInterpreter);
    REQUIRE(difference(k.run(on_device(device, k.memory())), want) == "");
    if (!k.can_split()) continue;
    REQUIRE(difference(k.run_split(on_device(device, k.memory()), 1 << seed % 4), want) == "");
  }
}

// A device that computes nothing as the IR says.
emit::GlslTraits all_by_integers() {
  emit::GlslTraits t;
  t.f32_arithmetic = t.f32_div = t.f32_sqrt = t.f32_fma = false;
  t.f64_div = t.f64_sqrt = t.f64_fma = false;
  return t;
}

template <class T>
using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;

// Operands that are hard to round: any bits, subnormals, numbers near 1, sums that cancel.
template <class T>
std::vector<T> operands(int which, std::size_t n) {
  std::vector<T> all[3];
  std::mt19937_64 random(17);
  const auto any = [&](std::uint64_t keep) {
    return std::bit_cast<T>(static_cast<Bits<T>>(random() & keep));
  };
  const std::uint64_t small = sizeof(T) == 4 ? 0x80ffffffu : 0x801fffffffffffffu;
  const auto near_one = [&] {
    return static_cast<T>(static_cast<double>(static_cast<std::int64_t>(random())) / 9.3e17);
  };
  for (std::size_t i = 0; i < n; ++i) {
    T a = near_one(), b = near_one(), c = near_one();
    if (i % 4 == 0)
      a = any(~std::uint64_t{0}), b = any(~std::uint64_t{0}), c = any(~std::uint64_t{0});
    if (i % 4 == 1) a = any(small), b = i % 8 == 1 ? near_one() : any(small), c = any(small);
    if (i % 4 == 2) c = -(a * b);
    if (i % 64 == 3) a = T{0};
    if (i % 64 == 7) b = std::numeric_limits<T>::infinity(), c = -b;
    if (i % 64 == 11) c = -T{0};
    all[0].push_back(a), all[1].push_back(b), all[2].push_back(c);
  }
  return all[which];
}

template <class T>
void check_rounding(DeviceRuntime& device) {
  using ir::Builder, ir::Value;
  constexpr std::size_t kCount = 20000, kOps = 12;
  constexpr std::int64_t kSize = sizeof(T);
  std::vector<T> in[3] = {operands<T>(0, kCount), operands<T>(1, kCount), operands<T>(2, kCount)};
  std::vector<std::vector<T>> want(kOps, std::vector<T>(kCount)), got = want;
  const auto nest_into = [&](std::vector<std::vector<T>>& out) {
    auto nest = std::make_unique<Nest>(
        ir::Form::kRow, std::vector<Nest::Axis>{{ir::Role::kLoop, std::int64_t{kCount}}});
    int at[3], to[kOps];
    for (int i = 0; i < 3; ++i) at[i] = nest->access(dtype_of<T>, in[i].data(), {kSize});
    for (std::size_t i = 0; i < kOps; ++i)
      to[i] = nest->access(dtype_of<T>, out[i].data(), {kSize});
    Builder& b = nest->b;
    b.begin_loop();
    Value v[3];
    for (int i = 0; i < 3; ++i) v[i] = b.load(at[i], type_of<T>());
    const auto choose = [&](Value p) { return b.select(p, v[0], v[1]); };
    const Value results[kOps] = {b.add(v[0], v[2]),
                                 b.sub(v[0], v[1]),
                                 b.mul(v[0], v[1]),
                                 b.div(v[0], v[1]),
                                 b.unary(ir::Op::kSqrt, v[0]),
                                 b.fma(v[0], v[1], v[2]),
                                 b.unary(ir::Op::kFloor, v[0]),
                                 b.unary(ir::Op::kCeil, v[1]),
                                 b.unary(ir::Op::kRint, v[0]),
                                 choose(b.compare(ir::Op::kLt, v[0], v[1])),
                                 b.binary(ir::Op::kMax, v[0], v[2]),
                                 choose(b.to_pred(v[2]))};
    for (std::size_t i = 0; i < kOps; ++i) b.store(to[i], results[i]);
    return nest;
  };
  std::vector<std::span<unsigned char>> memory;
  const auto add = [&](std::vector<T>& x) {
    memory.emplace_back(reinterpret_cast<unsigned char*>(x.data()), x.size() * sizeof(T));
  };
  for (auto& x : in) add(x);
  for (auto& x : got) add(x);
  nest_into(want)->run(Target::kInterpreter);
  nest_into(got)->run(on_device(device, memory));
  for (std::size_t op = 0; op < kOps; ++op)
    for (std::size_t i = 0; i < kCount; ++i) {
      const T g = got[op][i], w = want[op][i];
      if (std::bit_cast<Bits<T>>(g) == std::bit_cast<Bits<T>>(w) || (g != g && w != w)) continue;
      CAPTURE(op);
      CAPTURE(in[0][i]);
      CAPTURE(in[1][i]);
      CAPTURE(in[2][i]);
      REQUIRE(g == w);
      REQUIRE(std::signbit(g) == std::signbit(w));
    }
}

}  // namespace

TEST_CASE("random kernels on Vulkan have the interpreter's bits, whole and split") {
  DeviceRuntime* device = vulkan_here();
  if (device == nullptr) return;
  check_random(*device, kernels_wanted(40));
}

TEST_CASE("maps on Vulkan move whole words where the device likes that") {
  if (vulkan_here() == nullptr) return;
  emit::GlslTraits traits = all_by_integers();
  traits.wide = true;
  vulkan::VulkanRuntime device(0, &traits);
  const std::pair<DType, DType> pairs[] = {
      {DType::kF32, DType::kF32}, {DType::kF64, DType::kI64}, {DType::kI8, DType::kF16}};
  for (const auto& [s, t] : pairs)
    for (const std::int64_t n : {3, 61})
      for (const std::int64_t shift : {0, 1, 4}) {
        CAPTURE(n);
        CAPTURE(shift);
        WideMap want(s, t, 3, n, shift), got(s, t, 3, n, shift);
        CHECK(emit::vector_width(got.nest.kernel, {.wide = true}) > 1);
        want.nest.run(Target::kInterpreter);
        got.nest.run(on_device(device, got.used));
        for (std::size_t m = 0; m < want.used.size(); ++m)
          REQUIRE(std::equal(got.used[m].begin(), got.used[m].end(), want.used[m].begin()));
      }
}

TEST_CASE("operands that are hard to round give the interpreter's bits on Vulkan") {
  DeviceRuntime* device = vulkan_here();
  if (device == nullptr) return;
  check_rounding<float>(*device);
  check_rounding<double>(*device);
}

TEST_CASE("floats by integers, for devices that round otherwise, give the interpreter's bits") {
  if (vulkan_here() == nullptr) return;
  const emit::GlslTraits traits = all_by_integers();
  vulkan::VulkanRuntime device(0, &traits);
  check_rounding<float>(device);
  check_rounding<double>(device);
  check_random(device, kernels_wanted(8));
}
