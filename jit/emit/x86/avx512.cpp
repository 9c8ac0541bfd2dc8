// jit/emit/x86/avx512.cpp -- instruction selection for AVX-512 (F, BW, DQ, VL)
#include <algorithm>
#include <iterator>

#include "jit/emit/x86/simd.h"

namespace flash::emit::x64 {

namespace {

constexpr InstId kNone = I::kIdNone;
constexpr Mnemonics kMnemonics[] = {
    {Op::kAdd, I::kIdVpaddd, I::kIdVpaddq, I::kIdVaddps, I::kIdVaddpd},
    {Op::kSub, I::kIdVpsubd, I::kIdVpsubq, I::kIdVsubps, I::kIdVsubpd},
    {Op::kMul, I::kIdVpmulld, I::kIdVpmullq, I::kIdVmulps, I::kIdVmulpd},
    {Op::kDiv, kNone, kNone, I::kIdVdivps, I::kIdVdivpd},
    {Op::kMax, I::kIdVpmaxsd, I::kIdVpmaxsq, I::kIdVmaxps, I::kIdVmaxpd},
    {Op::kMin, I::kIdVpminsd, I::kIdVpminsq, I::kIdVminps, I::kIdVminpd},
    {Op::kSqrt, kNone, kNone, I::kIdVsqrtps, I::kIdVsqrtpd},
    {Op::kAnd, I::kIdVpandd, I::kIdVpandq, kNone, kNone},
    {Op::kOr, I::kIdVpord, I::kIdVporq, kNone, kNone},
    {Op::kXor, I::kIdVpxord, I::kIdVpxorq, kNone, kNone},
    {Op::kShl, I::kIdVpsllvd, I::kIdVpsllvq, kNone, kNone},
    {Op::kShrA, I::kIdVpsravd, I::kIdVpsravq, kNone, kNone},
    {Op::kShrL, I::kIdVpsrlvd, I::kIdVpsrlvq, kNone, kNone},
};

class Avx512 final : public Simd {
 public:
  explicit Avx512(x86::Compiler& cc) : Simd(cc, 64) {}

  x86::Vec high_half(const x86::Vec& v) override {
    if (v.isZmm()) {
      x86::Vec r = cc_.newYmm();
      emit(I::kIdVextracti64x4, r, v, imm(1));
      return r;
    }
    x86::Vec r = cc_.newXmm();
    emit(I::kIdVextracti32x4, r, v, imm(1));
    return r;
  }
  x86::Vec join(const x86::Vec& lo, const x86::Vec& hi) override {
    x86::Vec r = reg();
    emit(I::kIdVinserti64x4, r, lo, hi.ymm(), imm(1));
    return r;
  }
  Val scalar(Type t, const x86::Mem& word) override {
    Val r;
    r.type = t;
    r.uniform = true;
    r.mem = every_lane(t, word);
    return r;
  }
  x86::Vec broadcast_gp(const x86::Gp& q) override {
    x86::Vec r = reg();
    emit(I::kIdVpbroadcastq, r, q.r64());
    return r;
  }

