// jit/ir/op_info.h -- the table of kernel IR operations: names, operands, the types each one takes
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "jit/ir/kernel.h"

namespace flash::ir {

/// How an operation's types relate.
enum class Signature : std::uint8_t {
  kSource,     ///< kConst, kScalar, kIota, kLoad, kStore, kReduce: checked one by one
  kSame,       ///< every operand has the type of the result
  kCompare,    ///< two operands of one type → kPred
  kPredicate,  ///< operands and result are kPred
  kSelect,     ///< kPred, then two operands of the result's type
  kConvert,    ///< one operand of another type
};

constexpr std::uint8_t type_bit(Type t) {
  return static_cast<std::uint8_t>(1u << static_cast<unsigned>(t));
}
inline constexpr std::uint8_t kFloatTypes = type_bit(Type::kF32) | type_bit(Type::kF64);
inline constexpr std::uint8_t kIntTypes = type_bit(Type::kI32) | type_bit(Type::kI64);
inline constexpr std::uint8_t kNumberTypes = kFloatTypes | kIntTypes;
inline constexpr std::uint8_t kPredType = type_bit(Type::kPred);
inline constexpr std::uint8_t kAllTypes = kNumberTypes | kPredType;

struct OpInfo {
  std::string_view name;
  int arity;  ///< operands a, b, c that must be there (kLoad, kStore: without the index)
  Signature signature;
  std::uint8_t types;  ///< of the operands (kCompare, kSame, kSelect), else of the result
};

inline constexpr std::array<OpInfo, static_cast<std::size_t>(Op::kCount)> kOps = {{
    {"const", 0, Signature::kSource, kNumberTypes},
    {"scalar", 0, Signature::kSource, kNumberTypes},
    {"iota", 0, Signature::kSource, type_bit(Type::kI64)},
    {"load", 0, Signature::kSource, kNumberTypes},
    {"store", 1, Signature::kSource, kNumberTypes},
    {"reduce", 1, Signature::kSource, kNumberTypes},
    {"add", 2, Signature::kSame, kNumberTypes},
    {"sub", 2, Signature::kSame, kNumberTypes},
    {"mul", 2, Signature::kSame, kNumberTypes},
    {"div", 2, Signature::kSame, kNumberTypes},
    {"rem", 2, Signature::kSame, kIntTypes},
    {"neg", 1, Signature::kSame, kNumberTypes},
    {"abs", 1, Signature::kSame, kNumberTypes},
    {"max", 2, Signature::kSame, kNumberTypes},
    {"min", 2, Signature::kSame, kNumberTypes},
    {"fma", 3, Signature::kSame, kFloatTypes},
    {"sqrt", 1, Signature::kSame, kFloatTypes},
    {"scale", 2, Signature::kSame, kFloatTypes},
    {"floor", 1, Signature::kSame, kFloatTypes},
    {"ceil", 1, Signature::kSame, kFloatTypes},
    {"rint", 1, Signature::kSame, kFloatTypes},
    {"trunc", 1, Signature::kSame, kFloatTypes},
    {"and", 2, Signature::kSame, kIntTypes},
    {"or", 2, Signature::kSame, kIntTypes},
    {"xor", 2, Signature::kSame, kIntTypes},
    {"not", 1, Signature::kSame, kIntTypes},
    {"shl", 2, Signature::kSame, kIntTypes},
    {"shr_a", 2, Signature::kSame, kIntTypes},
    {"shr_l", 2, Signature::kSame, kIntTypes},
    {"mul_hi_u", 2, Signature::kSame, type_bit(Type::kI32)},
    {"eq", 2, Signature::kCompare, kNumberTypes},
    {"ne", 2, Signature::kCompare, kNumberTypes},
    {"lt", 2, Signature::kCompare, kNumberTypes},
    {"le", 2, Signature::kCompare, kNumberTypes},
    {"p_and", 2, Signature::kPredicate, kPredType},
    {"p_or", 2, Signature::kPredicate, kPredType},
    {"p_not", 1, Signature::kPredicate, kPredType},
    {"select", 3, Signature::kSelect, kNumberTypes},
    {"cast", 1, Signature::kConvert, kNumberTypes},
    {"to_pred", 1, Signature::kConvert, kPredType},
    {"bitcast", 1, Signature::kConvert, kNumberTypes},
    {"round_f16", 1, Signature::kSame, type_bit(Type::kF32)},
    {"round_bf16", 1, Signature::kSame, type_bit(Type::kF32)},
    {"wrap_i8", 1, Signature::kSame, type_bit(Type::kI32)},
    {"wrap_u8", 1, Signature::kSame, type_bit(Type::kI32)},
    {"wrap_i16", 1, Signature::kSame, type_bit(Type::kI32)},
    {"table", 1, Signature::kConvert, type_bit(Type::kF32)},
}};

constexpr const OpInfo& info(Op op) { return kOps[static_cast<std::size_t>(op)]; }

constexpr std::string_view name(Type t) {
  constexpr std::string_view kNames[] = {"pred", "i32", "i64", "f32", "f64"};
  return kNames[static_cast<std::size_t>(t)];
}

constexpr bool is_float(Type t) { return t == Type::kF32 || t == Type::kF64; }
constexpr int size_of(Type t) { return t == Type::kI64 || t == Type::kF64 ? 8 : 4; }

/// What a load of this storage type defines, and what a store to it takes.
constexpr Type register_type(DType d) {
  switch (d) {
    case DType::kF16:
    case DType::kBF16:
    case DType::kF32:
      return Type::kF32;
    case DType::kF64:
      return Type::kF64;
    case DType::kI64:
      return Type::kI64;
    default:
      return Type::kI32;
  }
}

}  // namespace flash::ir
