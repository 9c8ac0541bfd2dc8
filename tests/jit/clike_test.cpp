// tests/jit/clike_test.cpp -- emitted CUDA, HIP and MSL sources, run by the emulation, have the
// interpreter's bits
#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "core/sanitizers.h"
#include "emulation/engine.h"
#include "jit/emit/clike/clike.h"
#include "random_kernel.h"
#include "wide_map.h"

using namespace flash;
using namespace flash::test;

namespace {

/// A dialect, its header as the host's compiler takes it, and what makes an entry of a function
/// that a launch cannot call as it is.
struct Language {
  emit::Dialect dialect;
  std::string header, own_header;  ///< what a source begins with, and what takes its place
  std::string entry_macro;         ///< empty: every function is an entry
};

Language plain(const emit::Dialect& dialect) { return {dialect, {}, {}, {}}; }
Language metal() {
  return {emit::msl_dialect(), "#include <metal_stdlib>",
          "#include \"" FLASH_SOURCE_ROOT "/tests/jit/metal_emulation.h\"", "METAL_ENTRY"};
}
std::vector<Language> languages() {
  return {plain(emit::cuda_dialect()), plain(emit::hip_dialect()), metal()};
}

/// Functions that the host's compiler has made a library of.
class Emulated {
 public:
  explicit Emulated(const Language& language) : language_(language) {}
  void add(const ir::Kernel& kernel, const std::string& name) {
    source_ += emit::clike_function(kernel, name, language_.dialect);
    if (!language_.entry_macro.empty()) source_ += language_.entry_macro + "(" + name + ")\n";
  }
  /// As an epilogue, which a kernel calls for all elements.
  void add_epilogue(ir::Kernel kernel, const std::string& name) {
    kernel.mode = ir::Mode::kEpilogue;
    std::string text = emit::clike_epilogue(kernel, language_.dialect);
    for (std::size_t at = 0; (at = text.find("epilogue", at)) != std::string::npos;
         at += name.size())
      text.replace(at, 8, name);
    std::string count = "i64(1)";
    for (int a = 0; a < kernel.n_axes(); ++a)
      count += " * ARG(" + std::to_string(ir::kArgExtents + a) + ")";
    source_ += "#define EPILOGUE_INDEX " + std::string(name.back() % 2 ? "i32" : "i64") + "\n" +
               text + "KERNEL(" + name +
               "_all) {\n  EPILOGUE_WORDS(0)\n  const i64 count = " + count +
               ";\n  if (tiles > i64(0))\n    for (i64 at = i64(BLOCK_X) * SIZE_X + THREAD_X; at < "
               "count; at += i64(GRID_X) * SIZE_X)\n      EPILOGUE(at);\n}\n" +
               "#undef EPILOGUE_INDEX\n#undef EPILOGUE_WORDS\n#undef EPILOGUE\n";
    if (!language_.entry_macro.empty()) source_ += language_.entry_macro + "(" + name + "_all)\n";
  }
  void compile() {
    std::string source = language_.dialect.prelude->source(source_);
    REQUIRE(source.starts_with(language_.header));
    source.replace(0, language_.header.size(), language_.own_header);
    const emulation::Compiled made = emulation::compile(source);
    INFO(made.log);
    REQUIRE(made.ok);
    library_ = std::make_unique<emulation::Library>(made.library);
  }
  /// Runs the function `name` with blocks of x times y threads.
  Nest::Runner runner(const std::string& name, unsigned grid, unsigned x, unsigned y) const {
    const emulation::Entry f =
        library_->entry(language_.entry_macro.empty() ? name : "entry_" + name);
    REQUIRE((f != nullptr));
    return [=, this](const ir::Kernel&, const ir::Word* args, std::int64_t tiles) {
      const auto at = reinterpret_cast<unsigned long long>(args);
      REQUIRE(emulation::run(*library_, {f, grid, x, y, at, tiles, nullptr}) == "");
    };
  }

 private:
  const Language& language_;
  std::string source_;
  std::unique_ptr<emulation::Library> library_;
};

}  // namespace

