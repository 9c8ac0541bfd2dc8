// jit/emit/x86/simd.cpp -- what both instruction sets share: operands, constants, the op switch
#include "jit/emit/x86/simd.h"

#include <bit>

#include "core/error.h"

namespace flash::emit::x64 {

x86::Vec Simd::reg() const {
  return bytes == 64 ? static_cast<x86::Vec>(cc_.newZmm()) : static_cast<x86::Vec>(cc_.newYmm());
}

x86::Vec Simd::similar(const x86::Vec& v) const {
  if (v.isXmm()) return cc_.newXmm();
  return v.isYmm() ? static_cast<x86::Vec>(cc_.newYmm()) : static_cast<x86::Vec>(cc_.newZmm());
}

x86::Vec Simd::in_reg(Val& a, int part) {
  if (!a.v[0].isValid()) {
    x86::Vec r = reg();
    if (a.constant && a.bits == 0) {
      emit(xor_id(a.type), r, r, r);
    } else {
      load_pooled(r, a.type, a.mem);
    }
    a.v[0] = a.v[1] = r;
  }
  return a.v[static_cast<std::size_t>(part)];
}

asmjit::Operand Simd::operand(Val& a, int part) {
  if (!a.v[0].isValid()) return a.mem;
  return a.v[static_cast<std::size_t>(part)];
}

Val Simd::constant(Type t, std::uint64_t bits) {
  Val r;
  r.type = t;
  r.uniform = true;
  r.constant = true;
  r.bits = is_wide(t) ? bits : bits & 0xffffffffu;
  r.mem = pooled(t, r.bits);
  return r;
}

Val Simd::zero(Type t) { return constant(t, 0); }

Val Simd::broadcast(Type t, const x86::Vec& lane0) {
  return build(t, true, [&](int) {
    x86::Vec r = reg();
    InstId id = I::kIdVbroadcastss;
    if (t == Type::kF64) id = I::kIdVbroadcastsd;
    if (t == Type::kI32) id = I::kIdVpbroadcastd;
    if (t == Type::kI64) id = I::kIdVpbroadcastq;
    emit(id, r, lane0.xmm());
    return r;
  });
}

void Simd::to_gp(const x86::Gp& g, const x86::Vec& v) {
  // By way of a register that lives for one instruction: Asmjit takes a spilled source for a memory
  // operand, which this move does not have.
  x86::Vec x = cc_.newXmm();
  emit(I::kIdVmovaps, x, v.xmm());
  emit(g.size() == 8 ? I::kIdVmovq : I::kIdVmovd, g, x);
}

void Simd::copy(const x86::Vec& dst, const x86::Vec& src) { emit(I::kIdVmovaps, dst, src); }

Val Simd::vertical(InstId id, Type t, Val& a) {
  return build(t, a.uniform, [&](int p) {
    x86::Vec r = reg();
    emit(id, r, operand(a, p));
    return r;
  });
}

Val Simd::vertical(InstId id, Type t, Val& a, Val& b) {
  return build(t, a.uniform && b.uniform, [&](int p) {
    x86::Vec r = reg();
    emit(id, r, in_reg(a, p), operand(b, p));
    return r;
  });
}

Val Simd::vertical_imm(InstId id, Type t, Val& a, int i) {
  return build(t, a.uniform, [&](int p) {
    x86::Vec r = reg();
    emit(id, r, in_reg(a, p), imm(i));
    return r;
  });
}

namespace {

InstId pick(const Mnemonics* m, Type t) {
  if (m == nullptr) return I::kIdNone;
  switch (t) {
    case Type::kI32:
      return m->i32;
    case Type::kI64:
      return m->i64;
    case Type::kF32:
      return m->f32;
    case Type::kF64:
      return m->f64;
    case Type::kPred:
      break;
  }
  return I::kIdNone;
}

bool commutes(Op op) {
  return op == Op::kAdd || op == Op::kMul || op == Op::kAnd || op == Op::kOr || op == Op::kXor;
}

constexpr std::uint64_t sign_bit(Type t) { return is_wide(t) ? 1ull << 63 : 1ull << 31; }

}  // namespace

Val Simd::apply(const ir::Inst& inst, Val* a, Val* b, Val* c, Dying dying) {
  const Type t = inst.type;
  switch (inst.op) {
    case Op::kAdd:
    case Op::kSub:
    case Op::kMul:
    case Op::kAnd:
    case Op::kOr:
    case Op::kXor:
    case Op::kSqrt: {
      const InstId id = pick(mnemonics(inst.op), t);
      if (inst.op == Op::kSqrt) return vertical(id, t, *a);
      if (id == I::kIdNone) return mul_i64(*a, *b);
      if (commutes(inst.op) && a->empty()) std::swap(a, b);  // the memory operand comes second
      return vertical(id, t, *a, *b);
    }
    case Op::kDiv:
      if (is_float(t)) return vertical(pick(mnemonics(Op::kDiv), t), t, *a, *b);
      return divide(inst.op, *a, *b);
    case Op::kRem:
      return divide(inst.op, *a, *b);
    case Op::kMax:
    case Op::kMin: {
      if (is_float(t)) return float_min_max(inst.op, *a, *b);
      const InstId id = pick(mnemonics(inst.op), t);
      return id != I::kIdNone ? vertical(id, t, *a, *b) : min_max_i64(inst.op, *a, *b);
    }
    case Op::kNeg: {
      if (is_float(t)) {
        Val sign = constant(t, sign_bit(t));
        return vertical(xor_id(t), t, *a, sign);
      }
      Val z = zero(t);
      return vertical(pick(mnemonics(Op::kSub), t), t, z, *a);
    }
    case Op::kAbs: {
      if (is_float(t)) {
        Val rest = constant(t, sign_bit(t) - 1);
        return vertical(and_id(t), t, *a, rest);
      }
      return t == Type::kI32 ? vertical(I::kIdVpabsd, t, *a) : abs_i64(*a);
    }
    case Op::kFma:
      return fma(*a, *b, *c, dying);
    case Op::kScale:
      return scale(*a, *b);
    // Immediates: rounding mode, bit 3 suppresses the inexact flag.
    case Op::kFloor:
      return vertical_imm(round_id(t), t, *a, 9);
    case Op::kCeil:
      return vertical_imm(round_id(t), t, *a, 10);
    case Op::kRint:
      return vertical_imm(round_id(t), t, *a, 8);
    case Op::kTrunc:
      return vertical_imm(round_id(t), t, *a, 11);
    case Op::kNot: {
      Val ones = constant(t, ~0ull);
      return vertical(xor_id(t), t, *a, ones);
    }
    case Op::kShl:
    case Op::kShrA:
    case Op::kShrL:
      return shift(inst.op, *a, *b);
    case Op::kMulHiU:
      return mul_hi(*a, *b);
    case Op::kEq:
    case Op::kNe:
    case Op::kLt:
    case Op::kLe:
      return compare(inst.op, *a, *b);
    case Op::kPAnd:
      return pred_and(*a, *b);
    case Op::kPOr:
      return pred_or(*a, *b);
    case Op::kPNot:
      return pred_not(*a);
    case Op::kSelect:
      return select(*a, *b, *c);
    case Op::kCast:
      return cast(*a, t);
    case Op::kToPred: {
      Val z = zero(a->type);
      return compare(Op::kNe, *a, z);
    }
    case Op::kBitcast: {
      a->fresh = a->fresh && dying.a;  // two values in one register: neither may be overwritten
      Val r = *a;
      r.type = t;
      return r;
    }
    case Op::kRoundF16:
      return round_half(*a);
    case Op::kRoundBF16:
      return round_bfloat(*a);
    case Op::kWrapU8: {
      Val low = constant(t, 0xff);
      return vertical(and_id(t), t, *a, low);
    }
    case Op::kWrapI8:
    case Op::kWrapI16: {
      const int n = inst.op == Op::kWrapI8 ? 24 : 16;
      Val up = vertical_imm(I::kIdVpslld, t, *a, n);
      return vertical_imm(I::kIdVpsrad, t, up, n);
    }
    case Op::kConst:
    case Op::kScalar:
    case Op::kIota:
    case Op::kLoad:
    case Op::kStore:
    case Op::kReduce:
    case Op::kTable:
    case Op::kCount:
      break;
  }
  throw InternalError("x86 emitter: instruction without a vector form");
}

void Simd::combine(ir::ReduceKind kind, Type t, const x86::Vec& dst, const x86::Vec& a,
                   const asmjit::Operand& b) {
  constexpr Op kOps[] = {Op::kAdd, Op::kMul, Op::kMax, Op::kMin};
  const Op op = kOps[static_cast<int>(kind)];
  const InstId id = pick(mnemonics(op), t);
  const bool nan_rule = is_float(t) && (op == Op::kMax || op == Op::kMin);
  if (id != I::kIdNone && !nan_rule) {
    emit(id, dst, a, b);
    return;
  }
  if (nan_rule) {
    x86::Vec r = similar(a);
    emit(id, r, a, b);
    where_nan(t, r, a, a);
    copy(dst, r);
    return;
  }
  // 64-bit integers without an instruction: the sequences take whole values.
  auto whole = [&](const asmjit::Operand& o) {
    Val v;
    v.type = t;
    v.uniform = true;  // one register
    v.v[0] = v.v[1] = bytes == 64 ? static_cast<x86::Vec>(o.as<x86::Vec>().zmm())
                                  : static_cast<x86::Vec>(o.as<x86::Vec>().ymm());
    return v;
  };
  Val x = whole(a), y = whole(b);
  Val r = op == Op::kMul ? mul_i64(x, y) : min_max_i64(op, x, y);
  copy(dst, dst.isXmm() ? static_cast<x86::Vec>(r.v[0].xmm()) : r.v[0]);
}

Val Simd::shift(Op op, Val& a, Val& b) {
  const Type t = a.type;
  const std::uint64_t width = is_wide(t) ? 64 : 32;
  const bool has_sra = t == Type::kI32 || pick(mnemonics(op), t) != I::kIdNone;
  if (b.constant && (op != Op::kShrA || has_sra)) {
    static constexpr InstId kIds[3][2] = {
        {I::kIdVpslld, I::kIdVpsllq}, {I::kIdVpsrad, I::kIdVpsraq}, {I::kIdVpsrld, I::kIdVpsrlq}};
    const int row = op == Op::kShl ? 0 : op == Op::kShrA ? 1 : 2;
    return vertical_imm(kIds[row][is_wide(t)], t, a, static_cast<int>(b.bits % width));
  }
  Val limit = constant(t, width - 1);
  Val count = vertical(and_id(t), t, b, limit);
  if (op == Op::kShrA && !has_sra) return shift_right_i64(a, count);
  return vertical(pick(mnemonics(op), t), t, a, count);
}

// Times two powers of two that are normal numbers, also where 2^n is not. n + 2 * bias stands in
// the low bits of a float that is large enough; what stands higher is shifted out.
Val Simd::scale(Val& a, Val& n) {
  const Type t = a.type;
  const bool f32 = t == Type::kF32;
  const int mantissa = f32 ? 23 : 52;
  const Type bits = f32 ? Type::kI32 : Type::kI64;
  Val large = constant(t, f32 ? std::bit_cast<std::uint32_t>(0x1.8p23f + 254)
                              : std::bit_cast<std::uint64_t>(0x1.8p52 + 2046));
  const InstId shr = f32 ? I::kIdVpsrld : I::kIdVpsrlq, shl = f32 ? I::kIdVpslld : I::kIdVpsllq;
  Val sum = vertical(pick(mnemonics(Op::kAdd), t), t, n, large);
  Val half = vertical_imm(shr, bits, sum, 1);
  Val rest = vertical(pick(mnemonics(Op::kSub), bits), bits, sum, half);
  Val first = vertical_imm(shl, t, half, mantissa), second = vertical_imm(shl, t, rest, mantissa);
  const InstId mul = pick(mnemonics(Op::kMul), t);
  Val scaled = vertical(mul, t, a, first);
  return vertical(mul, t, scaled, second);
}

Val Simd::fma(Val& a, Val& b, Val& c, Dying dying) {
  const Type t = a.type;
  const bool f32 = t == Type::kF32;
  const bool uniform = a.uniform && b.uniform && c.uniform;
  const auto reusable = [&](const Val& v, bool dies) {
    return dies && v.fresh && v.uniform == uniform && v.v[0].isValid();
  };
  const InstId id132 = f32 ? I::kIdVfmadd132ps : I::kIdVfmadd132pd;
  const InstId id213 = f32 ? I::kIdVfmadd213ps : I::kIdVfmadd213pd;
  const InstId id231 = f32 ? I::kIdVfmadd231ps : I::kIdVfmadd231pd;
  // One operand is overwritten, and one of the other two may be in memory.
  const auto over_factor = [&](const x86::Vec& d, Val& y, int p) {  // d = d * y + c
    if (y.empty()) {
      emit(id132, d, in_reg(c, p), operand(y, p));
    } else {
      emit(id213, d, in_reg(y, p), operand(c, p));
    }
    return d;
  };
  const bool distinct = &a != &b && &a != &c && &b != &c;
  return build(t, uniform, [&](int p) {
    if (distinct && reusable(a, dying.a)) return over_factor(in_reg(a, p), b, p);
    if (distinct && reusable(b, dying.b)) return over_factor(in_reg(b, p), a, p);
    Val *x = &a, *y = &b;
    if (x->empty()) std::swap(x, y);
    x86::Vec d = distinct && reusable(c, dying.c) ? in_reg(c, p) : reg();
    if (d != in_reg(c, p)) copy(d, in_reg(c, p));
    emit(id231, d, in_reg(*x, p), operand(*y, p));
    return d;
  });
}

Val Simd::float_min_max(Op op, Val& a, Val& b) {
  const Type t = a.type;
  const InstId id = pick(mnemonics(op), t);
  // x86's max(x, y) is x > y ? x : y, so y when unordered. With b neither NaN nor a zero, max(b, a)
  // differs from the rule in nothing; otherwise a NaN in a has to be put back.
  const std::uint64_t magnitude = b.bits & (sign_bit(t) - 1);
  const std::uint64_t inf = t == Type::kF32 ? 0x7f800000ull : 0x7ff0000000000000ull;
  if (b.constant && magnitude != 0 && magnitude <= inf) return vertical(id, t, b, a);
  return build(t, a.uniform && b.uniform, [&](int p) {
    x86::Vec r = reg();
    x86::Vec x = in_reg(a, p);
    emit(id, r, x, operand(b, p));
    where_nan(t, r, x, x);
    return r;
  });
}

Val Simd::lesser_or_greater(Op op, Val& a, Val& b) {
  const InstId id = pick(mnemonics(op), a.type);
  return id != I::kIdNone ? vertical(id, a.type, a, b) : min_max_i64(op, a, b);
}

Val Simd::logic(Op outer, Val& a, Op inner, Val& b, Val& c, Dying) {
  const Type t = a.type;
  const bool swap = b.empty();  // the memory operand comes second
  Val x = vertical(pick(mnemonics(inner), t), t, swap ? c : b, swap ? b : c);
  return vertical(pick(mnemonics(outer), t), t, x, a);
}

Val Simd::divide(Op op, Val& a, Val& b) {
  if (a.type == Type::kI64) return divide_i64(op, a, b);
  // The quotient of two 32-bit integers rounded to f64 truncates to the exact one: it is nearer to
  // an integer than 2^-31 relative only if it is one. 2^31 (INT_MIN / -1) converts to INT_MIN.
  Val x = cast(a, Type::kF64), y = cast(b, Type::kF64);
  Val q = vertical(I::kIdVdivpd, Type::kF64, x, y);
  Val whole = cast(q, Type::kI32);
  Val z = zero(Type::kI32);
  Val by_zero = compare(Op::kEq, b, z);
  Val quotient = select(by_zero, z, whole);
  if (op == Op::kDiv) return quotient;
  Val product = vertical(I::kIdVpmulld, Type::kI32, quotient, b);
  return vertical(I::kIdVpsubd, Type::kI32, a, product);
}

Val Simd::divide_i64(Op op, Val& a, Val& b) {
  return by_lane(Type::kI64, a, &b, [&](const x86::Mem& dst, const x86::Mem& x, const x86::Mem& y) {
    x86::Gp q = cc_.newInt64(), r = cc_.newInt64(), d = cc_.newInt64();
    asmjit::Label trap_free = cc_.newLabel(), done = cc_.newLabel(), by_minus_1 = cc_.newLabel();
    cc_.mov(q, x);
    cc_.mov(d, y);
    cc_.lea(r, x86::ptr(d, 1));
    cc_.cmp(r, 1);  // d is -1 or 0 when d + 1 is 0 or 1
    cc_.ja(trap_free);
    cc_.je(done);  // d == 0: remainder x
    cc_.bind(by_minus_1);
    cc_.neg(q);
    if (op == Op::kRem) cc_.xor_(q.r32(), q.r32());
    cc_.mov(dst, q);
    asmjit::Label out = cc_.newLabel();
    cc_.jmp(out);
    cc_.bind(trap_free);
    cc_.cqo(r, q);
    cc_.idiv(r, q, d);
    cc_.mov(dst, op == Op::kDiv ? q : r);
    cc_.jmp(out);
    cc_.bind(done);
    if (op == Op::kDiv) cc_.xor_(q.r32(), q.r32());
    cc_.mov(dst, q);
    cc_.bind(out);
  });
}

Val Simd::mul_hi(Val& a, Val& b) {
  // vpmuludq multiplies the even lanes; the odd ones are moved down first.
  return build(Type::kI32, a.uniform && b.uniform, [&](int) {
    x86::Vec even = reg(), odd_a = reg(), odd_b = reg(), r = reg();
    x86::Vec x = in_reg(a, 0), y = in_reg(b, 0);
    emit(I::kIdVpmuludq, even, x, y);
    emit(I::kIdVpsrlq, odd_a, x, imm(32));
    emit(I::kIdVpsrlq, odd_b, y, imm(32));
    emit(I::kIdVpmuludq, odd_a, odd_a, odd_b);
    Val high = constant(Type::kI64, 0xffffffff00000000ull);
    emit(I::kIdVpsrlq, even, even, imm(32));
    emit(and_id(Type::kI64), odd_a, odd_a, in_reg(high, 0));
    emit(or_id(Type::kI64), r, even, odd_a);
    return r;
  });
}

Val Simd::by_lane(Type to, Val& a, Val* b, const LaneCode& f) {
  const bool uniform = a.uniform && (b == nullptr || b->uniform);
  for (x86::Mem& m : lane_buffer_) {
    if (!m.hasBase()) m = cc_.newStack(static_cast<std::uint32_t>(lanes * 8), 64);
  }
  const auto spill = [&](Val& v, int buffer) {
    for (int p = 0; p < (uniform ? 1 : parts(v.type)); ++p) {
      x86::Mem m = lane_buffer_[buffer].cloneAdjusted(p * bytes);
      emit(I::kIdVmovups, m, in_reg(v, p));
    }
  };
  spill(a, 1);
  if (b != nullptr) spill(*b, 2);
  x86::Gp i = cc_.newInt64();
  const auto element = [&](int buffer, Type t) {
    x86::Mem m = lane_buffer_[buffer];
    m.setIndex(i, is_wide(t) ? 3 : 2);
    m.setSize(static_cast<std::uint32_t>(size_of(t)));
    return m;
  };
  asmjit::Label loop = cc_.newLabel();
  cc_.xor_(i.r32(), i.r32());
  cc_.bind(loop);
  f(element(0, to), element(1, a.type), element(2, b != nullptr ? b->type : a.type));
  if (!uniform) {
    cc_.inc(i);
    cc_.cmp(i, lanes);
    cc_.jb(loop);
  }
  if (uniform) {
    x86::Vec x = cc_.newXmm();
    emit(is_wide(to) ? I::kIdVmovsd : I::kIdVmovss, x, lane_buffer_[0]);
    return broadcast(to, x);
  }
  return build(to, false, [&](int p) {
    x86::Vec r = reg();
    emit(I::kIdVmovups, r, lane_buffer_[0].cloneAdjusted(p * bytes));
    return r;
  });
}

}  // namespace flash::emit::x64
