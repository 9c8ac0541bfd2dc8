// tests/jit/ir_builder_test.cpp -- hash-consing, exact folding, text and keys of kernel IR
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <set>

#include "core/error.h"
#include "jit/ir/builder.h"
#include "run_kernel.h"

using namespace flash;
using namespace flash::ir;
using flash::test::Nest;

namespace {

struct Fixture {
  Nest nest{Form::kRow, {{Role::kLoop, 4}}};
  float data[4] = {};
  int in = nest.access(DType::kF32, data, {4});
  int out = nest.access(DType::kF32, data, {4});
  Builder& b = nest.b;
  Value x = kNone, n = kNone;
  Fixture() {
    b.begin_loop();
    x = b.load(in, Type::kF32);
    n = b.bitcast(x, Type::kI32);
  }
  float f32(Value v) const {
    const auto bits = b.constant_bits(v);
    REQUIRE(bits.has_value());
    return std::bit_cast<float>(static_cast<std::uint32_t>(*bits));
  }
};

}  // namespace

TEST_CASE("the builder writes an expression once while it is visible") {
  Fixture f;
  CHECK(f.b.add(f.x, f.b.f32(3)) == f.b.add(f.x, f.b.f32(3)));
  CHECK(f.b.load(f.in, Type::kF32) == f.x);
  CHECK(f.b.f32(0.0f) != f.b.f32(-0.0f));
  CHECK(f.b.sub(f.x, f.b.f32(3)) != f.b.sub(f.b.f32(3), f.x));
  const Value once = f.b.mul(f.x, f.x);
  f.b.begin_loop();
  CHECK(f.b.load(f.in, Type::kF32) != f.x);  // another section: the old value is out of sight
  CHECK(f.b.mul(f.x, f.x) != once);
  f.b.begin_row();
  const Value row = f.b.f32(7);
  f.b.begin_loop();
  CHECK(f.b.f32(7) == row);
}

TEST_CASE("an iota is written again in a loop section, where it counts more axes") {
  Nest nest(Form::kRow, {{Role::kLoop, 4}});
  const int slot = nest.iota({0, 1});
  nest.b.begin_row();
  const Value row = nest.b.iota(slot);
  CHECK(nest.b.iota(slot) == row);
  nest.b.begin_loop();
  CHECK(nest.b.iota(slot) != row);
}

TEST_CASE("a load is repeated when its kernel stores through the same access") {
  Fixture f;
  f.b.store(f.in, f.b.add(f.x, f.b.f32(1)));
  CHECK(f.b.load(f.in, Type::kF32) != f.x);
}

TEST_CASE("constants fold with the rounding of the type") {
  Fixture f;
  Builder& b = f.b;
  CHECK(f.f32(b.add(b.f32(1), b.f32(0x1p-24f))) == 1.0f);
  CHECK(f.f32(b.fma(b.f32(1 + 0x1p-12f), b.f32(1 + 0x1p-12f), b.f32(-1))) == 0x1p-11f + 0x1p-24f);
  CHECK(f.f32(b.div(b.f32(1), b.f32(-0.0f))) == -std::numeric_limits<float>::infinity());
  CHECK(b.constant_bits(b.mul(b.i32(0x10000), b.i32(0x10001))) == 0x10000u);
  CHECK(b.constant_bits(b.div(b.i32(5), b.i32(0))) == 0u);
  CHECK(b.constant_bits(b.cast(b.f64(-1.5), Type::kI64)) == ~std::uint64_t{0});
  CHECK(b.constant_bits(b.cast(b.f32(3e9f), Type::kI32)) == 0x80000000u);
  CHECK(b.constant_bits(b.constant(Type::kI64, 5)) == 5u);
  CHECK_FALSE(b.constant_bits(b.sub(b.f32(INFINITY), b.f32(INFINITY))).has_value());  // a NaN
}

TEST_CASE("only identities that hold for every value are applied") {
  Fixture f;
  Builder& b = f.b;
  CHECK(b.mul(f.x, b.f32(1)) == f.x);
  CHECK(b.mul(b.f32(1), f.x) == f.x);
  CHECK(b.div(f.x, b.f32(1)) == f.x);
  CHECK(b.add(f.x, b.f32(-0.0f)) == f.x);
  CHECK(b.sub(f.x, b.f32(0)) == f.x);
  CHECK(b.unary(Op::kNeg, b.unary(Op::kNeg, f.x)) == f.x);
  CHECK(b.cast(f.x, Type::kF32) == f.x);
  CHECK(b.bitcast(f.n, Type::kF32) == f.x);
  CHECK(b.add(f.n, b.i32(0)) == f.n);
  CHECK(b.binary(Op::kAnd, f.n, b.i32(-1)) == f.n);
  const Value p = b.compare(Op::kLt, f.x, b.f32(0));
  CHECK(b.select(p, f.x, f.x) == f.x);
  CHECK(b.add(f.x, b.f32(0)) != f.x);  // -0 + 0 is +0
  CHECK(b.sub(f.x, b.f32(-0.0f)) != f.x);
  CHECK_FALSE(b.constant_bits(b.mul(f.x, b.f32(0))).has_value());
  CHECK_FALSE(b.constant_bits(b.sub(f.x, f.x)).has_value());
  CHECK(b.sub(b.i32(0), f.n) != f.n);
}

