// jit/emit/x86/row.cpp -- form kRow: vectors along the run, row-level values in registers
//
// A reduction block has 256 bytes of virtual lanes. While the body is short they are registers and
// the loop is unrolled so that every copy has its own; else they are memory, and each vector picks
// its place by the index. What is left of a block always goes the second way, masked.
#include "core/mutants.h"
#include "jit/emit/x86/emitter.h"

namespace flash::emit::x64 {

using ir::Inst;
using ir::ReduceKind;
using ir::Value;

namespace {

constexpr int kLaneBytes = 256;  ///< lanes(type) * size_of(type), for every type
static_assert(ir::lanes(Type::kF32) * 4 == kLaneBytes && ir::lanes(Type::kF64) * 8 == kLaneBytes);
constexpr int kLevels = 64;         ///< of the binary counter
constexpr int kUnrolledBody = 120;  ///< instructions of a reduction's copies together, at most
constexpr int kPairedBody = 80;     ///< instructions of a map's body that is written twice, at most

class RowEmitter final : public Emitter {
 public:
  using Emitter::Emitter;

 private:
  struct Reduction {
    Value value;
    ReduceKind kind;
    Type type;
    std::vector<x86::Vec> acc;  ///< in registers
    x86::Vec block;             ///< xmm: the block's result in lane 0
  };

  void tile() override {
    const bool map = !k_.has_reduce();
    decode_tile(map);
    Label out = cc_.newLabel();
    for (std::size_t s = 0; s < k_.sections.size(); ++s) {
      if (!k_.sections[s].loop) {
        Context c;
        c.at = &tile_at_;
        c.uniform = true;
        body(s, c);
        continue;
      }
      begin_reductions(s);
      if (k_.mode == ir::Mode::kSplit) {
        part(s);
        leave_unless_last(out);
        combine_partials();
      } else {
        loop_section(s, map);
      }
      finish();
    }
    cc_.bind(out);
  }

  Val row_level(Value, const Context&) override { return Val(); }  // all are in kept_

  void end_of_body(std::size_t s, const Context&) override {
    if (k_.sections[s].loop) return;
    for (const Value v : k_.sections[s].body) {
      const auto i = static_cast<std::size_t>(v);
      if (!an_.used_later[i] || an_.place[i] != Place::kBody) continue;
      kept_[i] = vals_[i];
      kept_[i].fresh = false;
    }
  }

  void loop_section(std::size_t s, bool map) {
    Label out = cc_.newLabel();
    skip_if_empty(out);
    hoist(s);
    nest(s, an_.first_loop, tile_at_, [&](const Cursors& at) { run(s, at, map); });
    forget_hoisted(s);
    cc_.bind(out);
  }

  void run(std::size_t s, const Cursors& at, bool map) {
    x86::Gp index = cc_.newInt64(), end = cc_.newInt64();
    const Cursors running = enter(s, an_.run, at);
    cc_.mov(end, extent(an_.run));
    if (map) {
      cc_.mov(index, chunk_);
      cc_.imul(index, word(ir::kArgChunk));
      x86::Gp stop = cc_.newInt64();
      cc_.mov(stop, index);
      cc_.add(stop, word(ir::kArgChunk));
      cc_.cmp(stop, end);
      cc_.cmovl(end, stop);
      move_by(s, an_.run, running, index);
    } else {
      cc_.xor_(index.r32(), index.r32());
    }
    if (reductions_.empty()) {
      VectorLoop loop{.index = index, .end = end};
      loop.may_stream = map && streamable(s);
      loop.interleave = side_by_side(s) && masks_well(s) && body_size(s) <= kPairedBody;
      loop.unroll = loop.interleave ? 2 : 1;
      vectors(s, running, loop, Context());
      return;
    }
    Label next = cc_.newLabel();
    x86::Gp stop = cc_.newInt64();
    cc_.bind(next);
    const int length = static_cast<int>(ir::kRowBlock);
    cc_.lea(stop, x86::ptr(index, mutant(Mutant::kReductionBlock) ? length / 2 : length));
    cc_.cmp(stop, end);
    cc_.cmovg(stop, end);
    block(s, running, index, stop);
    push();
    cc_.mov(index, stop);
    cc_.cmp(index, end);
    cc_.jl(next);
  }

  // -- one block ----------------------------------------------------------------------------------
  void begin_reductions(std::size_t s) {
    reductions_.clear();
    for (const Value v : an_.reduces[s])
      reductions_.push_back({v, inst(v).reduce, inst(v).type, {}, cc_.newXmm()});
    if (reductions_.empty()) return;
    const auto n = static_cast<std::uint32_t>(reductions_.size());
    if (n > slots_) {
      lanes_ = cc_.newStack(n * kLaneBytes, 64);
      levels_ = cc_.newStack(n * 8 * kLevels, 64);
      slots_ = n;
    }
    pushed_ = cc_.newInt64();
    cc_.xor_(pushed_.r32(), pushed_.r32());
  }

