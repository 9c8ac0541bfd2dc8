// jit/emit/x86/simd.h -- vectors of IR values in x86 registers: one instruction selection per ISA
//
// A vector has `lanes` lanes: as many as 32-bit values fit one register (AVX-512 16, AVX2 8).
// 64-bit values take two registers, low lanes first. Predicates are k-registers (AVX-512) or lane
// masks in vector registers (AVX2); both also have a form for 64-bit lanes, made when first asked
// for.
#pragma once

#include <asmjit/x86.h>

#include <array>
#include <functional>
#include <memory>

#include "jit/emit/emit.h"
#include "jit/ir/op_info.h"

namespace flash::emit::x64 {

namespace x86 = asmjit::x86;
namespace I = asmjit::x86::Inst;  // instruction ids
using asmjit::imm;
using ir::Op;
using ir::Type;
using InstId = asmjit::InstId;

using ir::is_float;
using ir::size_of;
constexpr bool is_wide(Type t) { return size_of(t) == 8; }
constexpr int parts(Type t) { return is_wide(t) ? 2 : 1; }

/// One IR value in `lanes` lanes.
struct Val {
  Type type = Type::kPred;
  bool uniform = false;   ///< all lanes are equal; both parts may be the same register
  bool fresh = false;     ///< its registers belong to this value alone and may be overwritten
  bool constant = false;  ///< kConst: `bits` is the value
  std::uint64_t bits = 0;
  std::array<x86::Vec, 2> v;   ///< the parts; AVX2 kPred: v[0] is the mask of 32-bit lanes
  x86::Mem mem;                ///< where a value not yet in a register can be read as an operand
  std::array<x86::Vec, 2> w;   ///< AVX2 kPred: masks of 64-bit lanes; kI32: bit 3 as a sign
  x86::KReg k;                 ///< AVX-512 kPred: one bit a lane
  std::array<x86::KReg, 2> h;  ///< AVX-512 kPred: the same in halves of 8 lanes

  bool empty() const {
    return !v[0].isValid() && !w[0].isValid() && !k.isValid() && !h[0].isValid();
  }
};

/// Instructions for the operations that differ only in mnemonic.
struct Mnemonics {
  Op op;
  InstId i32, i64, f32, f64;  ///< kIdNone where a sequence is needed
};

class Simd {
 public:
  Simd(x86::Compiler& cc, int bytes) : lanes(bytes / 4), bytes(bytes), cc_(cc) {}
  virtual ~Simd() = default;

  const int lanes;
  const int bytes;  ///< of a register

  // -- registers and constants
  x86::Vec reg() const;                       ///< a fresh one of full width
  x86::Vec similar(const x86::Vec& v) const;  ///< a fresh one as wide as v
  x86::Vec low_half(const x86::Vec& v) const { return v.half(); }
  virtual x86::Vec high_half(const x86::Vec& v) = 0;  ///< in a register of half the width
  virtual x86::Vec join(const x86::Vec& lo, const x86::Vec& hi) = 0;
  x86::Vec in_reg(Val& a, int part);          ///< loads a pooled value once, then keeps it
  asmjit::Operand operand(Val& a, int part);  ///< register, or memory where that is as good
  Val constant(Type t, std::uint64_t bits);
  Val zero(Type t);
  /// A scalar of the ArgBlock: a memory operand where the ISA has broadcasts, else a register.
  virtual Val scalar(Type t, const x86::Mem& word) = 0;
  Val broadcast(Type t, const x86::Vec& lane0);         ///< lane 0 of an xmm to all lanes
  virtual x86::Vec broadcast_gp(const x86::Gp& q) = 0;  ///< 64-bit lanes
  void copy(const x86::Vec& dst, const x86::Vec& src);
  void to_gp(const x86::Gp& g, const x86::Vec& v);  ///< lane 0, as wide as g
  /// Lane 0 at `m`, as `d`.
  void store_lane0(DType d, Val& a, const x86::Mem& m);

  // -- one IR operation. `dying` says which operands are not read again.
  struct Dying {
    bool a = false, b = false, c = false;
  };
  Val apply(const ir::Inst& inst, Val* a, Val* b, Val* c, Dying dying);
  /// kMin: a < b ? a : b. kMax: a > b ? a : b.
  Val lesser_or_greater(Op op, Val& a, Val& b);
  virtual Val table(const ir::Table& t, Val& index) = 0;
  /// outer(a, inner(b, c)) of kAnd, kOr, kXor.
  virtual Val logic(Op outer, Val& a, Op inner, Val& b, Val& c, Dying dying);
  /// dst = combine(a, b) on registers of any width (see ReduceKind in kernel.h).
  void combine(ir::ReduceKind kind, Type t, const x86::Vec& dst, const x86::Vec& a,
               const asmjit::Operand& b);
  /// acc = value in the lanes of part `part` that the mask holds.
  virtual void blend(Type t, const x86::Vec& acc, const x86::Vec& value, Val& mask, int part) = 0;
  virtual Val select(Val& p, Val& a, Val& b) = 0;
  virtual Val pred_and(Val& a, Val& b) = 0;

