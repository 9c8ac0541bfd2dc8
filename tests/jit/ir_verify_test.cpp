// tests/jit/ir_verify_test.cpp -- the verifier refuses each broken rule and names it
#include <doctest/doctest.h>

#include <string>

#include "core/error.h"
#include "jit/ir/builder.h"
#include "run_kernel.h"

using namespace flash;
using namespace flash::ir;

namespace {

Access access(DType d, int pointer, int strides, std::vector<Step> step) {
  Access a;
  a.dtype = d;
  a.pointer = pointer;
  a.strides = strides;
  a.step = std::move(step);
  return a;
}

constexpr int kFirst = kArgExtents + 2, kWords = kFirst + 10;

// grid × run: loop { x = load; s = sum(x) } row { y = s * 2; store y } loop { store x / s }.
// Words: the fixed ones, 2 extents, 3 × (pointer, 2 strides), 1 scalar.
struct Valid {
  Kernel k;
  Value x, sum, twice, store, again, quotient;

  Valid() {
    k.name = "valid";
    k.axes = {Role::kGrid, Role::kLoop};
    k.words = kWords;
    k.accesses = {access(DType::kF32, kFirst, kFirst + 1, {Step::kAny, Step::kUnit}),
                  access(DType::kF32, kFirst + 3, kFirst + 4, {Step::kAny, Step::kZero}),
                  access(DType::kF32, kFirst + 6, kFirst + 7, {Step::kAny, Step::kUnit})};
    Builder b(k);
    b.begin_loop();
    x = b.load(0, Type::kF32);
    sum = b.reduce(ReduceKind::kSum, x, -1);
    b.begin_row();
    twice = b.mul(sum, b.f32(2));
    b.store(1, twice);
    store = static_cast<Value>(k.insts.size()) - 1;
    b.begin_loop();
    again = b.load(0, Type::kF32);
    quotient = b.div(again, sum);
    b.store(2, quotient);
  }
  Inst& inst(Value v) { return k.insts[static_cast<std::size_t>(v)]; }
  Value append(std::size_t section, Inst i) {
    k.insts.push_back(i);
    const auto v = static_cast<Value>(k.insts.size()) - 1;
    k.sections[section].body.push_back(v);
    return v;
  }
};

Inst make(Op op, Type t, Value a = kNone, Value b = kNone, Value c = kNone) {
  Inst i;
  i.op = op;
  i.type = t;
  i.a = a;
  i.b = b;
  i.c = c;
  return i;
}

template <class F>
void refuses(const char* rule, F change) {
  Valid v;
  verify(v.k);
  change(v);
  CAPTURE(rule);
  try {
    verify(v.k);
    FAIL_CHECK("the broken kernel was accepted");
  } catch (const InternalError& e) {
    const std::string text = e.what();
    CAPTURE(text);
    CHECK(text.find(rule) != std::string::npos);
    CHECK(text.find("'valid'") != std::string::npos);
  }
}

}  // namespace

TEST_CASE("the verifier refuses axes, forms and modes that do not fit") {
  refuses("in the order grid, loop, lane", [](Valid& v) { std::swap(v.k.axes[0], v.k.axes[1]); });
  refuses("at least one loop axis", [](Valid& v) { v.k.axes = {Role::kGrid, Role::kGrid}; });
  refuses("one lane axis", [](Valid& v) { v.k.form = Form::kColumn; });
  refuses("one lane axis", [](Valid& v) { v.k.axes.push_back(Role::kLane); });
  refuses("extents of all axes", [](Valid& v) { v.k.words = kArgExtents + 1; });
  refuses("exactly one loop section", [](Valid& v) { v.k.mode = Mode::kSplit; });
  const auto no_reduction = [](Valid& v) {
    v.k.sections.erase(v.k.sections.begin(), v.k.sections.end() - 1);
    v.inst(v.quotient).b = v.again;
  };
  Valid map;
  no_reduction(map);
  verify(map.k);
  refuses("exactly one loop axis", [&](Valid& v) {
    no_reduction(v);
    v.k.axes = {Role::kLoop, Role::kLoop};
  });
  refuses("exactly one loop section", [&](Valid& v) {
    no_reduction(v);
    v.k.sections.push_back({true, {}});
  });
  refuses("form kRow", [&](Valid& v) {
    no_reduction(v);
    v.k.form = Form::kColumn;
    v.k.axes = {Role::kLoop, Role::kLane};
  });
  refuses("not of mode kSplit", [&](Valid& v) {
    no_reduction(v);
    v.k.mode = Mode::kSplit;
  });
  refuses("kEpilogue has no reductions", [](Valid& v) { v.k.mode = Mode::kEpilogue; });
  refuses("stores in its loop", [&](Valid& v) {
    no_reduction(v);
    v.k.sections.insert(v.k.sections.begin(), {false, {}});
    Inst store = make(Op::kStore, Type::kF32, v.append(0, make(Op::kConst, Type::kF32)));
    store.access = 1;
    v.append(0, store);
  });
}

