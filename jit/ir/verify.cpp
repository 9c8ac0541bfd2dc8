// jit/ir/verify.cpp -- checks a kernel against every rule of kernel.h
#include <algorithm>
#include <string>

#include "core/error.h"
#include "jit/ir/op_info.h"

namespace flash::ir {
namespace {

class Verifier {
 public:
  explicit Verifier(const Kernel& k) : k_(k), home_(k.insts.size(), kNowhere) {}

  void run() {
    check_axes();
    check_form();
    for (std::size_t i = 0; i < k_.accesses.size(); ++i) check_access(i);
    for (std::size_t s = 0; s < k_.sections.size(); ++s) {
      section_ = static_cast<int>(s);
      for (const Value v : k_.sections[s].body) check_inst(v);
    }
  }

 private:
  static constexpr int kNowhere = -1;

  [[noreturn]] void fail(const std::string& rule) const {
    std::string where = "kernel IR '" + k_.name + "'";
    if (current_ != kNone) {
      where += ", value %" + std::to_string(current_);
      if (current_ >= 0 && static_cast<std::size_t>(current_) < k_.insts.size())
        where += " (" + std::string(ir::info(inst().op).name) + ")";
    }
    throw InternalError(where + ": " + rule);
  }
  void require(bool ok, const char* rule) const {
    if (!ok) fail(rule);
  }
  const Inst& inst() const { return k_.insts[static_cast<std::size_t>(current_)]; }

  void check_axes() const {
    int loops = 0, lane_axes = 0;
    Role last = Role::kGrid;
    for (const Role r : k_.axes) {
      require(r >= last, "axes stand in the order grid, loop, lane");
      last = r;
      loops += r == Role::kLoop;
      lane_axes += r == Role::kLane;
    }
    require(loops >= 1, "there is at least one loop axis");
    require(lane_axes == (k_.form == Form::kColumn ? 1 : 0),
            "form kColumn has one lane axis, form kRow none");
    require(k_.words >= kArgExtents + k_.n_axes(), "the ArgBlock holds the extents of all axes");
  }

  void check_form() const {
    bool reduces = false, stores_first = false, row_stores = false;
    int loop_sections = 0;
    for (const Section& s : k_.sections) {
      loop_sections += s.loop;
      for (const Value v : s.body) {
        if (v < 0 || static_cast<std::size_t>(v) >= k_.insts.size()) continue;
        const Op op = k_.insts[static_cast<std::size_t>(v)].op;
        reduces |= op == Op::kReduce;
        stores_first |= op == Op::kStore && loop_sections == 0;
        row_stores |= op == Op::kStore && !s.loop;
      }
    }
    if (!reduces) {
      require(k_.form == Form::kRow, "a kernel without reductions is of form kRow");
      require(std::count(k_.axes.begin(), k_.axes.end(), Role::kLoop) == 1,
              "a kernel without reductions has exactly one loop axis");
      require(loop_sections == 1, "a kernel without reductions has exactly one loop section");
      require(k_.mode != Mode::kSplit, "a kernel without reductions is not of mode kSplit");
      require(!row_stores,
              "a kernel without reductions stores in its loop, for chunks share a row");
    }
    require(k_.mode != Mode::kEpilogue || !reduces, "mode kEpilogue has no reductions");
    if (k_.mode == Mode::kSplit) {
      require(loop_sections == 1, "mode kSplit needs exactly one loop section");
      require(!stores_first, "mode kSplit allows no store before the loop, where each part passes");
    }
  }

  bool has_words(std::int32_t first, std::int32_t n) const {
    return first >= 0 && n >= 0 && first <= k_.words - n;
  }

  void check_access(std::size_t index) const {
    const Access& a = k_.accesses[index];
    require(static_cast<int>(a.dtype) < kNumDTypes, "an access has a known dtype");
    require(a.pointer >= kArgExtents + k_.n_axes() && has_words(a.pointer, 1),
            "an access's pointer is a word after the extents");
  }

  // The rules for an access that moves along the axes (all but the partials of a reduction).
  const Access& moving_access() const {
    const std::int32_t at = inst().access;
    require(at >= 0 && static_cast<std::size_t>(at) < k_.accesses.size(), "the access exists");
    const Access& a = k_.accesses[static_cast<std::size_t>(at)];
    require(has_words(a.strides, k_.n_axes()), "the access's strides lie in the ArgBlock");
    require(a.step.size() == k_.axes.size(), "the access has one step an axis");
    for (int i = 0; i < k_.n_axes(); ++i) {
      const Step s = a.step[static_cast<std::size_t>(i)];
      require(s != Step::kUnit || i == k_.vector_axis(), "only the vector axis has a unit step");
      if (!in_loop() && k_.axes[static_cast<std::size_t>(i)] == Role::kLoop)
        require(s == Step::kZero, "an access in a row section does not move along loop axes");
    }
    require(register_type(a.dtype) == inst().type, "the type is the register type of the dtype");
    return a;
  }

  bool in_loop() const { return k_.sections[static_cast<std::size_t>(section_)].loop; }