  Val select(Val& p, Val& a, Val& b) override {
    const Type t = a.type;
    // Not by vblendm: Asmjit takes its result for an operand too.
    const InstId move = is_wide(t) ? I::kIdVmovapd : I::kIdVmovaps;
    const InstId broadcast = is_wide(t) ? I::kIdVbroadcastsd : I::kIdVbroadcastss;
    const bool else_zero = b.constant && b.bits == 0;
    return build(t, p.uniform && a.uniform && b.uniform, [&](int i) {
      x86::Vec r = reg();
      if (!else_zero) copy(r, in_reg(b, i));
      cc_.k(mask(p, t, i));
      if (else_zero) cc_.z();
      if (a.empty()) {
        x86::Mem m = a.mem;
        m.resetBroadcast();
        cc_.emit(broadcast, r, m);
      } else {
        cc_.emit(move, r, in_reg(a, i));
      }
      return r;
    });
  }
  Val table(const ir::Table& t, Val& index) override {
    static_assert(sizeof t == 64);
    const x86::Mem m = cc_.newConst(asmjit::ConstPoolScope::kLocal, t.data(), sizeof t);
    return build(Type::kF32, index.uniform, [&](int) {
      x86::Vec r = reg();
      emit(I::kIdVpermps, r, in_reg(index, 0), m);
      return r;
    });
  }
  void blend(Type t, const x86::Vec& acc, const x86::Vec& value, Val& m, int part) override {
    cc_.k(mask(m, t, part)).emit(is_wide(t) ? I::kIdVmovapd : I::kIdVmovaps, acc, value);
  }
  Val logic(Op outer, Val& a, Op inner, Val& b, Val& c, Dying dying) override {
    // The instruction overwrites its first operand, the third may be memory, and its immediate is
    // the truth table: the operands in their order stand for 0xf0, 0xcc and 0xaa.
    const Type t = a.type;
    const bool uniform = a.uniform && b.uniform && c.uniform;
    struct Operand {
      Val* v;
      bool dies;
      int column = 0;
    };
    std::array<Operand, 3> abc = {{{&a, dying.a}, {&b, dying.b}, {&c, dying.c}}};
    std::array<Operand*, 3> order = {&abc[0], &abc[1], &abc[2]};
    const auto reusable = [&](const Operand& x) {
      return x.dies && x.v->fresh && x.v->uniform == uniform && !x.v->empty();
    };
    const auto rank = [&](const Operand* x) { return reusable(*x) ? 0 : x->v->empty() ? 2 : 1; };
    std::stable_sort(order.begin(), order.end(),
                     [&](const Operand* x, const Operand* y) { return rank(x) < rank(y); });
    order[0]->column = 0xf0, order[1]->column = 0xcc, order[2]->column = 0xaa;
    const auto evaluate = [](Op op, int x, int y) {
      return op == Op::kAnd ? x & y : op == Op::kOr ? x | y : x ^ y;
    };
    const int truth = evaluate(outer, abc[0].column, evaluate(inner, abc[1].column, abc[2].column));
    const bool overwrite = reusable(*order[0]);
    return build(t, uniform, [&](int p) {
      x86::Vec x = in_reg(*order[0]->v, p), r = overwrite ? x : reg();
      if (!overwrite) copy(r, x);
      emit(is_wide(t) ? I::kIdVpternlogq : I::kIdVpternlogd, r, in_reg(*order[1]->v, p),
           operand(*order[2]->v, p), imm(truth));
      return r;
    });
  }
  Val pred_and(Val& a, Val& b) override { return combine(I::kIdKandw, a, b); }

  Val first_lanes(const x86::Gp& count) override {
    x86::Gp m = cc_.newInt32();
    cc_.mov(m, -1);
    cc_.bzhi(m, m, count.r32());
    return from_bits(m);
  }
  x86::Gp mask_bits(Val& p) override {
    x86::Gp g = cc_.newInt32();
    x86::KReg k = cc_.newKw();  // see to_gp
    cc_.kmovw(k, full(p));
    cc_.kmovw(g, k);
    return g;
  }
  Val pred_from_i32(Val& a) override {
    Val r = pred(a.uniform);
    r.k = cc_.newKw();
    emit(I::kIdVpmovd2m, r.k, in_reg(a, 0));
    return r;
  }
  Val pred_to_mask(Val& p) override {
    return build(Type::kI32, p.uniform, [&](int) {
      x86::Vec r = reg();
      emit(I::kIdVpmovm2d, r, full(p));
      return r;
    });
  }

