// jit/ir/builder.h -- writes kernel IR: typed, hash-consed, constants folded where that is exact
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>

#include "jit/ir/kernel.h"

namespace flash::ir {

/// Appends instructions to a kernel's current section. Equal pure instructions that are already
/// visible are not written again, so that callers may ask for the same subexpression freely.
class Builder {
 public:
  explicit Builder(Kernel& k) : k_(k) {}

  void begin_row();   ///< opens a row section (reuses the current one if it is a row section)
  void begin_loop();  ///< always opens a new loop section

  Type type(Value v) const { return k_.insts[static_cast<std::size_t>(v)].type; }

  /// The bits of a kConst (as Inst::imm), nothing for any other value.
  std::optional<std::uint64_t> constant_bits(Value v) const {
    const Inst& i = k_.insts[static_cast<std::size_t>(v)];
    return i.op == Op::kConst ? std::optional(i.imm) : std::nullopt;
  }

  Value f32(float x);
  Value f64(double x);
  Value i32(std::int32_t x);
  Value i64(std::int64_t x);
  Value constant(Type t, double x);  ///< x converted to t (any type but kPred)

  Value scalar(Type t, int slot);
  Value iota(int slot);
  Value load(int access, Type t, Value index = kNone, Value guard = kNone);
  void store(int access, Value v, Value index = kNone, Value guard = kNone);
  Value reduce(ReduceKind kind, Value v, int partial_access, Value guard = kNone);

  Value unary(Op op, Value a);
  Value binary(Op op, Value a, Value b);
  Value add(Value a, Value b) { return binary(Op::kAdd, a, b); }
  Value sub(Value a, Value b) { return binary(Op::kSub, a, b); }
  Value mul(Value a, Value b) { return binary(Op::kMul, a, b); }
  Value div(Value a, Value b) { return binary(Op::kDiv, a, b); }
  Value fma(Value a, Value b, Value c);
  Value compare(Op op, Value a, Value b);  ///< kEq kNe kLt kLe
  Value select(Value p, Value a, Value b);
  Value cast(Value a, Type to);  ///< no-op when already `to`
  Value to_pred(Value a);
  Value bitcast(Value a, Type to);
  Value table(const Table& t, Value index);  ///< equal tables are kept once

 private:
  struct Slot {
    Value value;
    std::size_t section;
  };
  Value emit(Inst inst, bool pure);
  Kernel& k_;
  std::unordered_multimap<std::uint64_t, Slot> seen_;
};

}  // namespace flash::ir
