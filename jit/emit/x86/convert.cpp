// jit/emit/x86/convert.cpp -- casts and roundings that both instruction sets write alike
#include "core/error.h"
#include "jit/emit/x86/simd.h"

namespace flash::emit::x64 {

Val Simd::cast(Val& a, Type to) {
  const Type from = a.type;
  if (from == to) return a;
  if (from == Type::kPred) return pred_to_i32(a);
  if ((from == Type::kI64 && is_float(to)) || (to == Type::kI64 && is_float(from))) {
    return cast_i64_float(a, to);
  }
  if (from == Type::kI32 && to == Type::kF32) return vertical(I::kIdVcvtdq2ps, to, a);
  if (from == Type::kF32 && to == Type::kI32) return vertical(I::kIdVcvttps2dq, to, a);
  if (is_wide(to)) {  // 32-bit lanes widen: half a register makes one
    const InstId id = to == Type::kI64     ? I::kIdVpmovsxdq
                      : from == Type::kI32 ? I::kIdVcvtdq2pd
                                           : I::kIdVcvtps2pd;
    return build(to, a.uniform, [&](int p) {
      x86::Vec x = in_reg(a, 0), r = reg();
      emit(id, r, p == 0 ? low_half(x) : high_half(x));
      return r;
    });
  }
  // 64-bit lanes narrow: two registers make one.
  return build(to, a.uniform, [&](int) {
    const auto narrow = [&](int p) -> x86::Vec {
      x86::Vec x = in_reg(a, p), r = reg();
      if (from == Type::kF64) {
        emit(to == Type::kI32 ? I::kIdVcvttpd2dq : I::kIdVcvtpd2ps, low_half(r), x);
      } else if (bytes == 64) {
        emit(I::kIdVpmovqd, low_half(r), x);
      } else {
        emit(I::kIdVextracti128, r.xmm(), x, imm(1));
        emit(I::kIdVshufps, r.xmm(), x.xmm(), r.xmm(), imm(0x88));
      }
      return r;
    };
    x86::Vec lo = narrow(0);
    return join(lo, a.uniform ? lo : narrow(1));
  });
}

Val Simd::round_half(Val& a) {
  return build(Type::kF32, a.uniform, [&](int) {
    x86::Vec h = reg(), r = reg();
    emit(I::kIdVcvtps2ph, low_half(h), in_reg(a, 0), imm(0));  // to nearest even
    emit(I::kIdVcvtph2ps, r, low_half(h));
    return r;
  });
}

Val Simd::round_bfloat(Val& a) {
  // Adds half of the last kept bit, minus one when that bit is even, and cuts. Subnormals need no
  // care, overflow carries into the exponent; only NaN would wander.
  return build(Type::kF32, a.uniform, [&](int) {
    Val half = constant(Type::kI32, 0x7fff), one = constant(Type::kI32, 1);
    Val keep = constant(Type::kI32, 0xffff0000u), nan = constant(Type::kF32, 0x7fc00000u);
    x86::Vec x = in_reg(a, 0), r = reg();
    emit(I::kIdVpsrld, r, x, imm(16));
    emit(and_id(Type::kI32), r, r, operand(one, 0));
    emit(I::kIdVpaddd, r, r, operand(half, 0));
    emit(I::kIdVpaddd, r, r, x);
    emit(and_id(Type::kI32), r, r, operand(keep, 0));
    where_nan(Type::kF32, r, x, in_reg(nan, 0));
    return r;
  });
}

Val Simd::load_broadcast(DType d, Type t, const x86::Mem& m) {
  x86::Vec x = cc_.newXmm();
  x86::Mem e = m;
  e.setSize(static_cast<std::uint32_t>(flash::size_of(d)));
  switch (d) {
    case DType::kF32:
    case DType::kF64:
    case DType::kI32:
    case DType::kI64:
      return build(t, true, [&](int) {
        x86::Vec r = reg();
        emit(t == Type::kF32   ? I::kIdVbroadcastss
             : t == Type::kF64 ? I::kIdVbroadcastsd
             : t == Type::kI32 ? I::kIdVpbroadcastd
                               : I::kIdVpbroadcastq,
             r, e);
        return r;
      });
    case DType::kBool:
    case DType::kU8:
    case DType::kI8:
    case DType::kI16:
    case DType::kF16:
    case DType::kBF16:
      break;
  }
  x86::Gp g = cc_.newInt32();
  if (d == DType::kI8 || d == DType::kI16) {
    cc_.movsx(g, e);
  } else {
    cc_.movzx(g, e);
  }
  if (d == DType::kBF16) cc_.shl(g, 16);
  emit(I::kIdVmovd, x, g);
  if (d == DType::kF16) emit(I::kIdVcvtph2ps, x, x);
  return broadcast(t, x);
}

void Simd::store_stream(Val& a, const x86::Mem& m) {
  for (int p = 0; p < parts(a.type); ++p) {
    x86::Mem e = m.cloneAdjusted(p * bytes);
    e.setSize(static_cast<std::uint32_t>(bytes));
    emit(I::kIdVmovntps, e, in_reg(a, p));
  }
}

void Simd::store_lane0(DType d, Val& a, const x86::Mem& m) {
  x86::Vec x = in_reg(a, 0);
  x86::Mem e = m;
  e.setSize(static_cast<std::uint32_t>(flash::size_of(d)));
  if (flash::size_of(d) == 8) {
    emit(I::kIdVmovsd, e, x.xmm());
    return;
  }
  if (flash::size_of(d) == 4) {
    emit(I::kIdVmovss, e, x.xmm());
    return;
  }
  x86::Gp g = cc_.newInt32();
  if (d == DType::kF16) {
    x86::Vec h = cc_.newXmm();
    emit(I::kIdVcvtps2ph, h, x.xmm(), imm(0));
    x = h;
  }
  to_gp(g, x);
  if (d == DType::kBF16) cc_.shr(g, 16);
  if (flash::size_of(d) == 2) {
    cc_.mov(e, g.r16());
  } else {
    cc_.mov(e, g.r8());
  }
}

}  // namespace flash::emit::x64
