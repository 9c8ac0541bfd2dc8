// tests/kernels/runtime_test.cpp -- loading, launching and counting on the CPU and the null device
#include "kernels/cpu/runtime.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "core/error.h"
#include "jit/ir/builder.h"
#include "kernels/null/runtime.h"
#include "leaf_testing.h"

using namespace flash;

namespace {

/// y[i] = x[i] + 1 over one axis.
ir::Kernel add_one() {
  ir::Kernel k;
  k.name = "add_one";
  k.axes = {ir::Role::kLoop};
  for (int i = 0; i < 2; ++i) {
    ir::Access access;
    access.pointer = ir::kArgExtents + 1 + 2 * i;
    access.strides = access.pointer + 1;
    access.step = {ir::Step::kUnit};
    access.stored = i == 1;
    k.accesses.push_back(access);
  }
  k.words = ir::kArgExtents + 5;
  ir::Builder b(k);
  b.begin_loop();
  b.store(1, b.add(b.load(0, ir::Type::kF32), b.f32(1)));
  return k;
}

/// The ArgBlock of add_one over n elements, cut into chunks.
std::vector<std::int64_t> args_of(const float* x, float* y, std::int64_t n, std::int64_t chunk) {
  std::vector<std::int64_t> args(ir::kArgExtents, 0);
  args[ir::kArgChunk] = chunk;
  args[ir::kArgChunks] = (n + chunk - 1) / chunk;
  for (const std::int64_t word : {n, reinterpret_cast<std::intptr_t>(x), std::int64_t{4},
                                  reinterpret_cast<std::intptr_t>(y), std::int64_t{4}})
    args.push_back(word);
  return args;
}

}  // namespace

TEST_CASE("a launch runs all tiles of all its items, on any number of threads, and counts as one") {
  for (const auto kind : {CodeKind::kBest, CodeKind::kPortable})
    for (const int threads : {1, 2, 5}) {
      const cpu::testing::Threads scope(threads);
      cpu::CpuRuntime runtime;
      const auto kernel = runtime.load(add_one(), kind);
      CHECK(kernel->name == "add_one");
      std::vector<std::vector<float>> x, y;
      std::vector<std::vector<std::int64_t>> args;
      std::vector<Launch> items;
      for (std::int64_t i = 0; i < 40; ++i) {  // more than the items a launch keeps on the stack
        const std::int64_t n = i == 3 ? 0 : i * 977 + 1;
        x.emplace_back(static_cast<std::size_t>(n), static_cast<float>(i));
        y.emplace_back(static_cast<std::size_t>(n), 0.0f);
      }
      for (std::size_t i = 0; i < x.size(); ++i) {
        args.push_back(
            args_of(x[i].data(), y[i].data(), static_cast<std::int64_t>(x[i].size()), 256));
        items.push_back({.kernel = kernel.get(), .args = args[i].data(), .tiles = args[i][1]});
      }
      runtime.launch(items, {});
      CHECK(runtime.counters.launches == 1);
      for (std::size_t i = 0; i < x.size(); ++i)
        for (const float v : y[i]) REQUIRE(v == static_cast<float>(i) + 1);
      runtime.launch(std::span(items).first(1), {});
      CHECK(runtime.counters.launches == 2);
    }
}

TEST_CASE("copies move every byte and are counted") {
  cpu::CpuRuntime runtime;
  std::vector<char> from(5'000'001), to(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<char>(i * 7 / 5);
  runtime.copy(to.data(), from.data(), from.size(), {});
  CHECK(to == from);
  CHECK(runtime.counters.launches == 1);
  CHECK(runtime.counters.bytes_moved == 2 * from.size());
  runtime.copy(to.data(), from.data(), 0, {});
}

#if defined(__x86_64__)
TEST_CASE(
    "launches keep subnormals whatever the caller set, and leave the caller's mode as it was") {
  cpu::CpuRuntime runtime;
  ir::Kernel k = add_one();
  k.insts.clear();
  k.sections.clear();
  ir::Builder b(k);
  b.begin_loop();
  b.store(1, b.binary(ir::Op::kMul, b.load(0, ir::Type::kF32), b.f32(0.5f)));
  const auto kernel = runtime.load(k, CodeKind::kBest);
  const std::vector<float> x(10, 1e-38f);
  std::vector<float> y(10);
  const auto args = args_of(x.data(), y.data(), 10, 10);
  const Launch item{.kernel = kernel.get(), .args = args.data(), .tiles = 1};
  const unsigned before = _mm_getcsr();
  _mm_setcsr(before | 0x8040);  // flush to zero, denormals are zero
  const unsigned set = _mm_getcsr();
  runtime.launch({&item, 1}, {});
  const unsigned after = _mm_getcsr();
  _mm_setcsr(before);
  CHECK((after & ~0x3fu) == (set & ~0x3fu));
  for (const float v : y) CHECK(v == 1e-38f * 0.5f);
}
#endif

TEST_CASE("the null device counts launches by name, computes nothing and hands out address space") {
  null::NullRuntime runtime;
  const auto kernel = runtime.load(add_one(), CodeKind::kBest);
  Block* block = runtime.allocator().allocate(std::size_t{64} << 30);  // more than there may be
  const std::vector<std::int64_t> args(9, 0);
  const Launch item{.kernel = kernel.get(), .args = args.data(), .tiles = 1};
  runtime.launch({&item, 1}, {});
  runtime.launch({&item, 1}, {});
  const Launch both[] = {item, item};
  runtime.launch(both, {});
  LeafCall call;
  call.op = Prim::kMatmul;
  runtime.run_leaf(call, {});
  float host = 5;
  runtime.to_host(&host, block->data, sizeof host, {});
  CHECK(host == 0);
  const auto counts = runtime.launches_by_name();
  CHECK(counts.at("add_one") == 2);
  CHECK(counts.at("add_one+add_one") == 1);
  CHECK(counts.at("matmul") == 1);
  CHECK(runtime.counters.launches == 5);
  CHECK(runtime.counters.leaf_launches == 1);
  CHECK(runtime.loaded() == 1);
  runtime.allocator().free(block);
  runtime.reset();
  CHECK(runtime.launches_by_name().empty());
}

TEST_CASE("a primitive without a leaf kernel is refused by name") {
  cpu::CpuRuntime runtime;
  LeafCall call;
  call.op = Prim::kAdd;
  CHECK_THROWS_WITH_AS(runtime.run_leaf(call, {}), "run_leaf: the CPU has no leaf kernel for add",
                       InternalError);
}