  bool short_body(std::size_t s, int copies) const {
    const auto registers = static_cast<int>(reductions_.size()) * copies;
    return masks_well(s) && registers <= (simd_->bytes == 64 ? 16 : 8) &&
           body_size(s) * copies <= kUnrolledBody;
  }

  x86::Mem lane_mem(std::size_t r, int offset) const {
    return lanes_.cloneAdjusted(static_cast<int>(r) * kLaneBytes + offset);
  }

  void block(std::size_t s, const Cursors& at, const x86::Gp& index, const x86::Gp& end) {
    const int copies = kLaneBytes / simd_->bytes;
    VectorLoop loop{.index = index, .end = end};
    Context c;
    c.unrolled = short_body(s, copies);
    for (std::size_t r = 0; r < reductions_.size(); ++r) {
      Reduction& red = reductions_[r];
      Val start = identity(red.kind, red.type);
      x86::Vec x = simd_->in_reg(start, 0);
      red.acc.clear();
      for (int i = 0; i < copies; ++i) {
        if (c.unrolled) {
          red.acc.push_back(simd_->reg());
          simd_->copy(red.acc.back(), x);
        } else {
          simd_->emit(I::kIdVmovups, lane_mem(r, i * simd_->bytes), x);
        }
      }
    }
    if (c.unrolled) {
      loop.unroll = copies;
      loop.interleave = side_by_side(s);
      loop.between = [&] {
        for (std::size_t r = 0; r < reductions_.size(); ++r)
          for (int i = 0; i < copies; ++i)
            simd_->emit(I::kIdVmovups, lane_mem(r, i * simd_->bytes),
                        reductions_[r].acc[static_cast<std::size_t>(i)]);
      };
    }
    vectors(s, at, loop, c);
    for (std::size_t r = 0; r < reductions_.size(); ++r) fold(r, copies);
  }

  void reduce(Value v, Val& x, Val* mask, const Context& c) override {
    std::size_t r = 0;
    while (reductions_[r].value != v) ++r;
    Reduction& red = reductions_[r];
    x86::Gp offset;
    if (!c.unrolled) {  // blocks begin at multiples of the lanes
      offset = cc_.newInt64();
      cc_.mov(offset, c.index);
      cc_.shl(offset, is_wide(red.type) ? 3 : 2);
      cc_.and_(offset, kLaneBytes - 1);
    }
    for (int p = 0; p < parts(red.type); ++p) {
      x86::Vec acc, value = simd_->in_reg(x, p);
      x86::Mem m;
      if (c.unrolled) {
        const auto i = static_cast<std::size_t>(c.copy * parts(red.type) + p);
        acc = red.acc[i % red.acc.size()];
      } else {
        acc = simd_->reg();
        m = lane_mem(r, p * simd_->bytes);
        m.setIndex(offset);
        simd_->emit(I::kIdVmovups, acc, m);
      }
      if (mask == nullptr) {
        simd_->combine(red.kind, red.type, acc, acc, value);
      } else {
        x86::Vec sum = simd_->reg();
        simd_->combine(red.kind, red.type, sum, acc, value);
        simd_->blend(red.type, acc, sum, *mask, p);
      }
      if (!c.unrolled) simd_->emit(I::kIdVmovups, m, acc);
    }
  }

  void fold(std::size_t r, int n) {
    Reduction& red = reductions_[r];
    std::vector<x86::Vec> v;
    for (int i = 0; i < n; ++i) {
      v.push_back(simd_->reg());
      simd_->emit(I::kIdVmovups, v.back(), lane_mem(r, i * simd_->bytes));
    }
    for (std::size_t h = v.size() / 2; h >= 1; h /= 2)
      for (std::size_t i = 0; i < h; ++i) simd_->combine(red.kind, red.type, v[i], v[i], v[i + h]);
    x86::Vec x = v[0];
    while (!x.isXmm()) {
      x86::Vec hi = simd_->high_half(x);
      x = simd_->low_half(x);
      simd_->combine(red.kind, red.type, x, x, hi);
    }
    for (int h = 16 / size_of(red.type) / 2; h >= 1; h /= 2) {
      x86::Vec hi = cc_.newXmm();
      simd_->emit(I::kIdVpshufd, hi, x, imm(h * size_of(red.type) == 8 ? 0xee : 0x55));
      simd_->combine(red.kind, red.type, x, x, hi);
    }
    simd_->emit(I::kIdVmovaps, red.block, x);
  }

  // -- the binary counter -------------------------------------------------------------------------
  x86::Mem level_mem(const x86::Gp& level, std::size_t r) const {
    return x86::ptr(level, static_cast<int>(r) * 8);
  }
  int level_bytes() const { return static_cast<int>(reductions_.size()) * 8; }
  static InstId move_id(Type t) { return is_wide(t) ? I::kIdVmovsd : I::kIdVmovss; }

