// tests/jit/clike_msl_test.cpp -- the text of Metal sources: three kernels and their prelude, and
// what is refused
//
// tests/jit/golden holds what is wanted. Each kernel there includes prelude.metal, so that Apple's
// compiler takes it: xcrun metal -std=metal3.2 -c tests/jit/golden/softmax.metal. After a change
// that is meant, write the files anew and look at the difference:
//
//     FLASH_UPDATE_GOLDEN=1 build/tests/test_jit -tc='*golden*Metal*' && git diff tests/jit/golden
//
// That the text means the right thing is clike_test.cpp's matter, which runs it.
#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

#include "core/error.h"
#include "jit/emit/clike/clike.h"
#include "run_kernel.h"

using namespace flash;
using namespace flash::test;
using ir::Op;
using ir::ReduceKind;
using ir::Role;
using ir::Type;
using ir::Value;

namespace {

/// y = x · scale + table[i & 15] where i < limit; elsewhere x is 0 and nothing is stored.
ir::Kernel guarded_map() {
  Nest nest(ir::Form::kRow, {{Role::kGrid, 3}, {Role::kLoop, 100}});
  nest.kernel.name = "guarded_map";
  const int x = nest.access(DType::kF16, nullptr, {200, 2});
  const int y = nest.access(DType::kF32, nullptr, {400, 4});
  nest.kernel.accesses[static_cast<std::size_t>(y)].stored = true;
  ir::Builder& b = nest.b;
  b.begin_loop();
  const Value i = b.iota(nest.iota({0, 0, 1}));
  const Value within = b.compare(Op::kLt, i, b.scalar(Type::kI64, nest.word(90)));
  ir::Table bias{};
  for (std::size_t n = 0; n < bias.size(); ++n) bias[n] = 0.25f * static_cast<float>(n);
  const Value bias_i = b.table(bias, b.cast(i, Type::kI32));
  const Value scale = b.scalar(Type::kF32, nest.word(0x3fc00000));
  const Value v = b.fma(b.load(x, Type::kF32, ir::kNone, within), scale, bias_i);
  b.store(y, v, ir::kNone, within);
  return nest.kernel;
}

/// y = t / Σ t with t = 2^⌊x - max x⌋ over rows: softmax, but for its exponential.
ir::Kernel softmax() {
  Nest nest(ir::Form::kRow, {{Role::kGrid, 5}, {Role::kLoop, 3000}});
  nest.kernel.name = "softmax";
  const int x = nest.access(DType::kF32, nullptr, {12000, 4});
  const int y = nest.access(DType::kBF16, nullptr, {6000, 2});
  nest.kernel.accesses[static_cast<std::size_t>(y)].stored = true;
  const int largest = nest.partials(DType::kF32, 100), total = nest.partials(DType::kF32, 100);
  ir::Builder& b = nest.b;
  const auto term = [&](Value max) {
    const Value n = b.unary(Op::kFloor, b.binary(Op::kSub, b.load(x, Type::kF32), max));
    return b.binary(Op::kScale, b.f32(1), n);
  };
  b.begin_loop();
  const Value max = b.reduce(ReduceKind::kMax, b.load(x, Type::kF32), largest);
  b.begin_loop();
  const Value sum = b.reduce(ReduceKind::kSum, term(max), total);
  b.begin_loop();
  b.store(y, b.binary(Op::kDiv, term(max), sum));
  return nest.kernel;
}

/// The sums of columns, in parts.
ir::Kernel column_sum(Type t, DType dtype) {
  const std::int64_t size = size_of(dtype);
  Nest nest(ir::Form::kColumn, {{Role::kLoop, 1000}, {Role::kLane, 64}});
  nest.kernel.name = "column_sum";
  nest.kernel.mode = ir::Mode::kSplit;
  const int x = nest.access(dtype, nullptr, {64 * size, size});
  const int y = nest.access(dtype, nullptr, {0, size});
  nest.kernel.accesses[static_cast<std::size_t>(y)].stored = true;
  const int partials = nest.partials(dtype, 64 * 16);
  nest.b.begin_loop();
  const Value sum = nest.b.reduce(ReduceKind::kSum, nest.b.load(x, t), partials);
  nest.b.begin_row();
  nest.b.store(y, sum);
  return nest.kernel;
}

std::string msl(const ir::Kernel& k) {
  return emit::clike_function(k, k.name, emit::msl_dialect());
}

/// The first line in which two texts differ, or "".
std::string first_difference(const std::string& got, const std::string& want) {
  std::istringstream a(got), b(want);
  std::string x, y;
  for (int line = 1;; ++line) {
    const bool more_x = static_cast<bool>(std::getline(a, x));
    const bool more_y = static_cast<bool>(std::getline(b, y));
    if (!more_x && !more_y) return got == want ? "" : "the end of the last line";
    if (more_x != more_y || x != y)
      return "line " + std::to_string(line) + " is `" + (more_x ? x : "(none)") + "`, not `" +
             (more_y ? y : "(none)") + "`";
  }
}

void check_golden(const std::string& name, const std::string& got) {
  const std::string path = FLASH_SOURCE_ROOT "/tests/jit/golden/" + name + ".metal";
  if (std::getenv("FLASH_UPDATE_GOLDEN") != nullptr) {
    std::ofstream file(path, std::ios::binary);
    file << got;
    REQUIRE_MESSAGE(file.good(), "cannot write " << path);
    MESSAGE("wrote " << path);
    return;
  }
  std::ifstream file(path, std::ios::binary);
  REQUIRE_MESSAGE(file.good(), "cannot read " << path);
  const std::string want{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  INFO("see the top of clike_msl_test.cpp for how " << path << " is written anew");
  CHECK(first_difference(got, want) == "");
}

}  // namespace

TEST_CASE("golden files: Metal sources") {
  check_golden("prelude", emit::msl_dialect().prelude->text());
  for (const ir::Kernel& k : {guarded_map(), softmax(), column_sum(Type::kF32, DType::kF32)})
    check_golden(k.name, "#include \"prelude.metal\"\n" + msl(k));
}

TEST_CASE("a dialect without f64 refuses kernels that use it, and says so") {
  const ir::Kernel k = column_sum(Type::kF64, DType::kF64);
  CHECK_THROWS_WITH_AS(msl(k),
                       "kernel column_sum: it uses f64, which msl does not have; cast its operands "
                       "to f32, or use another device",
                       DTypeError);
  CHECK_NOTHROW(emit::clike_function(k, "column_sum", emit::cuda_dialect()));
  CHECK_NOTHROW(msl(column_sum(Type::kI64, DType::kI64)));
}