  bool can_mask(DType) const override { return true; }
  Val load(DType d, Type t, const x86::Mem& m, Val* lanes_read) override {
    return build(t, false, [&](int p) {
      x86::Vec r = reg();
      x86::Mem src = m.cloneAdjusted(p * bytes);
      src.setSize(0);
      const bool half_shift = d == DType::kBF16;
      const InstId id = d == DType::kBool || d == DType::kU8 ? I::kIdVpmovzxbd
                        : d == DType::kI8                    ? I::kIdVpmovsxbd
                        : d == DType::kI16                   ? I::kIdVpmovsxwd
                        : d == DType::kF16                   ? I::kIdVcvtph2ps
                        : half_shift                         ? I::kIdVpmovzxwd
                                                             : I::kIdVmovups;
      if (lanes_read != nullptr) {
        const bool wide = is_wide(t);
        cc_.k(mask(*lanes_read, t, p)).z().emit(wide ? I::kIdVmovupd : id, r, src);
      } else {
        emit(id, r, src);
      }
      if (half_shift) emit(I::kIdVpslld, r, r, imm(16));
      return r;
    });
  }
  void store(DType d, Val& a, const x86::Mem& m, Val* lanes_written) override {
    for (int p = 0; p < parts(a.type); ++p) {
      x86::Vec x = in_reg(a, p);
      x86::Mem dst = m.cloneAdjusted(p * bytes);
      dst.setSize(0);
      if (d == DType::kBF16) {
        x86::Vec h = reg();
        emit(I::kIdVpsrld, h, x, imm(16));
        x = h;
      }
      if (lanes_written != nullptr) cc_.k(mask(*lanes_written, a.type, p));
      switch (d) {
        case DType::kBool:
        case DType::kU8:
        case DType::kI8:
          cc_.emit(I::kIdVpmovdb, dst, x);
          break;
        case DType::kI16:
        case DType::kBF16:
          cc_.emit(I::kIdVpmovdw, dst, x);
          break;
        case DType::kF16:
          cc_.emit(I::kIdVcvtps2ph, dst, x, imm(0));
          break;
        case DType::kI32:
        case DType::kF32:
          cc_.emit(I::kIdVmovups, dst, x);
          break;
        case DType::kI64:
        case DType::kF64:
          cc_.emit(I::kIdVmovupd, dst, x);
          break;
      }
    }
  }
  Val gather(Type t, const x86::Gp& base, const std::array<x86::Vec, 2>& offsets,
             Val* lanes_read) override {
    Val all;
    if (lanes_read == nullptr) {
      Val word = constant(Type::kI32, 0xffffffffu);
      all = pred_from_i32(word);
      lanes_read = &all;
    }
    const auto part = [&](int p) {
      x86::Vec r = reg();
      emit(I::kIdVpxord, r, r, r);
      x86::KReg k = cc_.newKw();  // the instruction clears it
      emit(I::kIdKmovw, k, mask(*lanes_read, Type::kI64, p));
      x86::Mem m = x86::ptr(base, offsets[static_cast<std::size_t>(p)]);
      cc_.k(k).emit(is_wide(t) ? I::kIdVpgatherqq : I::kIdVpgatherqd, is_wide(t) ? r : low_half(r),
                    m);
      return r;
    };
    if (is_wide(t)) return build(t, false, part);
    return build(t, false, [&](int) {
      x86::Vec lo = part(0);
      return join(lo, low_half(part(1)));
    });
  }