TEST_CASE(
    "emulated kernels of all dialects have the interpreter's bits, for every shape of a launch") {
#if FLASH_ADDRESS_SANITIZER || FLASH_THREAD_SANITIZER
  MESSAGE("skipped: the emulation switches stacks, which this sanitizer does not follow");
  return;
#endif
  const int begin = first_kernel(), count = kernels_wanted(60);
  for (const Language& language : languages()) {
    const emit::Dialect& dialect = language.dialect;
    const std::string name(dialect.name);
    CAPTURE(name);
    Emulated emulated(language);
    for (int seed = begin; seed < begin + count; ++seed) {
      RandomKernel k(static_cast<std::uint64_t>(seed), dialect.has_f64);
      ir::Kernel kernel = k.kernel();
      kernel.mode = ir::Mode::kWhole;
      emulated.add(kernel, "k" + std::to_string(seed));
      if (!kernel.has_reduce()) emulated.add_epilogue(kernel, "e" + std::to_string(seed));
      if (!k.can_split()) continue;
      kernel.mode = ir::Mode::kSplit;
      emulated.add(kernel, "s" + std::to_string(seed));
    }
    emulated.compile();
    int epilogues = 0;
    for (int seed = begin; seed < begin + count; ++seed) {
      RandomKernel k(static_cast<std::uint64_t>(seed), dialect.has_f64);
      CAPTURE(seed);
      INFO(k.text());
      const auto want = k.run(Target::kInterpreter);
      const bool row = k.kernel().form == ir::Form::kRow && k.kernel().has_reduce();
      if (!k.kernel().has_reduce()) {
        const auto got = k.run(emulated.runner("e" + std::to_string(seed) + "_all", 2, 45, 1));
        REQUIRE(difference(got, want) == "");
        ++epilogues;
      }
      struct Shape {
        unsigned grid, x, y;
      };
      const Shape shapes[] = {{1, 32, 1}, {3, 32, 4}, {2, 128, 1}};
      for (const Shape& shape : shapes) {
        const unsigned grid = shape.grid, x = shape.x, y = shape.y;
        CAPTURE(x);
        CAPTURE(y);
        const unsigned some = row ? x : x - 3;
        const auto got = k.run(emulated.runner("k" + std::to_string(seed), grid, some, y));
        REQUIRE(difference(got, want) == "");
        if (!k.can_split() || y > 1) continue;
        const auto split =
            k.run_split(emulated.runner("s" + std::to_string(seed), grid, some, y), 1 << seed % 4);
        REQUIRE(difference(split, want) == "");
      }
    }
    CHECK(epilogues > 0);
  }
}

TEST_CASE("maps move whole words where memory is aligned, and the same bytes where it is not") {
#if FLASH_ADDRESS_SANITIZER || FLASH_THREAD_SANITIZER
  MESSAGE("skipped: the emulation switches stacks, which this sanitizer does not follow");
  return;
#endif
  const std::pair<DType, DType> pairs[] = {{DType::kF32, DType::kF32},  {DType::kF16, DType::kBF16},
                                           {DType::kF64, DType::kI64},  {DType::kBool, DType::kU8},
                                           {DType::kI8, DType::kI16},   {DType::kI32, DType::kF16},
                                           {DType::kF64, DType::kBool}, {DType::kF32, DType::kU8}};
  constexpr int kWidths[] = {4, 4, 2, 8, 8, 4, 2, 4};
  for (const Language& language : {plain(emit::cuda_dialect()), plain(emit::hip_dialect())}) {
    Emulated emulated(language);
    for (std::size_t p = 0; p < std::size(pairs); ++p) {
      const WideMap map(pairs[p].first, pairs[p].second, 1, 1, 0);
      CHECK(emit::vector_width(map.nest.kernel, language.dialect) == kWidths[p]);
      emulated.add(map.nest.kernel, "k" + std::to_string(p));
    }
    emulated.compile();
    for (std::size_t p = 0; p < std::size(pairs); ++p)
      for (const std::int64_t n : {0, 1, 4, 7, 16, 61, 128})
        for (const std::int64_t shift : {0, 1, 2, 4})
          for (const std::int64_t chunk : {64, 1000}) {
            const auto& [s, t] = pairs[p];
            WideMap want(s, t, 3, n, shift), got(s, t, 3, n, shift);
            want.nest.run(Target::kInterpreter);
            if (n > chunk) got.nest.set_chunk(chunk);
            got.nest.run(emulated.runner("k" + std::to_string(p), 2, 5, 2));
            CAPTURE(p);
            CAPTURE(n);
            CAPTURE(shift);
            for (std::size_t m = 0; m < want.used.size(); ++m) {
              CAPTURE(m);
              REQUIRE(std::equal(got.used[m].begin(), got.used[m].end(), want.used[m].begin()));
            }
          }
  }
}

