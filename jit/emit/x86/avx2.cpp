// jit/emit/x86/avx2.cpp -- instruction selection for AVX2 with FMA, F16C and BMI
#include <algorithm>
#include <bit>
#include <iterator>

#include "jit/emit/x86/simd.h"

namespace flash::emit::x64 {

namespace {

constexpr InstId kNone = I::kIdNone;
constexpr Mnemonics kMnemonics[] = {
    {Op::kAdd, I::kIdVpaddd, I::kIdVpaddq, I::kIdVaddps, I::kIdVaddpd},
    {Op::kSub, I::kIdVpsubd, I::kIdVpsubq, I::kIdVsubps, I::kIdVsubpd},
    {Op::kMul, I::kIdVpmulld, kNone, I::kIdVmulps, I::kIdVmulpd},
    {Op::kDiv, kNone, kNone, I::kIdVdivps, I::kIdVdivpd},
    {Op::kMax, I::kIdVpmaxsd, kNone, I::kIdVmaxps, I::kIdVmaxpd},
    {Op::kMin, I::kIdVpminsd, kNone, I::kIdVminps, I::kIdVminpd},
    {Op::kSqrt, kNone, kNone, I::kIdVsqrtps, I::kIdVsqrtpd},
    {Op::kAnd, I::kIdVpand, I::kIdVpand, kNone, kNone},
    {Op::kOr, I::kIdVpor, I::kIdVpor, kNone, kNone},
    {Op::kXor, I::kIdVpxor, I::kIdVpxor, kNone, kNone},
    {Op::kShl, I::kIdVpsllvd, I::kIdVpsllvq, kNone, kNone},
    {Op::kShrA, I::kIdVpsravd, kNone, kNone, kNone},
    {Op::kShrL, I::kIdVpsrlvd, I::kIdVpsrlvq, kNone, kNone},
};

class Avx2 final : public Simd {
 public:
  explicit Avx2(x86::Compiler& cc) : Simd(cc, 32) {}

  x86::Vec high_half(const x86::Vec& v) override {
    x86::Vec r = cc_.newXmm();
    emit(I::kIdVextractf128, r, v, imm(1));
    return r;
  }
  x86::Vec join(const x86::Vec& lo, const x86::Vec& hi) override {
    x86::Vec r = reg();
    emit(I::kIdVinsertf128, r, lo, hi.xmm(), imm(1));
    return r;
  }
  Val scalar(Type t, const x86::Mem& word) override {
    Val r = build(t, true, [&](int) {
      x86::Vec x = reg();
      x86::Mem m = word;
      m.setSize(static_cast<std::uint32_t>(size_of(t)));
      emit(is_wide(t) ? I::kIdVbroadcastsd : I::kIdVbroadcastss, x, m);
      return x;
    });
    r.fresh = false;
    return r;
  }
  x86::Vec broadcast_gp(const x86::Gp& q) override {
    x86::Vec r = reg();
    emit(I::kIdVmovq, r.xmm(), q.r64());
    emit(I::kIdVpbroadcastq, r, r.xmm());
    return r;
  }

  Val select(Val& p, Val& a, Val& b) override {
    const Type t = a.type;
    return build(t, p.uniform && a.uniform && b.uniform, [&](int i) {
      x86::Vec r = reg(), no = in_reg(b, i);
      const asmjit::Operand yes = operand(a, i);
      emit(I::kIdVblendvps, r, no, yes, mask(p, t, i));
      return r;
    });
  }
  Val table(const ir::Table& t, Val& index) override {
    constexpr std::size_t kHalf = std::tuple_size_v<ir::Table> / 2;
    const auto half = [&](const x86::Vec& r, const x86::Vec& at, std::size_t from) {
      emit(I::kIdVpermps, r, at,
           cc_.newConst(asmjit::ConstPoolScope::kLocal, t.data() + from, kHalf * sizeof(float)));
    };
    return build(Type::kF32, index.uniform, [&](int) {
      x86::Vec low = reg(), high = reg(), at = in_reg(index, 0);
      if (!index.w[0].isValid()) {  // once for all tables: the bit that says which half, as a sign
        index.w[0] = reg();
        emit(I::kIdVpslld, index.w[0], at, imm(31 - std::countr_zero(kHalf)));
      }
      half(low, at, 0);
      half(high, at, kHalf);
      emit(I::kIdVblendvps, low, low, high, index.w[0]);
      return low;
    });
  }
  void blend(Type t, const x86::Vec& acc, const x86::Vec& value, Val& m, int part) override {
    emit(I::kIdVblendvps, acc, acc, value, mask(m, t, part));
  }
  Val pred_and(Val& a, Val& b) override { return combine(I::kIdVandps, a, b); }

