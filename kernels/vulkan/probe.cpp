// kernels/vulkan/probe.cpp -- runs each instruction over hard operands and compares with the host
#include "kernels/vulkan/probe.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "core/error.h"
#include "kernels/vulkan/commands.h"
#include "kernels/vulkan/program.h"

namespace flash::vulkan {
namespace {

constexpr int kCases = 512;

template <class T>
struct Case {
  T a, b, c, pad;
};

template <class T>
bool same(T got, T want) {
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  return std::bit_cast<Bits>(got) == std::bit_cast<Bits>(want) ||
         (std::isnan(got) && std::isnan(want));
}

/// Any bits, numbers near 1, subnormal and nearly so, and sums that cancel: a third each.
template <class T>
std::vector<Case<T>> cases() {
  std::uint64_t state = 0x9e3779b97f4a7c15;
  const auto random = [&] {  // splitmix64 (Steele, Lea and Flood, 2014)
    std::uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  };
  const auto bits = [&](std::uint64_t keep) {
    if constexpr (sizeof(T) == 4)
      return std::bit_cast<T>(static_cast<std::uint32_t>(random() & keep));
    else
      return std::bit_cast<T>(random() & keep);
  };
  const std::uint64_t small = sizeof(T) == 4 ? 0x80ffffffu : 0x801fffffffffffffu;
  const auto near_one = [&] {
    return static_cast<T>(static_cast<double>(static_cast<std::int64_t>(random())) / 9.3e17);
  };
  std::vector<Case<T>> all(kCases);
  for (int i = 0; i < kCases; ++i) {
    Case<T>& x = all[static_cast<std::size_t>(i)];
    if (i % 3 == 0)
      x = {bits(~std::uint64_t{0}), bits(~std::uint64_t{0}), bits(~std::uint64_t{0}), 0};
    if (i % 3 == 1) x = {bits(small), i % 2 ? near_one() : bits(small), bits(small), 0};
    if (i % 3 == 2) x = {near_one(), near_one(), near_one(), 0};
    if (i % 6 == 5) x.c = -(x.a * x.b);  // what an fma keeps of the product
  }
  return all;
}

// Results of one case, in this order.
enum Result { kAdd, kSub, kMul, kLess, kIsZero, kWiden, kDiv, kSqrt, kFma, kResults };

template <class T>
T expected(const Case<T>& x, int r) {
  switch (r) {
    case kAdd:
      return x.a + x.b;
    case kSub:
      return x.a - x.c;
    case kMul:
      return x.a * x.b;
    case kLess:
      return x.a < x.b ? 1 : 0;
    case kIsZero:
      return x.c == 0 ? 1 : 0;
    case kWiden:
      return x.c;
    case kDiv:
      return x.a / x.b;
    case kSqrt:
      return std::sqrt(x.a);
    default:
      return std::fma(x.a, x.b, x.c);
  }
}

std::string source(const std::string& type, int bytes, bool f64) {
  const auto load = [&](int k) {
    return "load_" + type + "(at + u64(" + std::to_string(k * bytes) + "))";
  };
  std::string s = "KERNEL(probe) {\n  const i64 i = i64(BLOCK_X) * SIZE_X + THREAD_X;\n";
  s += "  if (i >= tiles) return;\n";
  s += "  const u64 at = u64(ARG(0) + i * " + std::to_string(4 * bytes) + ");\n";
  s += "  const u64 to = u64(ARG(1) + i * " + std::to_string(kResults * bytes) + ");\n";
  s += "  const " + type + " a = " + load(0) + ", b = " + load(1) + ", c = " + load(2) + ";\n";
  const std::string one = type + "(1)", none = type + "(0)";
  const std::string results[] = {
      "add_" + type + "(a, b)",
      "sub_" + type + "(a, c)",
      "mul_" + type + "(a, b)",
      "lt_" + type + "(a, b) ? " + one + " : " + none,
      "eq_" + type + "(c, literal_" + type + "(" + (bytes == 4 ? "0u" : "u64(0)") + ")) ? " + one +
          " : " + none,
      bytes == 4 && f64 ? "cast_f32_f64(cast_f64_f32(c))" : "c",
      "div_" + type + "(a, b)",
      "sqrt_" + type + "(a)",
      "fma_" + type + "(a, b, c)",
  };
  for (int r = 0; r < kResults; ++r)
    s += "  store_" + type + "(to + u64(" + std::to_string(r * bytes) + "), " +
         results[static_cast<std::size_t>(r)] + ");\n";
  return s + "}\n";
}

// Runs a source over `tiles` threads: 64 KiB of memory with the words (0: the memory behind them,
// 1: the results at 32 KiB) in front.
class Bench {
 public:
  explicit Bench(const std::shared_ptr<Gpu>& gpu) : gpu_(gpu), commands_(gpu) {
    memory_ = gpu->make_buffer(
        kBytes, {.must = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,
                 .better = 0});
    gpu->check(memory_.address == 0 ? VK_ERROR_OUT_OF_DEVICE_MEMORY : VK_SUCCESS, "probing");
  }
  ~Bench() { gpu_->destroy(memory_); }

