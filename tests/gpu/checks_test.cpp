// tests/gpu/checks_test.cpp -- the emulation's checks find seeded faults, and none in what Flash
// makes
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "emulation/engine.h"
#include "jit/emit/clike/clike.h"
#include "jit/random_kernel.h"
#include "kernels/gpu/leaf.h"

using namespace flash;
using namespace flash::test;

namespace {

std::vector<std::pair<const char*, std::size_t>> allowed;  // what kernels may touch
bool may_touch(const void* at, std::size_t bytes) {
  const char* p = static_cast<const char*>(at);
  for (const auto& [begin, size] : allowed)
    if (p >= begin && p + bytes <= begin + size) return true;
  return false;
}

/// What is wrong with `source` (its kernel is called k) on 64 floats in and out, with checks.
std::string judge(const std::string& source, unsigned grid = 2, unsigned x = 64) {
  struct {  // with room around what may be touched: seeded faults go there
    float before[64], in[64], between[64], out[64], behind[64], scratch[64], last[64];
    std::uint32_t tally[4];
  } memory{};
  const auto word = [](const void* at) { return reinterpret_cast<long long>(at); };
  std::vector<long long> args{word(memory.in), word(memory.out), word(memory.scratch),
                              word(memory.tally)};
  const auto bytes = [](const void* at) { return static_cast<const char*>(at); };
  allowed = {{bytes(memory.in), sizeof memory.in},
             {bytes(memory.out), sizeof memory.out},
             {bytes(memory.scratch), sizeof memory.scratch},
             {bytes(memory.tally), sizeof memory.tally},
             {bytes(args.data()), 8 * args.size()}};
  const auto made = emulation::compile(emit::cuda_dialect().prelude->source(source),
                                       {.checks = true, .folder = {}});
  REQUIRE_MESSAGE(made.ok, made.log);
  const emulation::Library library(made.library);
  emulation::Launch launch{
      library.entry("k"), grid, x, 1, reinterpret_cast<unsigned long long>(args.data()), 2,
      may_touch};
  REQUIRE((launch.entry != nullptr));
  return emulation::run(library, launch);
}

bool says(const std::string& problem, const char* what) {
  INFO(problem);
  CHECK(problem.find(what) != std::string::npos);
  return true;
}

std::string replaced(std::string s, const std::string& from, const std::string& by) {
  const std::size_t at = s.find(from);
  REQUIRE(at != std::string::npos);
  return s.replace(at, from.size(), by);
}

// A neighbour's element through shared memory.
const std::string kNeighbour = R"(
SHARED(f32, kept, 64)
KERNEL(k) {
  for (i32 round = 0; round < 2; ++round) {
    kept[THREAD_X] = load_f32(u64(ARG(0)) + u64(THREAD_X) * u64(4));
    BARRIER();
    if (BLOCK_X == 0)
      store_f32(u64(ARG(1)) + u64(THREAD_X) * u64(4), kept[(THREAD_X + 1) % 64]);
    BARRIER();
  }
}
)";

// Every block writes a partial; the last one adds them up.
const std::string kLast = R"(
SHARED(i32, is_last, 1)
KERNEL(k) {
  if (THREAD_X < 4) publish_f32(u64(ARG(2)) + u64(BLOCK_X * 4 + THREAD_X) * u64(4), f32(1));
  FENCE();
  BARRIER();
  if (THREAD_X == 0)
    is_last[0] = atomic_add_u32(u64(ARG(3)), 1u) + 1u == u32(GRID_X) ? 1 : 0;
  BARRIER();
  if (is_last[0] == 0) return;
  FENCE();
  if (THREAD_X == 0) {
    f32 sum = f32(0);
    for (i32 i = 0; i < 4 * GRID_X; ++i) sum = sum + fresh_f32(u64(ARG(2)) + u64(i) * u64(4));
    store_f32(u64(ARG(1)), sum);
  }
}
)";

}  // namespace

TEST_CASE("a barrier that is missing is a race, whichever of the two it is") {
  CHECK(judge(kNeighbour) == "");
  says(judge(replaced(kNeighbour, "BARRIER();\n    if", "if")), "a race");
  says(judge(replaced(kNeighbour, "    BARRIER();\n  }", "  }")), "a race");
}