TEST_CASE("the verifier refuses words outside of the ArgBlock") {
  refuses("pointer is a word after", [](Valid& v) { v.k.accesses[0].pointer = kFirst - 1; });
  refuses("pointer is a word after", [](Valid& v) { v.k.accesses[0].pointer = kWords; });
  refuses("strides lie in the ArgBlock", [](Valid& v) { v.k.accesses[0].strides = kWords - 1; });
  refuses("strides lie in the ArgBlock", [](Valid& v) { v.k.accesses[0].strides = -1; });
  refuses("scalar's word", [](Valid& v) {
    Inst i = make(Op::kScalar, Type::kF32);
    i.slot = kWords;
    v.append(1, i);
  });
  refuses("iota's words", [](Valid& v) {
    Inst i = make(Op::kIota, Type::kI64);
    i.slot = kWords - 2;
    v.append(1, i);
  });
}

TEST_CASE("the verifier refuses accesses that cannot move as they say") {
  refuses("the access exists", [](Valid& v) { v.inst(v.x).access = 3; });
  refuses("one step an axis", [](Valid& v) { v.k.accesses[0].step.pop_back(); });
  refuses("only the vector axis", [](Valid& v) { v.k.accesses[0].step[0] = Step::kUnit; });
  refuses("does not move along loop axes", [](Valid& v) { v.k.accesses[1].step[1] = Step::kUnit; });
  refuses("register type", [](Valid& v) { v.k.accesses[0].dtype = DType::kF64; });
  refuses("marked as stored", [](Valid& v) { v.k.accesses[1].stored = false; });
}

TEST_CASE("the verifier refuses values that are not visible") {
  refuses("defined before they are used", [](Valid& v) { v.inst(v.sum).a = v.quotient; });
  refuses("visible in that section only", [](Valid& v) { v.inst(v.twice).a = v.x; });
  refuses("visible in that section only", [](Valid& v) { v.inst(v.quotient).a = v.x; });
  refuses("visible after its section",
          [](Valid& v) { v.append(0, make(Op::kNeg, Type::kF32, v.sum)); });
  refuses("the operand exists", [](Valid& v) { v.inst(v.twice).b = 99; });
  refuses("stands in one place only", [](Valid& v) { v.k.sections[2].body.push_back(v.x); });
  refuses("a section's value exists", [](Valid& v) { v.k.sections[2].body.push_back(77); });
  refuses("a store defines no value",
          [](Valid& v) { v.append(1, make(Op::kNeg, Type::kF32, v.store)); });
  refuses("stands in a loop section",
          [](Valid& v) { v.append(1, make(Op::kReduce, Type::kF32, v.twice)); });
}

