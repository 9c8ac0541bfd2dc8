// jit/emit/clike/generic_cases.cpp -- the cases: one for each op and the types that it takes
//
// A statement computes register d from registers a, b and c, by the functions that compiled kernels
// call; generic_function.cpp says what else is in scope.
#include "jit/emit/clike/generic_cases.h"

#include <map>

#include "core/error.h"
#include "jit/ir/op_info.h"

namespace flash::emit::generic {
namespace {

using ir::Inst;
using ir::Op;
using ir::Type;

constexpr Type kTypes[] = {Type::kPred, Type::kI32, Type::kI64, Type::kF32, Type::kF64};
constexpr DType kDTypes[] = {DType::kBool, DType::kU8,  DType::kI8,   DType::kI16, DType::kI32,
                             DType::kI64,  DType::kF16, DType::kBF16, DType::kF32, DType::kF64};

std::string text(std::string_view s) { return std::string(s); }
std::string str(std::int64_t n) { return std::to_string(n); }
bool takes(std::uint8_t types, Type t) { return (types & ir::type_bit(t)) != 0; }

}  // namespace

CaseKey key_of(const ir::Kernel& k, const Inst& i) {
  const auto number = [](auto x) { return static_cast<int>(x); };
  if (i.op == Op::kLoad || i.op == Op::kStore)
    return {i.op, number(k.accesses[static_cast<std::size_t>(i.access)].dtype), 0};
  if (i.op == Op::kConst || i.op == Op::kReduce || i.op == Op::kTable) return {i.op, 0, 0};
  const auto operand = [&] { return number(k.insts[static_cast<std::size_t>(i.a)].type); };
  switch (ir::info(i.op).signature) {
    case ir::Signature::kCompare:
      return {i.op, operand(), 0};
    case ir::Signature::kConvert:
      return {i.op, number(i.type), operand()};
    default:
      return {i.op, number(i.type), 0};
  }
}

std::vector<std::pair<CaseKey, std::string>> all_cases() {
  std::vector<std::pair<CaseKey, std::string>> all;
  const auto add = [&](Op op, Type type, int from, const std::string& value) {
    all.push_back({{op, static_cast<int>(type), from},
                   "r[d] = BITS_" + text(ir::name(type)) + "(" + value + ");"});
  };
  const auto reg = [](Type t, const char* operand) {
    return "AS_" + text(ir::name(t)) + "(r[" + operand + "])";
  };
  const auto address = [](DType t) { return "ADDRESS(" + str(flash::size_of(t)) + ")"; };

  all.push_back({{Op::kConst, 0, 0}, "r[d] = u64(f[3]) << 32 | u64(f[2]);"});
  all.push_back(
      {{Op::kTable, 0, 0}, "r[d] = u64(CODE(CODE(7) + f[6] * 16u + u32(AS_i32(r[a]) & 15)));"});
  all.push_back({{Op::kReduce, 0, 0},
                 "if (on) {\n        const u32 q = f[6] + (f[7] != 0u ? u32(second) : 0u);\n"
                 "        acc[q] = generic_combine(c, acc[q], r[a]);\n      }"});
  for (const DType t : kDTypes) {
    const Type type = ir::register_type(t);
    const std::string name(flash::name(t));
    const auto number = static_cast<int>(t);
    all.push_back({{Op::kLoad, number, 0},
                   "r[d] = on ? BITS_" + text(ir::name(type)) + "(load_" + name + "(" + address(t) +
                       ")) : u64(0);"});
    all.push_back(
        {{Op::kStore, number, 0},
         "if (on && writes) store_" + name + "(" + address(t) + ", " + reg(type, "a") + ");"});
  }
  for (std::size_t o = 0; o < ir::kOps.size(); ++o) {
    const ir::OpInfo& info = ir::kOps[o];
    const auto op = static_cast<Op>(o);
    const std::string name(info.name);
    constexpr const char* kOperands[] = {"a", "b", "c"};
    const auto call = [&](const std::string& function, Type t) {
      std::string s = function + "(";
      for (int n = 0; n < info.arity; ++n) s += (n > 0 ? ", " : "") + reg(t, kOperands[n]);
      return s + ")";
    };
    for (const Type t : kTypes) {
      const std::string type(ir::name(t));
      switch (info.signature) {
        case ir::Signature::kSource:
          if (op == Op::kScalar && t != Type::kPred) add(op, t, 0, "word_" + type + "(WORD(f[6]))");
          if (op == Op::kIota && t == Type::kI64)
            add(op, t, 0, "generic_position(words, f[6], index, axes)");
          break;
        case ir::Signature::kSame:
          if (takes(info.types, t)) add(op, t, 0, call(name + "_" + type, t));
          break;
        case ir::Signature::kCompare:
          if (!takes(info.types, t)) break;
          all.push_back({{op, static_cast<int>(t), 0},
                         "r[d] = BITS_pred(" + call(name + "_" + type, t) + ");"});
          break;
        case ir::Signature::kPredicate:
          if (t == Type::kPred) add(op, t, 0, call(name, t));
          break;
        case ir::Signature::kSelect:
          if (takes(info.types, t))
            add(op, t, 0,
                name + "_" + type + "(" + reg(Type::kPred, "a") + ", " + reg(t, "b") + ", " +
                    reg(t, "c") + ")");
          break;
        case ir::Signature::kConvert:
          if (op == Op::kTable) break;
          for (const Type from : kTypes) {
            const std::string source(ir::name(from));
            const auto n = static_cast<int>(from);
            const bool same_size = t != from && ir::size_of(t) == ir::size_of(from) &&
                                   ir::is_float(t) != ir::is_float(from);
            if (op == Op::kToPred && t == Type::kPred && from != Type::kPred)
              add(op, t, n, name + "_" + source + "(" + reg(from, "a") + ")");
            if ((op == Op::kCast && t != Type::kPred && (from != Type::kPred || t == Type::kI32)) ||
                (op == Op::kBitcast && t != Type::kPred && from != Type::kPred && same_size))
              add(op, t, n, name + "_" + type + "_" + source + "(" + reg(from, "a") + ")");
          }
          break;
      }
    }
  }
  return all;
}

std::uint32_t case_of(const CaseKey& key) {
  static const std::map<CaseKey, std::uint32_t> numbers = [] {
    std::map<CaseKey, std::uint32_t> all;
    std::uint32_t number = 0;
    for (const auto& [k, statement] : all_cases()) all.emplace(k, number++);
    return all;
  }();
  const auto found = numbers.find(key);
  if (found == numbers.end())
    throw InternalError("generic kernel: no case for " + text(ir::info(std::get<Op>(key)).name) +
                        " of these types");
  return found->second;
}

}  // namespace flash::emit::generic