  // -- predicates as masks of lanes
  virtual Val first_lanes(const x86::Gp& count) = 0;  ///< lane < count, 0 <= count <= lanes
  virtual x86::Gp mask_bits(Val& p) = 0;              ///< one bit a lane in a 32-bit register
  virtual Val pred_from_i32(Val& a) = 0;              ///< a != 0, where a is 0 or all ones
  virtual Val pred_to_mask(Val& p) = 0;               ///< kI32: 0 or all ones

  // -- memory
  /// `lanes` consecutive elements. With a mask, lanes not in it read as 0 and their memory is not
  /// touched; only where can_mask(dtype).
  virtual bool can_mask(DType d) const = 0;
  virtual Val load(DType d, Type t, const x86::Mem& m, Val* mask) = 0;
  virtual void store(DType d, Val& a, const x86::Mem& m, Val* mask) = 0;
  void store_stream(Val& a, const x86::Mem& m);            ///< 32- and 64-bit elements, m aligned
  Val load_broadcast(DType d, Type t, const x86::Mem& m);  ///< one element to all lanes
  /// 32- or 64-bit elements at base + offset (bytes); as load() with a mask.
  virtual Val gather(Type t, const x86::Gp& base, const std::array<x86::Vec, 2>& offsets,
                     Val* mask) = 0;

  x86::Compiler& cc() { return cc_; }
  template <class... Ops>
  void emit(InstId id, const Ops&... ops) {
    cc_.emit(id, ops...);
  }

 protected:
  /// A memory operand that reads as `bits` in every lane of an arithmetic instruction.
  virtual x86::Mem pooled(Type t, std::uint64_t bits) = 0;
  virtual void load_pooled(const x86::Vec& dst, Type t, const x86::Mem& m) = 0;
  virtual const Mnemonics* mnemonics(Op op) const = 0;
  /// Bitwise instructions whose encodings differ: EVEX ones carry an element size.
  virtual InstId and_id(Type t) const = 0;
  virtual InstId or_id(Type t) const = 0;
  virtual InstId xor_id(Type t) const = 0;
  virtual InstId round_id(Type t) const = 0;
  /// r = value where `test` is NaN.
  virtual void where_nan(Type t, const x86::Vec& r, const x86::Vec& test,
                         const x86::Vec& value) = 0;
  virtual Val compare(Op op, Val& a, Val& b) = 0;
  virtual Val pred_or(Val& a, Val& b) = 0;
  virtual Val pred_not(Val& a) = 0;
  virtual Val pred_to_i32(Val& a) = 0;  ///< 0 or 1
  virtual Val mul_i64(Val& a, Val& b) = 0;
  virtual Val min_max_i64(Op op, Val& a, Val& b) = 0;
  virtual Val abs_i64(Val& a) = 0;
  virtual Val shift_right_i64(Val& a, Val& count) = 0;  ///< arithmetic; counts are below 64
  virtual Val cast_i64_float(Val& a, Type to) = 0;      ///< between kI64 and a float type

  template <class F>
  Val build(Type t, bool uniform, F f) {
    Val r;
    r.type = t;
    r.uniform = uniform;
    r.fresh = true;
    r.v[0] = f(0);
    if (parts(t) == 2) r.v[1] = uniform ? r.v[0] : f(1);
    return r;
  }
  Val vertical(InstId id, Type t, Val& a);
  Val vertical(InstId id, Type t, Val& a, Val& b);
  Val vertical_imm(InstId id, Type t, Val& a, int i);
  /// Runs scalar code once a lane: `f(dst, a, b)` gets memory operands of that lane.
  using LaneCode = std::function<void(const x86::Mem&, const x86::Mem&, const x86::Mem&)>;
  Val by_lane(Type to, Val& a, Val* b, const LaneCode& f);

  x86::Compiler& cc_;

 private:
  Val shift(Op op, Val& a, Val& b);
  Val fma(Val& a, Val& b, Val& c, Dying dying);
  virtual Val scale(Val& a, Val& n);
  Val float_min_max(Op op, Val& a, Val& b);
  Val divide(Op op, Val& a, Val& b);
  Val divide_i64(Op op, Val& a, Val& b);
  Val mul_hi(Val& a, Val& b);
  Val cast(Val& a, Type to);
  Val round_half(Val& a);
  Val round_bfloat(Val& a);
  x86::Mem lane_buffer_[3];
};

/// 8-bit immediates of the compare instructions, without signals.
inline constexpr int kCmpEq = 0, kCmpUnord = 3, kCmpNe = 4, kCmpLt = 0x11, kCmpLe = 0x12;

std::unique_ptr<Simd> make_avx2(x86::Compiler& cc);
std::unique_ptr<Simd> make_avx512(x86::Compiler& cc);

}  // namespace flash::emit::x64