TEST_CASE("the verifier refuses types that an op does not take") {
  const auto bad = [](const char* rule, auto make_inst) {
    refuses(rule, [&](Valid& v) { v.append(2, make_inst(v)); });
  };
  bad("operands have the result's type",
      [](Valid& v) { return make(Op::kAdd, Type::kF64, v.again, v.again); });
  bad("does not take this type",
      [](Valid& v) { return make(Op::kAnd, Type::kF32, v.again, v.again); });
  bad("does not take this type",
      [](Valid& v) { return make(Op::kAdd, Type::kPred, v.again, v.again); });
  bad("does not take this type", [](Valid&) { return make(Op::kConst, Type::kPred); });
  bad("makes a predicate", [](Valid& v) { return make(Op::kLt, Type::kF32, v.again, v.again); });
  bad("operands are predicates",
      [](Valid& v) { return make(Op::kPAnd, Type::kPred, v.again, v.again); });
  bad("first operand is a predicate",
      [](Valid& v) { return make(Op::kSelect, Type::kF32, v.again, v.again, v.again); });
  bad("a bitcast goes", [](Valid& v) { return make(Op::kBitcast, Type::kI64, v.again); });
  bad("a cast changes", [](Valid& v) { return make(Op::kCast, Type::kF32, v.again); });
  bad("an operand is missing", [](Valid& v) { return make(Op::kAdd, Type::kF32, v.again); });
  bad("an operand too many", [](Valid& v) { return make(Op::kNeg, Type::kF32, v.again, v.again); });
  bad("the guard is a predicate", [](Valid& v) {
    Inst i = v.inst(v.x);
    i.guard = v.again;
    return i;
  });
  bad("only loads, stores and reductions", [](Valid& v) {
    Inst i = make(Op::kNeg, Type::kF32, v.again);
    i.guard = v.again;
    return i;
  });
  bad("an index is an i64", [](Valid& v) {
    Inst i = v.inst(v.x);
    i.a = v.again;
    return i;
  });
  bad("does not take this type", [](Valid& v) { return make(Op::kTable, Type::kI32, v.again); });
  bad("a table's index is an i32", [](Valid& v) { return make(Op::kTable, Type::kF32, v.again); });
  refuses("the table exists", [](Valid& v) {
    Builder b(v.k);
    const Value n = b.bitcast(v.again, Type::kI32);
    Inst i = make(Op::kTable, Type::kF32, n);
    i.imm = 1;
    v.k.tables.resize(1);
    v.append(2, i);
  });
  bad("fits 32 bits", [](Valid&) {
    Inst i = make(Op::kConst, Type::kI32);
    i.imm = std::uint64_t{1} << 32;
    return i;
  });
}

TEST_CASE("a predicate is cast to i32 only") {
  Valid v;
  Builder b(v.k);
  const Value p = b.compare(Op::kLt, v.again, v.sum);
  v.append(2, make(Op::kCast, Type::kI32, p));
  verify(v.k);
  v.append(2, make(Op::kCast, Type::kF32, p));
  CHECK_THROWS_AS(verify(v.k), InternalError);
}

TEST_CASE("a split kernel needs partials of the reduction's type") {
  Valid v;
  v.k.sections.pop_back();
  v.k.mode = Mode::kSplit;
  CHECK_THROWS_AS(verify(v.k), InternalError);
  Access a;
  a.dtype = DType::kF64;
  a.pointer = kWords - 1;
  v.k.accesses.push_back(a);
  v.inst(v.sum).access = 3;
  CHECK_THROWS_AS(verify(v.k), InternalError);
  v.k.accesses.back().dtype = DType::kF32;
  verify(v.k);
}

TEST_CASE("a split kernel stores nothing before the loop, where each of its parts passes") {
  test::Nest nest(Form::kRow, {{Role::kGrid, 2}, {Role::kLoop, 9000}});
  const int in = nest.access(DType::kF32, nullptr, {4, 0});
  const int out = nest.access(DType::kF32, nullptr, {4, 0});
  const int total = nest.access(DType::kF32, nullptr, {4, 0});
  const int partials = nest.partials(DType::kF32, 6);
  nest.b.begin_row();
  const Value x = nest.b.load(in, Type::kF32);
  nest.b.store(out, x);
  nest.b.begin_loop();
  const Value sum = nest.b.reduce(ReduceKind::kSum, x, partials);
  nest.b.begin_row();
  nest.b.store(total, sum);
  verify(nest.kernel);
  nest.kernel.mode = Mode::kSplit;
  CHECK_THROWS_WITH_AS(verify(nest.kernel), doctest::Contains("no store before the loop"),
                       InternalError);
}