 protected:
  x86::Mem pooled(Type t, std::uint64_t bits) override {
    return every_lane(t, cc_.newConst(asmjit::ConstPoolScope::kLocal, &bits,
                                      static_cast<std::size_t>(size_of(t))));
  }
  void load_pooled(const x86::Vec& dst, Type t, const x86::Mem& m) override {
    x86::Mem e = m;
    e.resetBroadcast();
    emit(is_wide(t) ? I::kIdVbroadcastsd : I::kIdVbroadcastss, dst, e);
  }
  const Mnemonics* mnemonics(Op op) const override {
    const auto* end = std::end(kMnemonics);
    const auto* m =
        std::find_if(std::begin(kMnemonics), end, [&](const Mnemonics& x) { return x.op == op; });
    return m != end ? m : nullptr;
  }
  InstId and_id(Type t) const override { return is_wide(t) ? I::kIdVpandq : I::kIdVpandd; }
  InstId or_id(Type t) const override { return is_wide(t) ? I::kIdVporq : I::kIdVpord; }
  InstId xor_id(Type t) const override { return is_wide(t) ? I::kIdVpxorq : I::kIdVpxord; }
  Val scale(Val& a, Val& n) override {
    return vertical(a.type == Type::kF32 ? I::kIdVscalefps : I::kIdVscalefpd, a.type, a, n);
  }
  InstId round_id(Type t) const override {
    return t == Type::kF32 ? I::kIdVrndscaleps : I::kIdVrndscalepd;
  }
  void where_nan(Type t, const x86::Vec& r, const x86::Vec& test, const x86::Vec& value) override {
    x86::KReg k = cc_.newKw();
    const bool f32 = t == Type::kF32;
    emit(f32 ? I::kIdVcmpps : I::kIdVcmppd, k, test, test, imm(kCmpUnord));
    cc_.k(k).emit(f32 ? I::kIdVmovaps : I::kIdVmovapd, r, value);
  }
  Val compare(Op op, Val& a, Val& b) override {
    const Type t = a.type;
    const int row = op == Op::kEq ? 0 : op == Op::kNe ? 1 : op == Op::kLt ? 2 : 3;
    static constexpr int kFloat[] = {kCmpEq, kCmpNe, kCmpLt, kCmpLe};
    static constexpr int kInt[] = {0, 4, 1, 2};
    const InstId id = t == Type::kF32   ? I::kIdVcmpps
                      : t == Type::kF64 ? I::kIdVcmppd
                      : t == Type::kI32 ? I::kIdVpcmpd
                                        : I::kIdVpcmpq;
    Val r = pred(a.uniform && b.uniform);
    for (int p = 0; p < parts(t); ++p) {
      x86::KReg k = cc_.newKw();
      emit(id, k, in_reg(a, p), operand(b, p), imm(is_float(t) ? kFloat[row] : kInt[row]));
      (is_wide(t) ? r.h[static_cast<std::size_t>(p)] : r.k) = k;
      if (is_wide(t) && r.uniform) {
        r.h[1] = k;
        break;
      }
    }
    return r;
  }
  Val pred_or(Val& a, Val& b) override { return combine(I::kIdKorw, a, b); }
  Val pred_not(Val& a) override {
    Val r = pred(a.uniform);
    r.k = cc_.newKw();
    emit(I::kIdKnotw, r.k, full(a));
    return r;
  }
  Val pred_to_i32(Val& a) override {
    Val m = pred_to_mask(a);
    return vertical(I::kIdVpabsd, Type::kI32, m);
  }
  Val mul_i64(Val& a, Val& b) override { return vertical(I::kIdVpmullq, Type::kI64, a, b); }
  Val min_max_i64(Op op, Val& a, Val& b) override {
    return vertical(op == Op::kMax ? I::kIdVpmaxsq : I::kIdVpminsq, Type::kI64, a, b);
  }
  Val abs_i64(Val& a) override { return vertical(I::kIdVpabsq, Type::kI64, a); }
  Val shift_right_i64(Val& a, Val& count) override {
    return vertical(I::kIdVpsravq, Type::kI64, a, count);
  }
  Val cast_i64_float(Val& a, Type to) override {
    if (to == Type::kF64) return vertical(I::kIdVcvtqq2pd, to, a);
    if (a.type == Type::kF64) return vertical(I::kIdVcvttpd2qq, to, a);
    if (to == Type::kI64) {
      return build(to, a.uniform, [&](int p) {
        x86::Vec x = in_reg(a, 0), r = reg();
        emit(I::kIdVcvttps2qq, r, p == 0 ? low_half(x) : high_half(x));
        return r;
      });
    }
    return build(to, a.uniform, [&](int) {
      const auto narrow = [&](int p) {
        x86::Vec r = reg();
        emit(I::kIdVcvtqq2ps, low_half(r), in_reg(a, p));
        return r;
      };
      x86::Vec lo = narrow(0);
      return join(lo, a.uniform ? lo : narrow(1));
    });
  }

 private:
  static x86::Mem every_lane(Type t, const x86::Mem& m) {
    x86::Mem e = is_wide(t) ? m._1to8() : m._1to16();
    e.setSize(static_cast<std::uint32_t>(size_of(t)));
    return e;
  }
  static Val pred(bool uniform) {
    Val r;
    r.uniform = uniform;
    return r;
  }
  Val from_bits(const x86::Gp& bits) {
    Val r = pred(false);
    r.k = cc_.newKw();
    cc_.kmovw(r.k, bits.r32());
    return r;
  }
  /// The mask for 16 lanes; for part `p` of lanes of type t.
  x86::KReg full(Val& a) {
    if (!a.k.isValid()) {
      a.k = cc_.newKw();
      emit(I::kIdKunpckbw, a.k, a.h[1], a.h[0]);
    }
    return a.k;
  }
  x86::KReg mask(Val& a, Type t, int p) {
    if (!is_wide(t)) return full(a);
    if (!a.h[0].isValid()) {
      a.h[0] = a.k;  // the upper bits are ignored
      a.h[1] = cc_.newKw();
      emit(I::kIdKshiftrw, a.h[1], a.k, imm(8));
    }
    return a.h[static_cast<std::size_t>(p)];
  }
  Val combine(InstId id, Val& a, Val& b) {
    Val r = pred(a.uniform && b.uniform);
    if (!a.k.isValid() && !b.k.isValid()) {
      for (std::size_t p = 0; p < 2; ++p) {
        r.h[p] = cc_.newKw();
        emit(id, r.h[p], a.h[p], b.h[p]);
      }
      return r;
    }
    r.k = cc_.newKw();
    emit(id, r.k, full(a), full(b));
    return r;
  }
};

}  // namespace

std::unique_ptr<Simd> make_avx512(x86::Compiler& cc) { return std::make_unique<Avx512>(cc); }

}  // namespace flash::emit::x64