  Val first_lanes(const x86::Gp& count) override {
    static constexpr std::int32_t kIndex[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    x86::Vec n = reg();
    emit(I::kIdVmovd, n.xmm(), count.r32());
    emit(I::kIdVpbroadcastd, n, n.xmm());
    Val r = pred(false);
    r.v[0] = reg();
    emit(I::kIdVpcmpgtd, r.v[0], n, cc_.newConst(asmjit::ConstPoolScope::kLocal, kIndex, 32));
    return r;
  }
  x86::Gp mask_bits(Val& p) override {
    x86::Gp g = cc_.newInt32();
    emit(I::kIdVmovmskps, g, narrow(p));
    return g;
  }
  Val pred_from_i32(Val& a) override {
    Val r = pred(a.uniform);
    r.v[0] = in_reg(a, 0);
    return r;
  }
  Val pred_to_mask(Val& p) override {
    Val r = pred(p.uniform);
    r.type = Type::kI32;
    r.v[0] = narrow(p);
    return r;
  }

  bool can_mask(DType d) const override { return flash::size_of(d) >= 4; }
  Val load(DType d, Type t, const x86::Mem& m, Val* lanes_read) override {
    return build(t, false, [&](int p) {
      x86::Vec r = reg();
      x86::Mem src = m.cloneAdjusted(p * bytes);
      src.setSize(0);
      if (lanes_read != nullptr) {
        emit(is_wide(t) ? I::kIdVmaskmovpd : I::kIdVmaskmovps, r, mask(*lanes_read, t, p), src);
        return r;
      }
      const InstId id = d == DType::kBool || d == DType::kU8 ? I::kIdVpmovzxbd
                        : d == DType::kI8                    ? I::kIdVpmovsxbd
                        : d == DType::kI16                   ? I::kIdVpmovsxwd
                        : d == DType::kF16                   ? I::kIdVcvtph2ps
                        : d == DType::kBF16                  ? I::kIdVpmovzxwd
                                                             : I::kIdVmovups;
      emit(id, r, src);
      if (d == DType::kBF16) emit(I::kIdVpslld, r, r, imm(16));
      return r;
    });
  }
  void store(DType d, Val& a, const x86::Mem& m, Val* lanes_written) override {
    x86::Mem dst = m;
    dst.setSize(0);
    if (flash::size_of(d) >= 4) {
      for (int p = 0; p < parts(a.type); ++p) {
        x86::Mem e = dst.cloneAdjusted(p * bytes);
        if (lanes_written != nullptr) {
          emit(is_wide(a.type) ? I::kIdVmaskmovpd : I::kIdVmaskmovps, e,
               mask(*lanes_written, a.type, p), in_reg(a, p));
        } else {
          emit(I::kIdVmovups, e, in_reg(a, p));
        }
      }
      return;
    }
    x86::Vec x = in_reg(a, 0), r = reg();
    if (d == DType::kF16) {
      emit(I::kIdVcvtps2ph, dst, x, imm(0));
      return;
    }
    // Each 32-bit lane keeps its low 16 or 8 bits; packing must not saturate.
    const bool byte = flash::size_of(d) == 1;
    if (d == DType::kBF16) {
      emit(I::kIdVpsrld, r, x, imm(16));
    } else {
      Val low = constant(Type::kI32, byte ? 0xff : 0xffff);
      emit(I::kIdVpand, r, x, operand(low, 0));
    }
    x86::Vec hi = high_half(r);
    emit(I::kIdVpackusdw, r.xmm(), r.xmm(), hi);
    if (byte) {
      emit(I::kIdVpackuswb, r.xmm(), r.xmm(), r.xmm());
      emit(I::kIdVmovq, dst, r.xmm());
    } else {
      emit(I::kIdVmovups, dst, r.xmm());
    }
  }
  Val gather(Type t, const x86::Gp& base, const std::array<x86::Vec, 2>& offsets,
             Val* lanes_read) override {
    return build(t, false, [&](int p) {
      x86::Vec r = reg(), m = reg();  // the instruction clears its mask
      emit(I::kIdVpxor, r, r, r);
      if (is_wide(t)) {
        copy_mask(m, lanes_read, t, p);
        emit(I::kIdVpgatherqq, r, x86::ptr(base, offsets[static_cast<std::size_t>(p)]), m);
        return r;
      }
      copy_mask(m, lanes_read, t, 0);
      x86::Vec upper = cc_.newXmm(), upper_mask = high_half(m);
      emit(I::kIdVpxor, upper, upper, upper);
      emit(I::kIdVpgatherqd, r.xmm(), x86::ptr(base, offsets[0]), m.xmm());
      emit(I::kIdVpgatherqd, upper, x86::ptr(base, offsets[1]), upper_mask);
      return join(r, upper);
    });
  }

 protected:
  x86::Mem pooled(Type t, std::uint64_t bits) override {
    std::uint64_t all[4];
    std::fill(all, all + 4, is_wide(t) ? bits : bits | bits << 32);
    return cc_.newConst(asmjit::ConstPoolScope::kLocal, all, sizeof(all));
  }
  void load_pooled(const x86::Vec& dst, Type, const x86::Mem& m) override {
    emit(I::kIdVmovaps, dst, m);
  }
  const Mnemonics* mnemonics(Op op) const override {
    const auto* end = std::end(kMnemonics);
    const auto* m =
        std::find_if(std::begin(kMnemonics), end, [&](const Mnemonics& x) { return x.op == op; });
    return m != end ? m : nullptr;
  }
  InstId and_id(Type) const override { return I::kIdVandps; }
  InstId or_id(Type) const override { return I::kIdVorps; }
  InstId xor_id(Type) const override { return I::kIdVxorps; }
  InstId round_id(Type t) const override {
    return t == Type::kF32 ? I::kIdVroundps : I::kIdVroundpd;
  }
  void where_nan(Type t, const x86::Vec& r, const x86::Vec& test, const x86::Vec& value) override {
    x86::Vec m = similar(r);
    emit(t == Type::kF32 ? I::kIdVcmpps : I::kIdVcmppd, m, test, test, imm(kCmpUnord));
    emit(I::kIdVblendvps, r, r, value, m);
  }
  Val compare(Op op, Val& a, Val& b) override {
    const Type t = a.type;
    Val r = pred(a.uniform && b.uniform);
    const auto set = [&](auto f) {
      if (!is_wide(t)) {
        r.v[0] = f(0);
      } else {
        r.w[0] = f(0);
        r.w[1] = r.uniform ? r.w[0] : f(1);
      }
    };
    if (is_float(t)) {
      const int i = op == Op::kEq   ? kCmpEq
                    : op == Op::kNe ? kCmpNe
                    : op == Op::kLt ? kCmpLt
                                    : kCmpLe;
      set([&](int p) {
        x86::Vec m = reg();
        emit(t == Type::kF32 ? I::kIdVcmpps : I::kIdVcmppd, m, in_reg(a, p), operand(b, p), imm(i));
        return m;
      });
      return r;
    }
    // Integers have equal and greater only: a < b is b > a, a <= b is not a > b.
    const bool equal = op == Op::kEq || op == Op::kNe;
    Val& x = op == Op::kLt ? b : a;
    Val& y = op == Op::kLt ? a : b;
    const InstId id = equal ? (is_wide(t) ? I::kIdVpcmpeqq : I::kIdVpcmpeqd)
                            : (is_wide(t) ? I::kIdVpcmpgtq : I::kIdVpcmpgtd);
    set([&](int p) {
      x86::Vec m = reg();
      emit(id, m, in_reg(x, p), operand(y, p));
      return m;
    });
    return op == Op::kNe || op == Op::kLe ? pred_not(r) : r;
  }
  Val pred_or(Val& a, Val& b) override { return combine(I::kIdVorps, a, b); }
  Val pred_not(Val& a) override {
    Val ones = constant(Type::kI32, 0xffffffffu);
    Val r = pred(a.uniform);
    const bool wide = !a.v[0].isValid();
    auto& from = wide ? a.w : a.v;
    auto& to = wide ? r.w : r.v;
    for (std::size_t p = 0; p < (wide ? 2u : 1u); ++p) {
      to[p] = reg();
      emit(I::kIdVxorps, to[p], from[p], operand(ones, 0));
    }
    return r;
  }
  Val pred_to_i32(Val& a) override {
    Val m = pred_to_mask(a);
    return vertical_imm(I::kIdVpsrld, Type::kI32, m, 31);
  }
  Val mul_i64(Val& a, Val& b) override {
    // low × low + ((high × low + low × high) << 32)
    return build(Type::kI64, a.uniform && b.uniform, [&](int p) {
      x86::Vec x = in_reg(a, p), y = in_reg(b, p);
      x86::Vec cross = reg(), other = reg(), r = reg();
      emit(I::kIdVpsrlq, cross, x, imm(32));
      emit(I::kIdVpmuludq, cross, cross, y);
      emit(I::kIdVpsrlq, other, y, imm(32));
      emit(I::kIdVpmuludq, other, other, x);
      emit(I::kIdVpaddq, cross, cross, other);
      emit(I::kIdVpsllq, cross, cross, imm(32));
      emit(I::kIdVpmuludq, r, x, y);
      emit(I::kIdVpaddq, r, r, cross);
      return r;
    });
  }
  Val min_max_i64(Op op, Val& a, Val& b) override {
    return build(Type::kI64, a.uniform && b.uniform, [&](int p) {
      x86::Vec x = in_reg(a, p), y = in_reg(b, p), m = reg(), r = reg();
      emit(I::kIdVpcmpgtq, m, op == Op::kMax ? x : y, op == Op::kMax ? y : x);
      emit(I::kIdVblendvpd, r, y, x, m);
      return r;
    });
  }
  Val abs_i64(Val& a) override {
    return build(Type::kI64, a.uniform, [&](int p) {
      x86::Vec x = in_reg(a, p), s = reg(), r = reg();
      emit(I::kIdVpxor, s, s, s);
      emit(I::kIdVpcmpgtq, s, s, x);
      emit(I::kIdVpxor, r, x, s);
      emit(I::kIdVpsubq, r, r, s);
      return r;
    });
  }
  Val shift_right_i64(Val& a, Val& count) override {
    // Shifts the sign bit along and extends from where it lands: ((a >>> n) ^ m) - m.
    Val sign = constant(Type::kI64, 1ull << 63);
    return build(Type::kI64, a.uniform && count.uniform, [&](int p) {
      x86::Vec n = in_reg(count, p), m = reg(), r = reg();
      emit(I::kIdVpsrlvq, m, in_reg(sign, 0), n);
      emit(I::kIdVpsrlvq, r, in_reg(a, p), n);
      emit(I::kIdVpxor, r, r, m);
      emit(I::kIdVpsubq, r, r, m);
      return r;
    });
  }
  Val cast_i64_float(Val& a, Type to) override {
    const Type from = a.type;
    return by_lane(to, a, nullptr, [&](const x86::Mem& dst, const x86::Mem& src, const x86::Mem&) {
      if (to == Type::kI64) {
        x86::Gp g = cc_.newInt64();
        emit(from == Type::kF64 ? I::kIdVcvttsd2si : I::kIdVcvttss2si, g, src);
        cc_.mov(dst, g);
        return;
      }
      x86::Vec x = cc_.newXmm();
      emit(I::kIdVxorps, x, x, x);
      emit(to == Type::kF64 ? I::kIdVcvtsi2sd : I::kIdVcvtsi2ss, x, x, src);
      emit(to == Type::kF64 ? I::kIdVmovsd : I::kIdVmovss, dst, x);
    });
  }

 private:
  static Val pred(bool uniform) {
    Val r;
    r.uniform = uniform;
    return r;
  }
  /// The mask for 32-bit lanes; for part `p` of lanes of type t.
  x86::Vec narrow(Val& a) {
    if (!a.v[0].isValid()) {
      a.v[0] = reg();
      emit(I::kIdVshufps, a.v[0], a.w[0], a.w[1], imm(0x88));
      emit(I::kIdVpermq, a.v[0], a.v[0], imm(0xd8));
    }
    return a.v[0];
  }
  x86::Vec mask(Val& a, Type t, int p) {
    if (!is_wide(t)) return narrow(a);
    if (!a.w[0].isValid()) {
      a.w[0] = a.w[1] = reg();
      emit(I::kIdVpmovsxdq, a.w[0], a.v[0].xmm());
      if (!a.uniform) {
        a.w[1] = reg();
        emit(I::kIdVpmovsxdq, a.w[1], high_half(a.v[0]));
      }
    }
    return a.w[static_cast<std::size_t>(p)];
  }
  void copy_mask(const x86::Vec& dst, Val* m, Type t, int p) {
    if (m != nullptr) {
      copy(dst, mask(*m, t, p));
    } else {
      emit(I::kIdVpcmpeqd, dst, dst, dst);
    }
  }
  Val combine(InstId id, Val& a, Val& b) {
    Val r = pred(a.uniform && b.uniform);
    if (!a.v[0].isValid() && !b.v[0].isValid()) {
      for (std::size_t p = 0; p < 2; ++p) {
        r.w[p] = reg();
        emit(id, r.w[p], a.w[p], b.w[p]);
      }
      return r;
    }
    r.v[0] = reg();
    emit(id, r.v[0], narrow(a), narrow(b));
    return r;
  }
};

}  // namespace

std::unique_ptr<Simd> make_avx2(x86::Compiler& cc) { return std::make_unique<Avx2>(cc); }

}  // namespace flash::emit::x64