TEST_CASE("tables are kept once, and a constant index is looked up at once") {
  Fixture f;
  Builder& b = f.b;
  constexpr Table kTable = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  Table other = kTable;
  other[0] = -0.0f;
  const Value first = b.table(kTable, f.n);
  CHECK(b.table(kTable, f.n) == first);
  CHECK(b.table(other, f.n) != first);
  CHECK(b.table(kTable, b.add(f.n, f.n)) != first);
  CHECK(f.nest.kernel.tables.size() == 2);
  CHECK(f.f32(b.table(kTable, b.i32(29))) == 13);
  CHECK(f.f32(b.table(kTable, b.i32(-1))) == 15);
}

TEST_CASE("an instruction before any section is an error") {
  Kernel k;
  Builder b(k);
  CHECK_THROWS_AS(b.f32(1), InternalError);
}

TEST_CASE("a kernel's text shows axes, accesses and one instruction a line") {
  Fixture f;
  f.b.store(f.out, f.b.fma(f.x, f.b.f32(0.5f), f.x));
  f.b.table({0, 1, 2, 3, 4, 5, 6, 0.5f, -1}, f.n);
  f.nest.kernel.name = "half_more";
  const std::string text = to_string(f.nest.kernel);
  CHECK(text ==
        "kernel half_more row whole, 11 words\n"
        "  axes: loop\n"
        "  @0: f32 in w7, strides w8: unit\n"
        "  @1: f32 out w9, strides w10: unit\n"
        "  #0: 0 1 2 3 4 5 6 0.5 -1 0 0 0 0 0 0 0\n"
        "  loop:\n"
        "    %0: f32 = load @0\n"
        "    %1: i32 = bitcast %0\n"
        "    %2: f32 = const 0.5\n"
        "    %3: f32 = fma %0, %2, %0\n"
        "    store @1 %3\n"
        "    %5: f32 = table #0 %1\n");
}

TEST_CASE("keys differ by everything but the name") {
  const auto build = [](const std::function<void(Kernel&)>& change) {
    Fixture f;
    const Value v = f.b.fma(f.x, f.b.f32(2), f.b.f32(3));
    f.b.store(f.out, f.b.add(v, f.b.table({0, 1, 2, 3, 4, 5, 6, 7}, f.n)));
    // Not addresses: only their words' places are part of a kernel.
    change(f.nest.kernel);
    return key_of(f.nest.kernel);
  };
  const Key base = build([](Kernel&) {});
  CHECK(base == build([](Kernel& k) { k.name = "another"; }));
  std::set<std::pair<std::uint64_t, std::uint64_t>> keys = {{base.lo, base.hi}};
  const std::function<void(Kernel&)> changes[] = {
      [](Kernel& k) { k.form = Form::kColumn; },
      [](Kernel& k) { k.mode = Mode::kSplit; },
      [](Kernel& k) { k.mode = Mode::kEpilogue; },
      [](Kernel& k) { k.axes.push_back(Role::kLoop); },
      [](Kernel& k) { k.axes[0] = Role::kGrid; },
      [](Kernel& k) { ++k.words; },
      [](Kernel& k) { k.accesses[0].dtype = DType::kI32; },
      [](Kernel& k) { ++k.accesses[0].pointer; },
      [](Kernel& k) { ++k.accesses[1].strides; },
      [](Kernel& k) { k.accesses[0].step[0] = Step::kAny; },
      [](Kernel& k) { k.accesses[0].stored = true; },
      [](Kernel& k) { k.insts[0].type = Type::kF64; },
      [](Kernel& k) { k.insts[0].op = Op::kStore; },
      [](Kernel& k) { k.insts[0].reduce = ReduceKind::kMax; },
      [](Kernel& k) { k.insts[2].imm ^= 1; },
      [](Kernel& k) { std::swap(k.insts[4].a, k.insts[4].b); },
      [](Kernel& k) { k.insts[4].c = 0; },
      [](Kernel& k) { k.insts[4].guard = 0; },
      [](Kernel& k) { k.insts[4].slot = 0; },
      [](Kernel& k) { k.insts[0].access = 1; },
      [](Kernel& k) { k.tables[0][15] = 16; },
      [](Kernel& k) { k.tables[0][0] = -0.0f; },
      [](Kernel& k) { k.tables.push_back(k.tables[0]); },
      [](Kernel& k) { k.sections[0].loop = false; },
      [](Kernel& k) { std::swap(k.sections[0].body[0], k.sections[0].body[1]); },
      [](Kernel& k) {
        k.sections.push_back({false, {}});
      },
  };
  for (const auto& change : changes) {
    const Key key = build(change);
    keys.insert({key.lo, key.hi});
    CHECK(key.lo != base.lo);
    CHECK(key.hi != base.hi);
  }
  CHECK(keys.size() == std::size(changes) + 1);
}
