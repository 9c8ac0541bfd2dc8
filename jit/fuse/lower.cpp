// jit/fuse/lower.cpp -- the scalar meaning of every map primitive, written once for all devices
#include "jit/fuse/lower.h"

#include "core/error.h"
#include "core/mutants.h"
#include "jit/ir/math.h"

namespace flash::jit {
namespace {

using ir::Builder;
using ir::Op;
using ir::Type;
using ir::Value;

bool is_float(Type t) { return t == Type::kF32 || t == Type::kF64; }

Value p_not(Builder& b, Value p) { return b.unary(Op::kPNot, p); }
Value p_and(Builder& b, Value p, Value q) { return b.binary(Op::kPAnd, p, q); }
Value p_or(Builder& b, Value p, Value q) { return b.binary(Op::kPOr, p, q); }
Value zero(Builder& b, Value like) { return b.constant(b.type(like), 0.0); }
Value negative(Builder& b, Value v) { return b.compare(Op::kLt, v, zero(b, v)); }
Value p_xor(Builder& b, Value p, Value q) {
  return b.compare(Op::kNe, b.cast(p, Type::kI32), b.cast(q, Type::kI32));
}

/// Exact remainder with the sign of the dividend. f32 goes through f64. A step takes as many
/// multiples of y off as a quotient of 53 bits says, which leaves an exact number that is 2^52
/// times less. Those of f32 are less than 2^278, and six steps do; f64 gets four, and NaN where |x
/// / y| is 2^208 or more.
Value fmod_float(Builder& b, Value x, Value y) {
  const Type t = b.type(x);
  const Value a = b.cast(x, Type::kF64), d = b.cast(y, Type::kF64);
  Value r = a;
  for (int step = 0; step < (t == Type::kF64 ? 4 : 6); ++step)
    r = b.fma(b.unary(Op::kNeg, b.unary(Op::kTrunc, b.div(r, d))), d, r);
  const Value abs_d = b.unary(Op::kAbs, d), abs_a = b.unary(Op::kAbs, a);
  if (t == Type::kF64)
    r = b.select(b.compare(Op::kLt, abs_d, b.unary(Op::kAbs, r)), b.f64(__builtin_nan("")), r);
  // The quotient may have been rounded up to the next integer: then r has the other sign.
  const Value wrong =
      p_and(b, b.compare(Op::kNe, r, b.f64(0)), p_xor(b, negative(b, r), negative(b, a)));
  r = b.select(
      wrong, b.add(r, b.select(p_xor(b, negative(b, r), negative(b, d)), d, b.unary(Op::kNeg, d))),
      r);
  const Value inf = b.f64(__builtin_inf());
  const Value whole = p_and(b, b.compare(Op::kEq, abs_d, inf), b.compare(Op::kLt, abs_a, inf));
  r = b.select(whole, a, r);
  // A zero result has the sign of the dividend.
  const Value signed_zero = b.mul(a, b.f64(0));
  r = b.select(b.compare(Op::kEq, r, b.f64(0)), signed_zero, r);
  return b.cast(r, t);
}

Value remainder_float(Builder& b, Value x, Value y) {
  const Value r = fmod_float(b, x, y);
  const Value fix =
      p_and(b, b.compare(Op::kNe, r, zero(b, r)), p_xor(b, negative(b, r), negative(b, y)));
  return b.select(fix, b.add(r, y), r);
}

/// torch.floor_divide for floats: through the exact remainder, so that (x - r) / y is near an
/// integer.
Value floor_div_float(Builder& b, Value x, Value y) {
  const Type t = b.type(x);
  const Value r = fmod_float(b, x, y);
  Value q = b.div(b.sub(x, r), y);
  const Value fix =
      p_and(b, b.compare(Op::kNe, r, zero(b, r)), p_xor(b, negative(b, r), negative(b, y)));
  q = b.select(fix, b.sub(q, b.constant(t, 1)), q);
  const Value f = b.unary(Op::kFloor, q);
  const Value near =
      b.select(b.compare(Op::kLt, b.constant(t, 0.5), b.sub(q, f)), b.add(f, b.constant(t, 1)), f);
  const Value exact = b.div(x, y);
  const Value zeroed = b.mul(exact, b.constant(t, 0));  // keeps the sign of a zero quotient
  const Value nonzero = b.select(b.compare(Op::kEq, q, zero(b, q)), zeroed, near);
  return b.select(b.compare(Op::kEq, y, zero(b, y)), exact, nonzero);
}

Value remainder_int(Builder& b, Value x, Value y) {
  const Value r = b.binary(Op::kRem, x, y);
  const Value fix =
      p_and(b, b.compare(Op::kNe, r, zero(b, r)), negative(b, b.binary(Op::kXor, r, y)));
  // y == 0 leaves r = x, which may differ from y in sign: no fix, adding 0 changes nothing.
  return b.select(fix, b.add(r, y), r);
}

Value floor_div_int(Builder& b, Value x, Value y) {
  const Value q = b.div(x, y), r = b.binary(Op::kRem, x, y);
  const Value inexact =
      p_and(b, b.compare(Op::kNe, r, zero(b, r)), b.compare(Op::kNe, y, zero(b, y)));
  const Value fix = p_and(b, inexact, negative(b, b.binary(Op::kXor, r, y)));
  return b.select(fix, b.sub(q, b.constant(b.type(q), 1)), q);
}

/// Powers of integers by repeated squaring, wrapping; a negative exponent leaves only ±1.
Value pow_int(Builder& b, Value x, Value y) {
  const Type t = b.type(x);
  const Value one = b.constant(t, 1);
  Value result = one, base = x;
  const int bits = t == Type::kI64 ? 63 : 31;
  for (int i = 0; i < bits; ++i) {
    const Value bit = b.to_pred(b.binary(Op::kAnd, y, b.binary(Op::kShl, one, b.constant(t, i))));
    result = b.select(bit, b.mul(result, base), result);
    if (i + 1 < bits) base = b.mul(base, base);
  }
  const Value minus = b.constant(t, -1);
  const Value odd = b.to_pred(b.binary(Op::kAnd, y, one));
  const Value small =
      b.select(b.compare(Op::kEq, x, one), one,
               b.select(b.compare(Op::kEq, x, minus), b.select(odd, minus, one), zero(b, x)));
  return b.select(negative(b, y), small, result);
}

/// Shifts by a count outside of the register's width, which the instruction would take modulo it:
/// nothing is left of the number, or its sign. Narrow integers lie extended in their registers, so
/// a count between their width and the register's does that by itself.
Value shift(Builder& b, Op op, Value x, Value count) {
  const Type t = b.type(x);
  const Value width = b.constant(t, t == Type::kI64 ? 64 : 32);
  const Value inside =
      p_and(b, b.compare(Op::kLe, zero(b, count), count), b.compare(Op::kLt, count, width));
  if (op == Op::kShl) return b.select(inside, b.binary(op, x, count), zero(b, x));
  const Value last = b.constant(t, t == Type::kI64 ? 63 : 31);
  return b.binary(op, x, b.select(inside, count, last));
}

Value cast_value(Builder& b, Value v, DType from, DType to) {
  if (to == DType::kBool) return from == DType::kBool ? v : b.to_pred(v);
  const Type t = register_type(to);
  // Through i64, so that a float beyond i32 wraps alike in all narrow types.
  if (is_float(b.type(v)) && t == Type::kI32 && to != DType::kI32) v = b.cast(v, Type::kI64);
  if (b.type(v) == Type::kPred) v = b.cast(v, Type::kI32);
  return round_to(b, b.cast(v, t), to);
}

Value lower_bool(Builder& b, Prim op, std::span<const Value> in) {
  switch (op) {
    case Prim::kAdd:
    case Prim::kOr:
    case Prim::kMaximum:
      return p_or(b, in[0], in[1]);
    case Prim::kMul:
    case Prim::kAnd:
    case Prim::kMinimum:
      return p_and(b, in[0], in[1]);
    case Prim::kXor:
    case Prim::kNe:
      return p_xor(b, in[0], in[1]);
    case Prim::kEq:
      return p_not(b, p_xor(b, in[0], in[1]));
    case Prim::kLt:
      return p_and(b, p_not(b, in[0]), in[1]);
    case Prim::kLe:
      return p_or(b, p_not(b, in[0]), in[1]);
    case Prim::kNot:
      return p_not(b, in[0]);
    case Prim::kWhere:
      return p_or(b, p_and(b, in[0], in[1]), p_and(b, p_not(b, in[0]), in[2]));
    default:
      throw InternalError("lower: " + std::string(info(op).name) + " of bool");
  }
}

Value lower_number(Builder& b, Prim op, std::span<const Value> in) {
  const Value x = in[0];
  const Value y = in.size() > 1 ? in[1] : ir::kNone;
  const bool f = is_float(b.type(in.back()));
  switch (op) {
    case Prim::kNeg:
      return b.unary(Op::kNeg, x);
    case Prim::kAbs:
      return b.unary(Op::kAbs, x);
    case Prim::kSqrt:
      return b.unary(Op::kSqrt, x);
    case Prim::kRsqrt:
      return ir::rsqrt(b, x);
    case Prim::kExp:
      return ir::exp(b, x);
    case Prim::kExpm1:
      return ir::expm1(b, x);
    case Prim::kLog:
      return ir::log(b, x);
    case Prim::kLog1p:
      return ir::log1p(b, x);
    case Prim::kTanh:
      return ir::tanh(b, x);
    case Prim::kSigmoid:
      return ir::sigmoid(b, x);
    case Prim::kSilu:
      return ir::silu(b, x);
    case Prim::kGelu:
      return ir::gelu(b, x);
    case Prim::kErf:
      return ir::erf(b, x);
    case Prim::kSin:
      return ir::sin(b, x);
    case Prim::kCos:
      return ir::cos(b, x);
    case Prim::kFloor:
      return b.unary(Op::kFloor, x);
    case Prim::kCeil:
      return b.unary(Op::kCeil, x);
    case Prim::kRound:
      return b.unary(Op::kRint, x);
    case Prim::kTrunc:
      return b.unary(Op::kTrunc, x);
    case Prim::kNot:
      return b.unary(Op::kNot, x);
    case Prim::kAdd:
      return b.add(x, y);
    case Prim::kSub:
      return b.sub(x, y);
    case Prim::kMul:
      return b.mul(x, y);
    case Prim::kDiv:
      return b.div(x, y);
    case Prim::kFloorDiv:
      return f ? floor_div_float(b, x, y) : floor_div_int(b, x, y);
    case Prim::kRem:
      return f ? remainder_float(b, x, y) : remainder_int(b, x, y);
    case Prim::kFmod:
      return f ? fmod_float(b, x, y) : b.binary(Op::kRem, x, y);
    case Prim::kPow:
      return f ? ir::pow(b, x, y) : pow_int(b, x, y);
    case Prim::kMaximum:
      return b.binary(Op::kMax, x, y);
    case Prim::kMinimum:
      return b.binary(Op::kMin, x, y);
    case Prim::kEq:
      return b.compare(Op::kEq, x, y);
    case Prim::kNe:
      return b.compare(Op::kNe, x, y);
    case Prim::kLt:
      return b.compare(Op::kLt, x, y);
    case Prim::kLe:
      return b.compare(Op::kLe, x, y);
    case Prim::kAnd:
      return b.binary(Op::kAnd, x, y);
    case Prim::kOr:
      return b.binary(Op::kOr, x, y);
    case Prim::kXor:
      return b.binary(Op::kXor, x, y);
    case Prim::kShl:
      return shift(b, Op::kShl, x, y);
    case Prim::kShr:
      return shift(b, Op::kShrA, x, y);
    case Prim::kWhere:
      return b.select(x, y, in[2]);
    case Prim::kFma:
      return b.fma(x, y, in[2]);
    default:
      throw InternalError("lower: " + std::string(info(op).name) + " is not a map");
  }
}

}  // namespace

ir::Type memory_type(DType d) {
  switch (d) {
    case DType::kI64:
      return Type::kI64;
    case DType::kF64:
      return Type::kF64;
    case DType::kF16:
    case DType::kBF16:
    case DType::kF32:
      return Type::kF32;
    default:
      return Type::kI32;
  }
}
ir::Type register_type(DType d) { return d == DType::kBool ? Type::kPred : memory_type(d); }

Value from_memory(Builder& b, Value v, DType d) { return d == DType::kBool ? b.to_pred(v) : v; }
Value to_memory(Builder& b, Value v, DType d) {
  return d == DType::kBool ? b.cast(v, Type::kI32) : v;
}

Value round_to(Builder& b, Value v, DType d) {
  switch (d) {
    case DType::kF16:
      return b.unary(Op::kRoundF16, v);
    case DType::kBF16:
      return mutant(Mutant::kBfloatRounding) ? v : b.unary(Op::kRoundBF16, v);
    case DType::kI8:
      return b.unary(Op::kWrapI8, v);
    case DType::kU8:
      return b.unary(Op::kWrapU8, v);
    case DType::kI16:
      return b.unary(Op::kWrapI16, v);
    default:
      return v;
  }
}

Value lower_map(Builder& b, Prim op, std::span<const Value> in, DType from, DType to) {
  if (op == Prim::kCopy || op == Prim::kExpand) return in[0];
  if (op == Prim::kCast) return cast_value(b, in[0], from, to);
  if (from == DType::kBool) return lower_bool(b, op, in);
  const Value v = lower_number(b, op, in);
  return to == DType::kBool ? v : round_to(b, v, to);
}

Value lower_uniform(Builder& b, Value index, Value seed, Value first, DType dtype) {
  const auto low = [&](Value v) { return b.cast(v, Type::kI32); };
  const auto high = [&](Value v) { return b.cast(b.binary(Op::kShrL, v, b.i64(32)), Type::kI32); };
  const int per_block = dtype == DType::kF64 ? 2 : 4;  // elements of a block of four words
  if (mutant(Mutant::kPhiloxOffset)) first = b.i64(0);
  const Value block = b.add(first, b.binary(Op::kShrL, index, b.i64(per_block == 4 ? 2 : 1)));
  const Value at = low(b.binary(Op::kAnd, index, b.i64(per_block - 1)));
  const auto word = [&](Value w) {
    return ir::philox(b, low(block), high(block), low(seed), high(seed), w);
  };
  if (dtype != DType::kF64) return ir::uniform_f32(b, word(at));
  const Value w = b.add(at, at);
  return ir::uniform_f64(b, word(b.add(w, b.i32(1))), word(w));
}

ir::ReduceKind reduce_kind(Prim op) {
  switch (op) {
    case Prim::kSum:
      return ir::ReduceKind::kSum;
    case Prim::kProd:
      return ir::ReduceKind::kProd;
    case Prim::kMax:
      return ir::ReduceKind::kMax;
    case Prim::kMin:
      return ir::ReduceKind::kMin;
    default:
      throw InternalError("lower: " + std::string(info(op).name) + " is not a reduction");
  }
}

}  // namespace flash::jit