  Type operand(Value v) const {
    require(v >= 0 && static_cast<std::size_t>(v) < k_.insts.size(), "the operand exists");
    const Inst& def = k_.insts[static_cast<std::size_t>(v)];
    const int home = home_[static_cast<std::size_t>(v)];
    require(home != kNowhere, "operands are defined before they are used");
    require(def.op != Op::kStore, "a store defines no value");
    const bool loop = k_.sections[static_cast<std::size_t>(home)].loop;
    if (def.op == Op::kReduce)
      require(home < section_, "a reduction is visible after its section only");
    else
      require(!loop || home == section_, "a loop section's value is visible in that section only");
    return def.type;
  }
  void optional(Value v, Type t, const char* rule) const {
    if (v != kNone) require(operand(v) == t, rule);
  }

  void check_inst(Value v) {
    current_ = v;
    require(v >= 0 && static_cast<std::size_t>(v) < k_.insts.size(), "a section's value exists");
    int& home = home_[static_cast<std::size_t>(v)];
    require(home == kNowhere, "an instruction stands in one place only");
    const Inst& i = inst();
    require(i.op < Op::kCount, "the op is known");
    require(i.type <= Type::kF64, "the type is known");
    check_operands(i);
    home = section_;
    current_ = kNone;
  }

  void check_operands(const Inst& i) {
    const OpInfo& op = ir::info(i.op);
    const Value operands[3] = {i.a, i.b, i.c};
    for (int n = 0; n < 3; ++n) {
      const bool index = (i.op == Op::kLoad && n == 0) || (i.op == Op::kStore && n == 1);
      if (n < op.arity)
        require(operands[n] != kNone, "an operand is missing");
      else if (!index)
        require(operands[n] == kNone, "there is an operand too many");
    }
    const bool guarded = i.op == Op::kLoad || i.op == Op::kStore || i.op == Op::kReduce;
    require(guarded || i.guard == kNone, "only loads, stores and reductions have guards");
    optional(i.guard, Type::kPred, "the guard is a predicate");

    const auto takes = [&](Type t) {
      require((op.types & type_bit(t)) != 0, "the op does not take this type");
    };
    switch (op.signature) {
      case Signature::kSource:
        takes(i.type);
        check_source(i);
        break;
      case Signature::kSame:
        takes(i.type);
        for (int n = 0; n < op.arity; ++n)
          require(operand(operands[n]) == i.type, "operands have the result's type");
        break;
      case Signature::kCompare:
        require(i.type == Type::kPred, "a comparison makes a predicate");
        require(operand(i.a) == operand(i.b), "both operands have one type");
        takes(operand(i.a));
        break;
      case Signature::kPredicate:
        require(i.type == Type::kPred, "the result is a predicate");
        for (int n = 0; n < op.arity; ++n)
          require(operand(operands[n]) == Type::kPred, "operands are predicates");
        break;
      case Signature::kSelect:
        takes(i.type);
        require(operand(i.a) == Type::kPred, "a select's first operand is a predicate");
        require(operand(i.b) == i.type && operand(i.c) == i.type,
                "both arms have the result's type");
        break;
      case Signature::kConvert:
        takes(i.type);
        check_conversion(i);
        break;
    }
  }

  void check_source(const Inst& i) {
    switch (i.op) {
      case Op::kConst:
        require(size_of(i.type) == 8 || i.imm <= 0xffffffffu, "a 32-bit constant fits 32 bits");
        break;
      case Op::kScalar:
        require(has_words(i.slot, 1), "the scalar's word lies in the ArgBlock");
        break;
      case Op::kIota:
        require(has_words(i.slot, 1 + k_.n_axes()), "the iota's words lie in the ArgBlock");
        break;
      case Op::kLoad:
        moving_access();
        optional(i.a, Type::kI64, "an index is an i64");
        break;
      case Op::kStore:
        require(moving_access().stored, "a stored access is marked as stored");
        require(operand(i.a) == i.type, "the stored value has the store's type");
        optional(i.b, Type::kI64, "an index is an i64");
        break;
      default:
        check_reduce(i);
    }
  }

  void check_reduce(const Inst& i) const {
    require(in_loop(), "a reduction stands in a loop section");
    require(operand(i.a) == i.type, "the reduced value has the reduction's type");
    require(i.reduce <= ReduceKind::kMin, "the reduction's kind is known");
    if (k_.mode != Mode::kSplit && i.access == -1) return;
    require(i.access >= 0 && static_cast<std::size_t>(i.access) < k_.accesses.size(),
            "a split reduction has an access for its partials");
    const DType d = k_.accesses[static_cast<std::size_t>(i.access)].dtype;
    require(register_type(d) == i.type && flash::size_of(d) == size_of(i.type),
            "partials are stored in the reduction's own type");
  }

  void check_conversion(const Inst& i) const {
    const Type from = operand(i.a), to = i.type;
    switch (i.op) {
      case Op::kToPred:
        require(from != Type::kPred, "to_pred takes a number");
        break;
      case Op::kBitcast:
        require(
            size_of(from) == size_of(to) && is_float(from) != is_float(to) && from != Type::kPred,
            "a bitcast goes between an int and a float of one size");
        break;
      case Op::kTable:
        require(from == Type::kI32, "a table's index is an i32");
        require(i.imm < k_.tables.size(), "the table exists");
        break;
      default:  // kCast
        require(from != to, "a cast changes the type");
        require(from != Type::kPred || to == Type::kI32, "a predicate is cast to i32 only");
    }
  }

  const Kernel& k_;
  std::vector<int> home_;  // section that defines a value
  int section_ = 0;
  Value current_ = kNone;
};

}  // namespace

void verify(const Kernel& k) { Verifier(k).run(); }

}  // namespace flash::ir
