// jit/graph/rules.h -- the algebraic rules, as data: what may be replaced, by what, and why it is
// exact
//
// A rule holds bit for bit for −0, infinities and NaN (all NaNs being alike), for every dtype that
// its row names; what is only true for real numbers (x + 0 → x, x · 0 → 0, reassociation) is not
// here. Scalars are parameters of a plan, so no rule looks at a value. Rows that only hold for some
// shapes need none of their own: a value never takes the place of another whose dimensions differ.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "core/dtype.h"
#include "core/primitive.h"

namespace flash::jit {

/// Up to four primitives.
struct AnyOf {
  std::array<Prim, 4> prims{Prim::kCount, Prim::kCount, Prim::kCount, Prim::kCount};
  constexpr AnyOf(Prim a, Prim b = Prim::kCount, Prim c = Prim::kCount, Prim d = Prim::kCount)
      : prims{a, b, c, d} {}
  constexpr bool has(Prim p) const {
    return p != Prim::kCount && (p == prims[0] || p == prims[1] || p == prims[2] || p == prims[3]);
  }
};

inline constexpr unsigned kBools = 1u << static_cast<int>(DTypeKind::kBool);
inline constexpr unsigned kUnsigneds = 1u << static_cast<int>(DTypeKind::kUnsigned);
inline constexpr unsigned kSigneds = 1u << static_cast<int>(DTypeKind::kSigned);
inline constexpr unsigned kFloats = 1u << static_cast<int>(DTypeKind::kFloat);
inline constexpr unsigned kIntegers = kUnsigneds | kSigneds;
inline constexpr unsigned kNumbers = kIntegers | kFloats;
inline constexpr unsigned kAnyKind = kNumbers | kBools;

/// f(…, g(x, …), …) with g as operand `operand`.
struct NestedRule {
  AnyOf outer;
  int operand;
  AnyOf inner;
  unsigned kinds;  ///< of g's first operand
  enum Then : std::uint8_t {
    kIsInside,   ///< the value is x
    kIsOperand,  ///< the value is g(x, …)
    kBecomes,    ///< the value is `becomes` of f's operands, g replaced by g's operands
  } then;
  Prim becomes = Prim::kCount;
  bool swapped = false;  ///< kBecomes: the two operands change places
  std::string_view why;
};

inline constexpr AnyOf kToIntegral{Prim::kFloor, Prim::kCeil, Prim::kRound, Prim::kTrunc};

// clang-format off
inline constexpr NestedRule kNestedRules[] = {
    {Prim::kNeg, 0, Prim::kNeg, kNumbers, NestedRule::kIsInside, {}, {}, "the sign flips twice; integers wrap back"},
    {Prim::kNot, 0, Prim::kNot, kIntegers | kBools, NestedRule::kIsInside, {}, {}, "every bit flips twice"},
    {Prim::kAbs, 0, Prim::kAbs, kNumbers, NestedRule::kIsOperand, {}, {}, "the sign is clear already"},
    {Prim::kAbs, 0, Prim::kNeg, kSigneds | kFloats, NestedRule::kBecomes, Prim::kAbs, false, "the sign is cleared anyway"},
    {kToIntegral, 0, kToIntegral, kFloats, NestedRule::kIsOperand, {}, {}, "it is integral (or inf, NaN) already"},
    {Prim::kNot, 0, Prim::kEq, kAnyKind, NestedRule::kBecomes, Prim::kNe, false, "ne is true for NaN, eq false"},
    {Prim::kNot, 0, Prim::kNe, kAnyKind, NestedRule::kBecomes, Prim::kEq, false, "ne is true for NaN, eq false"},
    {Prim::kNot, 0, Prim::kLt, kIntegers | kBools, NestedRule::kBecomes, Prim::kLe, true, "a total order; not so with NaN"},
    {Prim::kNot, 0, Prim::kLe, kIntegers | kBools, NestedRule::kBecomes, Prim::kLt, true, "a total order; not so with NaN"},
    {Prim::kSub, 1, Prim::kNeg, kNumbers, NestedRule::kBecomes, Prim::kAdd, false, "IEEE 754 defines a - b as a + (-b)"},
    {Prim::kAdd, 1, Prim::kNeg, kNumbers, NestedRule::kBecomes, Prim::kSub, false, "IEEE 754 defines a - b as a + (-b)"},
    {Prim::kAdd, 0, Prim::kNeg, kNumbers, NestedRule::kBecomes, Prim::kSub, true, "IEEE 754 defines a - b as a + (-b)"},
};

/// Operations whose value is their operand when operands `a` and `b` are the same value.
struct SameRule {
  AnyOf op;
  int a, b;
  unsigned kinds;  ///< of the operands
  std::string_view why;
};
inline constexpr SameRule kSameRules[] = {
    {{Prim::kMaximum, Prim::kMinimum}, 0, 1, kAnyKind, "the larger of x and x"},
    {{Prim::kAnd, Prim::kOr}, 0, 1, kIntegers | kBools, "bits with themselves"},
    {{Prim::kAdd, Prim::kMul}, 0, 1, kBools, "or and and of truth values"},
    {Prim::kWhere, 1, 2, kAnyKind, "both branches are x"},
};
// clang-format on

/// Operations that do nothing when dtype and dimensions stay.
inline constexpr AnyOf kIdentities{Prim::kCopy, Prim::kExpand, Prim::kCast};

/// Operations whose operands may change places. Not maximum and minimum: they tell +0 from −0.
constexpr bool commutes(Prim p) {
  return AnyOf{Prim::kAdd, Prim::kMul, Prim::kEq, Prim::kNe}.has(p) ||
         AnyOf{Prim::kAnd, Prim::kOr, Prim::kXor}.has(p);
}

/// True if every value of `a` is also one of `b`: casting there and on loses nothing.
constexpr bool holds(DType b, DType a) {
  constexpr std::string_view kHeldBy[kNumDTypes] = {
      // bool u8 i8 i16 i32 i64 f16 bf16 f32 f64
      "1111111111",  // bool
      "0101111111",  // u8: 8 bits, as many as bf16's significand
      "0011111111",  // i8
      "0001110011",  // i16
      "0000110001",  // i32
      "0000010000",  // i64
      "0000001011",  // f16
      "0000000111",  // bf16
      "0000000011",  // f32
      "0000000001",  // f64
  };
  return kHeldBy[static_cast<std::size_t>(a)][static_cast<std::size_t>(b)] == '1';
}

}  // namespace flash::jit