  template <class T>
  const T* run(const std::string& source, const void* input, std::size_t bytes, int threads) {
    const std::uint64_t words[] = {memory_.address + kInput, memory_.address + kOutput};
    char* const host = static_cast<char*>(memory_.host);
    std::memcpy(host, words, sizeof words);
    if (bytes > 0) std::memcpy(host + kInput, input, bytes);
    Program program(gpu_, source, "probe");
    const VkPipeline pipeline = program.pipeline(64, 1);
    dispatch(*gpu_, commands_.next(), pipeline, memory_.address, threads,
             static_cast<std::uint32_t>((threads + 63) / 64));
    commands_.show_to_host();
    commands_.wait(commands_.submit());
    return reinterpret_cast<const T*>(host + kOutput);
  }

 private:
  static constexpr std::size_t kBytes = 128 << 10, kInput = 64, kOutput = 64 << 10;
  const std::shared_ptr<Gpu> gpu_;
  Commands commands_;
  DeviceBuffer memory_;
};

template <class T>
void probe_type(Bench& bench, bool f64, bool (&right)[kResults]) {
  const std::vector<Case<T>> all = cases<T>();
  const std::string type = sizeof(T) == 4 ? "f32" : "f64";
  const T* got =
      bench.run<T>(source(type, sizeof(T), f64), all.data(), all.size() * sizeof(Case<T>), kCases);
  for (int r = 0; r < kResults; ++r) {
    right[r] = true;
    for (std::size_t i = 0; i < all.size(); ++i)
      right[r] =
          right[r] && same(got[i * kResults + static_cast<std::size_t>(r)], expected(all[i], r));
  }
}

constexpr std::string_view kOrder = R"source(
KERNEL(order) {
  store_i32(u64(ARG(1) + i64(THREAD_X) * 4), i32(gl_SubgroupInvocationID));
}
)source";

}  // namespace

void probe(const std::shared_ptr<Gpu>& gpu) {
  Bench bench(gpu);
  emit::GlslTraits t = gpu->traits();
  bool f32[kResults], f64[kResults];
  if (t.has_f64) {
    probe_type<double>(bench, true, f64);
    t.f64_arithmetic = f64[kAdd] && f64[kSub] && f64[kMul] && f64[kLess] && f64[kIsZero];
    t.f64_div = f64[kDiv];
    t.f64_sqrt = f64[kSqrt];
    t.f64_fma = f64[kFma];
    gpu->set_traits(t);
  }
  probe_type<float>(bench, t.has_f64 && t.f64_arithmetic, f32);
  t.f32_arithmetic =
      f32[kAdd] && f32[kSub] && f32[kMul] && f32[kLess] && f32[kIsZero] && f32[kWiden];
  t.f32_div = f32[kDiv];
  t.f32_sqrt = f32[kSqrt];
  t.f32_fma = f32[kFma];
  if (t.shuffles) {
    const auto* lanes = bench.run<std::int32_t>(std::string(kOrder), nullptr, 0, 64);
    for (int i = 0; i < 64; ++i) t.shuffles = t.shuffles && lanes[i] % 32 == i % 32;
  }
  gpu->set_traits(t);
}

}  // namespace flash::vulkan