namespace {

/// Σ x over the loop axes of 3 × 2 × 9001 elements (kRow), or of 2 × 321 for each of 37 lanes.
template <class T>
std::unique_ptr<Nest> sum_of(ir::Form form, const std::vector<T>& x, std::vector<T>& out) {
  using ir::Role;
  constexpr std::int64_t kSize = sizeof(T);
  const bool row = form == ir::Form::kRow;
  auto nest =
      row ? std::make_unique<Nest>(
                form,
                std::vector<Nest::Axis>{{Role::kGrid, 3}, {Role::kLoop, 2}, {Role::kLoop, 9001}})
          : std::make_unique<Nest>(
                form,
                std::vector<Nest::Axis>{{Role::kLoop, 2}, {Role::kLoop, 321}, {Role::kLane, 37}});
  using Strides = std::vector<std::int64_t>;
  const int in = nest->access(dtype_of<T>, x.data(),
                              row ? Strides{2 * 9001 * kSize, 9001 * kSize, kSize}
                                  : Strides{321 * 37 * kSize, 37 * kSize, kSize});
  const int to =
      nest->access(dtype_of<T>, out.data(), row ? Strides{kSize, 0, 0} : Strides{0, 0, kSize});
  const int partials = nest->partials(dtype_of<T>, 1000);
  nest->b.begin_loop();
  const ir::Value r =
      nest->b.reduce(ir::ReduceKind::kSum, nest->b.load(in, type_of<T>()), partials);
  nest->b.begin_row();
  nest->b.store(to, r);
  if (!row) nest->set_chunk(19);
  return nest;
}

template <class T>
void check_sums(const Language& language) {
  std::vector<T> x(3 * 2 * 9001);
  // What shows the order of additions, and integers both of whose halves count.
  const double most = std::is_integral_v<T> ? 0x1p50 : 1;
  for (std::size_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<T>((i % 3 ? most : -most) / static_cast<double>(1 + i % 977));
  for (const ir::Form form : {ir::Form::kRow, ir::Form::kColumn}) {
    std::vector<T> want(form == ir::Form::kRow ? 3 : 37), got = want;
    const auto reference = sum_of(form, x, want), emulated = sum_of(form, x, got);
    ir::Kernel split = emulated->kernel;
    split.mode = ir::Mode::kSplit;
    Emulated library(language);
    library.add(emulated->kernel, "whole");
    library.add(split, "split");
    library.compile();
    reference->run(Target::kInterpreter);
    struct Shape {
      unsigned x, y;
    };
    for (const Shape& shape : {Shape{32, 1}, Shape{32, 3}, Shape{64, 1}, Shape{160, 1}}) {
      const unsigned width = shape.x, height = shape.y;
      CAPTURE(width);
      CAPTURE(height);
      std::fill(got.begin(), got.end(), T{-1});
      emulated->run(library.runner("whole", 2, width, height));
      CHECK(got == want);
      if (height > 1) continue;
      for (const std::int64_t blocks : {1, 2, 8}) {
        CAPTURE(blocks);
        std::fill(got.begin(), got.end(), T{-1});
        sum_of(form, x, got)->run_split(library.runner("split", 2, width, 1), blocks);
        CHECK(got == want);
      }
    }
  }
}

}  // namespace

TEST_CASE("emulated sums follow the fixed tree, whole and in parts") {
#if FLASH_ADDRESS_SANITIZER || FLASH_THREAD_SANITIZER
  MESSAGE("skipped: the emulation switches stacks, which this sanitizer does not follow");
  return;
#endif
  const Language cuda = plain(emit::cuda_dialect());
  check_sums<float>(cuda);
  check_sums<double>(cuda);
  check_sums<float>(metal());
  check_sums<std::int64_t>(metal());
}
