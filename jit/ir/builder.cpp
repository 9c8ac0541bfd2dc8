// jit/ir/builder.cpp -- emission with hash-consing and exact constant folding
#include "jit/ir/builder.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>

#include "core/error.h"
#include "jit/ir/op_info.h"
#include "jit/ir/scalar.h"

namespace flash::ir {
namespace {

template <class T>
std::uint64_t bits_of(T x) {
  if constexpr (sizeof(T) == 8)
    return std::bit_cast<std::uint64_t>(x);
  else
    return std::bit_cast<std::uint32_t>(x);
}
template <class T>
T value_of(std::uint64_t bits) {
  if constexpr (sizeof(T) == 8)
    return std::bit_cast<T>(bits);
  else
    return std::bit_cast<T>(static_cast<std::uint32_t>(bits));
}

using Folded = std::optional<std::uint64_t>;

// A NaN is left to run time: which NaN an operation gives differs between devices.
template <class T>
Folded number(T x) {
  if constexpr (std::is_floating_point_v<T>)
    if (x != x) return std::nullopt;
  return bits_of(x);
}

template <class T>
Folded fold(Op op, T a, T b, T c) {
  namespace s = scalar;
  switch (op) {
    case Op::kAdd:
      return number(s::add(a, b));
    case Op::kSub:
      return number(s::sub(a, b));
    case Op::kMul:
      return number(s::mul(a, b));
    case Op::kDiv:
      return number(s::div(a, b));
    case Op::kNeg:
      return number(s::neg(a));
    case Op::kAbs:
      return number(s::abs(a));
    case Op::kMax:
      return number(s::max(a, b));
    case Op::kMin:
      return number(s::min(a, b));
    default:
      break;
  }
  if constexpr (std::is_floating_point_v<T>) {
    if (op == Op::kFma) return number(std::fma(a, b, c));
    if (op == Op::kSqrt) return number(std::sqrt(a));
    if (op == Op::kScale) return number(s::scale(a, b));
  } else {
    switch (op) {
      case Op::kRem:
        return number(s::rem(a, b));
      case Op::kAnd:
        return number(static_cast<T>(a & b));
      case Op::kOr:
        return number(static_cast<T>(a | b));
      case Op::kXor:
        return number(static_cast<T>(a ^ b));
      case Op::kNot:
        return number(static_cast<T>(~a));
      case Op::kShl:
        return number(s::shl(a, b));
      case Op::kShrA:
        return number(s::shr_a(a, b));
      case Op::kShrL:
        return number(s::shr_l(a, b));
      default:
        break;
    }
  }
  return std::nullopt;
}

Folded fold_cast(Type from, Type to, std::uint64_t bits) {
  return scalar::dispatch(from, [&](auto f) {
    return scalar::dispatch(
        to, [&](auto t) { return number(scalar::cast<decltype(t)>(value_of<decltype(f)>(bits))); });
  });
}

std::uint64_t hash(const Inst& i) {
  std::uint64_t h = static_cast<std::uint64_t>(i.op) << 8 | static_cast<std::uint64_t>(i.type);
  for (const std::int32_t field : {i.a, i.b, i.c, i.guard, i.access, i.slot})
    h = (h ^ static_cast<std::uint32_t>(field)) * 0x9e3779b97f4a7c15u;
  h = (h ^ i.imm) * 0xd6e8feb86659fd93u;
  return h ^ (h >> 32);
}

bool same(const Inst& x, const Inst& y) {
  return x.op == y.op && x.type == y.type && x.a == y.a && x.b == y.b && x.c == y.c &&
         x.guard == y.guard && x.access == y.access && x.slot == y.slot && x.imm == y.imm;
}

// x op c == x for every x, signed zeros and infinities included.
bool right_identity(Op op, Type t, std::uint64_t c) {
  const std::uint64_t one = scalar::dispatch(t, [](auto z) { return bits_of(decltype(z)(1)); });
  const std::uint64_t sign = size_of(t) == 8 ? 0x8000000000000000u : 0x80000000u;
  const std::uint64_t ones = size_of(t) == 8 ? ~std::uint64_t{0} : 0xffffffffu;
  switch (op) {
    case Op::kAdd:
      return is_float(t) ? c == sign : c == 0;
    case Op::kMul:
    case Op::kDiv:
      return c == one;
    case Op::kSub:
    case Op::kOr:
    case Op::kXor:
    case Op::kShl:
    case Op::kShrA:
    case Op::kShrL:
      return c == 0;
    case Op::kAnd:
      return c == ones;
    default:
      return false;
  }
}

bool commutes(Op op) {
  return op == Op::kAdd || op == Op::kMul || op == Op::kAnd || op == Op::kOr || op == Op::kXor;
}

}  // namespace

void Builder::begin_row() {
  if (k_.sections.empty() || k_.sections.back().loop) k_.sections.push_back({false, {}});
}
void Builder::begin_loop() { k_.sections.push_back({true, {}}); }

Value Builder::emit(Inst inst, bool pure) {
  if (k_.sections.empty())
    throw InternalError("ir::Builder: an instruction was written before begin_row or begin_loop");
  const std::size_t here = k_.sections.size() - 1;
  const std::uint64_t h = pure ? hash(inst) : 0;
  if (pure) {
    const auto [first, last] = seen_.equal_range(h);
    for (auto it = first; it != last; ++it) {
      const Slot& s = it->second;
      // An iota of a row section is visible later, but there it counts the loop axes too.
      const bool visible =
          s.section == here || (!k_.sections[s.section].loop && inst.op != Op::kIota);
      if (visible && same(k_.insts[static_cast<std::size_t>(s.value)], inst)) return s.value;
    }
  }
  const auto v = static_cast<Value>(k_.insts.size());
  k_.insts.push_back(inst);
  k_.sections.back().body.push_back(v);
  if (pure) seen_.emplace(h, Slot{v, here});
  return v;
}

namespace {
Inst constant_inst(Type t, std::uint64_t bits) {
  Inst i;
  i.op = Op::kConst;
  i.type = t;
  i.imm = bits;
  return i;
}
}  // namespace

Value Builder::f32(float x) { return emit(constant_inst(Type::kF32, bits_of(x)), true); }
Value Builder::f64(double x) { return emit(constant_inst(Type::kF64, bits_of(x)), true); }
Value Builder::i32(std::int32_t x) { return emit(constant_inst(Type::kI32, bits_of(x)), true); }
Value Builder::i64(std::int64_t x) { return emit(constant_inst(Type::kI64, bits_of(x)), true); }

Value Builder::constant(Type t, double x) {
  if (t == Type::kPred) throw InternalError("ir::Builder::constant: there are no pred constants");
  const std::uint64_t bits =
      scalar::dispatch(t, [x](auto z) { return bits_of(scalar::cast<decltype(z)>(x)); });
  return emit(constant_inst(t, bits), true);
}

Value Builder::scalar(Type t, int slot) {
  Inst i;
  i.op = Op::kScalar;
  i.type = t;
  i.slot = slot;
  return emit(i, true);
}

Value Builder::iota(int slot) {
  Inst i;
  i.op = Op::kIota;
  i.type = Type::kI64;
  i.slot = slot;
  return emit(i, true);
}

Value Builder::load(int access, Type t, Value index, Value guard) {
  Inst i;
  i.op = Op::kLoad;
  i.type = t;
  i.access = access;
  i.a = index;
  i.guard = guard;
  // What this kernel itself stores through the access may change between two loads.
  return emit(i, !k_.accesses[static_cast<std::size_t>(access)].stored);
}

void Builder::store(int access, Value v, Value index, Value guard) {
  Inst i;
  i.op = Op::kStore;
  i.type = type(v);
  i.access = access;
  i.a = v;
  i.b = index;
  i.guard = guard;
  k_.accesses[static_cast<std::size_t>(access)].stored = true;
  emit(i, false);
}

Value Builder::reduce(ReduceKind kind, Value v, int partial_access, Value guard) {
  Inst i;
  i.op = Op::kReduce;
  i.type = type(v);
  i.reduce = kind;
  i.access = partial_access;
  i.a = v;
  i.guard = guard;
  return emit(i, false);
}

Value Builder::unary(Op op, Value a) {
  const Inst& x = k_.insts[static_cast<std::size_t>(a)];
  if (x.op == Op::kConst) {
    const Type t = x.type;
    const Folded bits = scalar::dispatch(t, [&](auto z) {
      using T = decltype(z);
      return fold<T>(op, value_of<T>(x.imm), T{}, T{});
    });
    if (bits) return emit(constant_inst(t, *bits), true);
  }
  const bool involution = op == Op::kNeg || op == Op::kNot || op == Op::kPNot;
  if (involution && x.op == op) return x.a;
  Inst i;
  i.op = op;
  i.type = x.type;
  i.a = a;
  return emit(i, true);
}

Value Builder::binary(Op op, Value a, Value b) {
  const Inst& x = k_.insts[static_cast<std::size_t>(a)];
  const Inst& y = k_.insts[static_cast<std::size_t>(b)];
  const Type t = x.type;
  if (x.op == Op::kConst && y.op == Op::kConst && y.type == t) {
    const Folded bits = scalar::dispatch(t, [&](auto z) {
      using T = decltype(z);
      return fold<T>(op, value_of<T>(x.imm), value_of<T>(y.imm), T{});
    });
    if (bits) return emit(constant_inst(t, *bits), true);
  }
  if (y.op == Op::kConst && y.type == t && right_identity(op, t, y.imm)) return a;
  if (x.op == Op::kConst && y.type == t && commutes(op) && right_identity(op, t, x.imm)) return b;
  Inst i;
  i.op = op;
  i.type = t;
  i.a = a;
  i.b = b;
  return emit(i, true);
}

Value Builder::fma(Value a, Value b, Value c) {
  const Inst& x = k_.insts[static_cast<std::size_t>(a)];
  const Inst& y = k_.insts[static_cast<std::size_t>(b)];
  const Inst& z = k_.insts[static_cast<std::size_t>(c)];
  if (x.op == Op::kConst && y.op == Op::kConst && z.op == Op::kConst && is_float(x.type) &&
      y.type == x.type && z.type == x.type) {
    const Type t = x.type;
    const Folded bits = t == Type::kF32
                            ? fold<float>(Op::kFma, value_of<float>(x.imm), value_of<float>(y.imm),
                                          value_of<float>(z.imm))
                            : fold<double>(Op::kFma, value_of<double>(x.imm),
                                           value_of<double>(y.imm), value_of<double>(z.imm));
    if (bits) return emit(constant_inst(t, *bits), true);
  }
  Inst i;
  i.op = Op::kFma;
  i.type = x.type;
  i.a = a;
  i.b = b;
  i.c = c;
  return emit(i, true);
}

Value Builder::compare(Op op, Value a, Value b) {
  Inst i;
  i.op = op;
  i.type = Type::kPred;
  i.a = a;
  i.b = b;
  return emit(i, true);
}

Value Builder::select(Value p, Value a, Value b) {
  if (a == b) return a;
  Inst i;
  i.op = Op::kSelect;
  i.type = type(a);
  i.a = p;
  i.b = a;
  i.c = b;
  return emit(i, true);
}

Value Builder::cast(Value a, Type to) {
  const Inst& x = k_.insts[static_cast<std::size_t>(a)];
  if (x.type == to) return a;
  if (x.op == Op::kConst && to != Type::kPred) {
    const Folded bits = fold_cast(x.type, to, x.imm);
    if (bits) return emit(constant_inst(to, *bits), true);
  }
  Inst i;
  i.op = Op::kCast;
  i.type = to;
  i.a = a;
  return emit(i, true);
}

Value Builder::to_pred(Value a) {
  if (type(a) == Type::kPred) return a;
  Inst i;
  i.op = Op::kToPred;
  i.type = Type::kPred;
  i.a = a;
  return emit(i, true);
}

Value Builder::bitcast(Value a, Type to) {
  const Inst& x = k_.insts[static_cast<std::size_t>(a)];
  if (x.type == to) return a;
  if (x.op == Op::kConst) return emit(constant_inst(to, x.imm), true);
  if (x.op == Op::kBitcast && type(x.a) == to) return x.a;
  Inst i;
  i.op = Op::kBitcast;
  i.type = to;
  i.a = a;
  return emit(i, true);
}

Value Builder::table(const Table& t, Value index) {
  const Inst& x = k_.insts[static_cast<std::size_t>(index)];
  if (x.op == Op::kConst) return f32(t[x.imm % t.size()]);
  using Bits = std::array<std::uint32_t, std::tuple_size_v<Table>>;  // -0 and NaN are told apart
  const auto equal = [&](const Table& u) {
    return std::bit_cast<Bits>(u) == std::bit_cast<Bits>(t);
  };
  const auto at = std::find_if(k_.tables.begin(), k_.tables.end(), equal);
  Inst i;
  i.op = Op::kTable;
  i.type = Type::kF32;
  i.a = index;
  i.imm = static_cast<std::uint64_t>(at - k_.tables.begin());
  if (at == k_.tables.end()) k_.tables.push_back(t);
  return emit(i, true);
}

}  // namespace flash::ir