TEST_CASE("blocks that tell each other something need fences, an atomic and a fresh read") {
  CHECK(judge(kLast) == "");
  says(judge(replaced(kLast, "  FENCE();\n  BARRIER", "  BARRIER")), "a race");
  says(judge(replaced(kLast, "  BARRIER();\n  if (THREAD_X == 0)\n    is",
                      "  if (THREAD_X == 0)\n    is")),
       "a race");
  says(judge(replaced(kLast, "fresh_f32", "load_f32")), "a race");
  says(judge(replaced(kLast, "if (is_last[0] == 0) return;", "")), "a race");
}

TEST_CASE("blocks that write one place race, whoever is last") {
  says(judge("KERNEL(k) { if (THREAD_X == 0) store_f32(u64(ARG(1)), f32(BLOCK_X)); }"),
       "a race of two writes");
  CHECK(judge("KERNEL(k) { if (THREAD_X == 0) store_f32(u64(ARG(1)) + u64(BLOCK_X) * u64(4), "
              "f32(BLOCK_X)); }") == "");
}

TEST_CASE("an index one too far is out of bounds, in memory and in narrow types") {
  const std::string shift = R"(
KERNEL(k) {
  if (BLOCK_X > 0) return;
  const u64 at = u64(THREAD_X) * u64(4);
  store_f32(u64(ARG(1)) + at, load_f32(u64(ARG(0)) + at));
}
)";
  CHECK(judge(shift) == "");
  says(judge(replaced(shift, "u64(ARG(0)) + at", "u64(ARG(0)) + at + u64(4)")), "out of bounds");
  says(judge(replaced(shift, "u64(ARG(1)) + at", "u64(ARG(1)) + at - u64(4)")), "out of bounds");
  says(judge("KERNEL(k) { if (BLOCK_X + THREAD_X == 0) store_u8(u64(ARG(1)) + u64(256), 1); }"),
       "out of bounds");
}

TEST_CASE("a barrier that some threads leave out would hang") {
  says(judge("KERNEL(k) { if (THREAD_X < 40) BARRIER(); }"), "wait for different things");
  says(judge("KERNEL(k) { if (THREAD_X < 7) store_f32(u64(ARG(1)) + u64(BLOCK_X * 128 + THREAD_X "
             "* 4), below_f32(f32(1), 1)); }"),
       "wait for different things");
}

TEST_CASE("random kernels are free of races for every shape of a launch") {
  const int count = kernels_wanted(12), begin = first_kernel();
  std::string source;
  for (int seed = begin; seed < begin + count; ++seed) {
    RandomKernel k(static_cast<std::uint64_t>(seed));
    ir::Kernel kernel = k.kernel();
    kernel.mode = ir::Mode::kWhole;
    source += emit::clike_function(kernel, "k" + std::to_string(seed));
    kernel.mode = ir::Mode::kSplit;
    if (k.can_split()) source += emit::clike_function(kernel, "s" + std::to_string(seed));
  }
  const auto made = emulation::compile(emit::cuda_dialect().prelude->source(source),
                                       {.checks = true, .folder = {}});
  REQUIRE_MESSAGE(made.ok, made.log);
  const emulation::Library library(made.library);
  int launches = 0;
  for (int seed = begin; seed < begin + count; ++seed) {
    CAPTURE(seed);
    RandomKernel k(static_cast<std::uint64_t>(seed));
    INFO(k.text());
    const auto want = k.run(Target::kInterpreter);
    const auto runner = [&](const std::string& entry, unsigned grid, unsigned x, unsigned y) {
      return [&, entry, grid, x, y](const ir::Kernel&, const ir::Word* args, std::int64_t tiles) {
        const emulation::Launch launch{library.entry(entry),
                                       grid,
                                       x,
                                       y,
                                       reinterpret_cast<unsigned long long>(args),
                                       tiles,
                                       nullptr};
        REQUIRE(emulation::run(library, launch) == "");
        ++launches;
      };
    };
    const std::string number = std::to_string(seed);
    CHECK(difference(k.run(runner("k" + number, 3, 32, 2)), want) == "");
    CHECK(difference(k.run(runner("k" + number, 2, 128, 1)), want) == "");
    if (k.can_split())
      CHECK(difference(k.run_split(runner("s" + number, 3, 64, 1), 2), want) == "");
  }
  MESSAGE(launches, " launches without a race");
}
