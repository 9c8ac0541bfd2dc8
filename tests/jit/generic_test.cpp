// tests/jit/generic_test.cpp -- the generic kernel, run by the emulation, has the interpreter's
// bits whatever kernel it stands in for
#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/sanitizers.h"
#include "emulation/engine.h"
#include "jit/emit/clike/clike.h"
#include "jit/emit/clike/generic.h"
#include "random_kernel.h"

using namespace flash;
using namespace flash::test;

namespace {

std::unique_ptr<emulation::Library> generic_library(const emit::Dialect& dialect, bool checks) {
  const std::string source = dialect.prelude->source(emit::generic_function("generic"));
  const emulation::Compiled made = emulation::compile(source, {checks, {}});
  INFO(made.log);
  REQUIRE(made.ok);
  return std::make_unique<emulation::Library>(made.library);
}

/// Lets the generic kernel do a kernel's work, by blocks of x times y threads.
Nest::Runner runner(const emulation::Library& library, unsigned grid, unsigned x, unsigned y) {
  return [=, &library](const ir::Kernel& kernel, const ir::Word* args, std::int64_t tiles) {
    const std::vector<ir::Word> program = emit::generic_program(kernel);
    REQUIRE(!program.empty());
    std::vector<ir::Word> words(emit::kGenericWords);
    words.insert(words.end(), program.begin(), program.end());
    const auto at = [](const ir::Word* p) { return reinterpret_cast<std::uintptr_t>(p); };
    words[emit::kGenericProgram] = emit::kGenericWords * 8;
    words[emit::kGenericArgs] = static_cast<ir::Word>(at(args) - at(words.data()));
    if (kernel.mode == ir::Mode::kSplit) tiles /= args[ir::kArgParts];
    REQUIRE(emulation::run(library, {library.entry("generic"), grid, x, y, at(words.data()), tiles,
                                     nullptr}) == "");
  };
}

}  // namespace

TEST_CASE("the generic kernel has the interpreter's bits, whatever kernel it stands in for") {
#if FLASH_ADDRESS_SANITIZER || FLASH_THREAD_SANITIZER
  MESSAGE("skipped: the emulation switches stacks, which this sanitizer does not follow");
  return;
#endif
  const int begin = first_kernel(), count = kernels_wanted(60);
  int fit = 0, split = 0;
  for (const emit::Dialect& dialect : {emit::cuda_dialect(), emit::hip_dialect()}) {
    const auto library = generic_library(dialect, false);
    for (int seed = begin; seed < begin + count; ++seed) {
      RandomKernel k(static_cast<std::uint64_t>(seed));
      if (emit::generic_program(k.kernel()).empty()) continue;
      ++fit;
      CAPTURE(seed);
      INFO(k.text());
      const auto want = k.run(Target::kInterpreter);
      const bool row = k.kernel().form == ir::Form::kRow && k.kernel().has_reduce();
      const auto by = [&](unsigned grid, unsigned x, unsigned y) {
        return runner(*library, grid, row ? 32 : x, y);
      };
      REQUIRE(difference(k.run(by(2, 29, 3)), want) == "");
      REQUIRE(difference(k.run(by(1, 64, 1)), want) == "");
      if (!k.can_split()) continue;
      REQUIRE(difference(k.run_split(by(3, 32, 2), 1 << seed % 4), want) == "");
      ++split;
    }
  }
  MESSAGE(fit << " of " << 2 * count << " kernels fit, " << split << " of them split");
  CHECK(fit > count);  // more than half
  CHECK(split > 0);
}

TEST_CASE("the generic kernel: no race, and nothing touched that is not the kernel's") {
#if FLASH_ADDRESS_SANITIZER || FLASH_THREAD_SANITIZER
  MESSAGE("skipped: the emulation switches stacks, which this sanitizer does not follow");
  return;
#endif
  const auto library = generic_library(emit::cuda_dialect(), true);
  int fit = 0;
  for (int seed = 0; seed < 12; ++seed) {
    RandomKernel k(static_cast<std::uint64_t>(seed));
    if (emit::generic_program(k.kernel()).empty()) continue;
    CAPTURE(seed);
    INFO(k.text());
    const auto want = k.run(Target::kInterpreter);
    REQUIRE(difference(k.run(runner(*library, 2, 32, 2)), want) == "");
    ++fit;
  }
  CHECK(fit > 6);
}

TEST_CASE("what the generic kernel has no room for has no program") {
  // 60 values that are all used at the end.
  constexpr std::int64_t kN = 5;
  std::vector<float> in(60 * kN, 1.f), out(kN);
  const auto sum_of = [&](int values) {
    Nest nest(ir::Form::kRow, {{ir::Role::kLoop, kN}});
    std::vector<int> loads;
    for (int i = 0; i < values; ++i)
      loads.push_back(nest.access(DType::kF32, in.data() + i * kN, {4}));
    const int to = nest.access(DType::kF32, out.data(), {4});
    nest.b.begin_loop();
    std::vector<ir::Value> x;
    for (const int access : loads) x.push_back(nest.b.load(access, ir::Type::kF32));
    ir::Value sum = x.back();
    for (std::size_t i = x.size() - 1; i-- > 0;) sum = nest.b.add(sum, x[i]);
    nest.b.store(to, sum);
    return emit::generic_program(nest.kernel);
  };
  CHECK(!sum_of(48).empty());
  CHECK(sum_of(49).empty());
  Nest epilogue(ir::Form::kRow, {{ir::Role::kLoop, kN}});
  const int to = epilogue.access(DType::kF32, out.data(), {4});
  epilogue.b.begin_loop();
  epilogue.b.store(to, epilogue.b.load(to, ir::Type::kF32));
  epilogue.kernel.mode = ir::Mode::kEpilogue;
  CHECK_THROWS_AS(emit::generic_program(epilogue.kernel), InternalError);
}