  void combine_level(const x86::Gp& level) {
    for (std::size_t r = 0; r < reductions_.size(); ++r) {
      const Reduction& red = reductions_[r];
      x86::Vec x = cc_.newXmm();
      simd_->emit(move_id(red.type), x, level_mem(level, r));
      simd_->combine(red.kind, red.type, red.block, x, red.block);
    }
  }

  void push() {
    x86::Gp level = cc_.newInt64(), bits = cc_.newInt64();
    Label next = cc_.newLabel(), store = cc_.newLabel();
    cc_.lea(level, levels_);
    cc_.mov(bits, pushed_);
    cc_.bind(next);
    cc_.test(bits.r8(), 1);
    cc_.jz(store);
    combine_level(level);
    cc_.add(level, level_bytes());
    cc_.shr(bits, 1);
    cc_.jmp(next);
    cc_.bind(store);
    for (std::size_t r = 0; r < reductions_.size(); ++r)
      simd_->emit(move_id(reductions_[r].type), level_mem(level, r), reductions_[r].block);
    cc_.inc(pushed_);
  }

  /// What the counter holds, in the reductions' block.
  void fold_levels() {
    Label next = cc_.newLabel(), done = cc_.newLabel();
    x86::Gp level = cc_.newInt64(), first = cc_.newInt64();
    for (const Reduction& red : reductions_) {
      Val none = identity(red.kind, red.type);
      simd_->emit(I::kIdVmovaps, red.block, simd_->in_reg(none, 0).xmm());
    }
    cc_.test(pushed_, pushed_);
    cc_.jz(done);
    cc_.lea(level, levels_);
    cc_.tzcnt(first, pushed_);
    cc_.shrx(pushed_, pushed_, first);
    cc_.imul(first, first, level_bytes());
    cc_.add(level, first);
    for (std::size_t r = 0; r < reductions_.size(); ++r)
      simd_->emit(move_id(reductions_[r].type), reductions_[r].block, level_mem(level, r));
    cc_.bind(next);
    cc_.add(level, level_bytes());
    cc_.shr(pushed_, 1);
    cc_.jz(done);
    cc_.test(pushed_.r8(), 1);
    cc_.jz(next);
    combine_level(level);
    cc_.jmp(next);
    cc_.bind(done);
  }

  void finish() {
    if (reductions_.empty()) return;
    fold_levels();
    for (const Reduction& red : reductions_) {
      Val& x = kept_[static_cast<std::size_t>(red.value)];
      x = simd_->broadcast(red.type, red.block);
      x.fresh = false;
    }
  }

  // -- mode kSplit --------------------------------------------------------------------------------
  x86::Gp partial_address(const Reduction& red, const x86::Gp& element) {
    x86::Gp p = cc_.newInt64();
    const auto access = static_cast<std::size_t>(inst(red.value).access);
    cc_.mov(p, word(k_.accesses[access].pointer));
    cc_.lea(p, x86::ptr(p, element, is_wide(red.type) ? 3 : 2));
    return p;
  }

  void part(std::size_t s) {
    hoist(s);
    each_block_of_part(ir::kRowBlock, [&](const x86::Gp& n) {
      x86::Gp index, end = cc_.newInt64(), stop = cc_.newInt64();
      const Cursors at = enter_block(s, tile_at_, ir::kRowBlock, n, index);
      cc_.mov(end, extent(an_.run));
      cc_.lea(stop, x86::ptr(index, static_cast<int>(ir::kRowBlock)));
      cc_.cmp(stop, end);
      cc_.cmovl(end, stop);
      block(s, at, index, end);
      push();
    });
    forget_hoisted(s);
    fold_levels();
    for (const Reduction& red : reductions_)
      simd_->emit(move_id(red.type), x86::ptr(partial_address(red, tile_)), red.block);
  }

  void combine_partials() {
    Label next = cc_.newLabel();
    x86::Gp element = cc_.newInt64(), left = cc_.newInt64();
    cc_.xor_(pushed_.r32(), pushed_.r32());
    cc_.mov(left, word(ir::kArgParts));
    cc_.mov(element, point_);
    cc_.imul(element, left);
    std::vector<x86::Gp> from;
    for (const Reduction& red : reductions_) from.push_back(partial_address(red, element));
    cc_.bind(next);
    for (std::size_t r = 0; r < reductions_.size(); ++r) {
      const Reduction& red = reductions_[r];
      simd_->emit(move_id(red.type), red.block, x86::ptr(from[r]));
      cc_.add(from[r], size_of(red.type));
    }
    push();
    cc_.dec(left);
    cc_.jnz(next);
  }

  std::vector<Reduction> reductions_;  ///< of the current section
  x86::Gp pushed_;                     ///< blocks in the counter
  x86::Mem lanes_, levels_;
  std::uint32_t slots_ = 0;
};

}  // namespace

std::unique_ptr<Emitter> make_row_emitter(const ir::Kernel& k, Isa isa, x86::Compiler& cc) {
  return std::make_unique<RowEmitter>(k, isa, cc);
}

}  // namespace flash::emit::x64
