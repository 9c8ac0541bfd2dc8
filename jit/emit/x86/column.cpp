// jit/emit/x86/column.cpp -- form kColumn: vectors along the lane axis, loop axes one index at a
// time
//
// A tile's lanes are taken in groups. Row-level values and accumulators of a group lie in the stack
// frame, and for each index of the loop axes the group's lanes stream by: whole row segments, which
// is what memory likes. Levels of the binary counter have one value a lane too; groups get smaller
// when there are many levels.
#include <algorithm>

#include "jit/emit/x86/emitter.h"

namespace flash::emit::x64 {

using ir::ReduceKind;
using ir::Value;

namespace {

constexpr int kMostLanes = 1024;        ///< of a group
constexpr int kSlotsBytes = 64 << 10;   ///< row-level values and accumulators, at most
constexpr int kLevelsBytes = 64 << 10;  ///< binary counter, unless one vector needs more
constexpr int kMostLevels = 64;

class ColumnEmitter final : public Emitter {
 public:
  ColumnEmitter(const ir::Kernel& k, Isa isa, x86::Compiler& cc) : Emitter(k, isa, cc) {
    lane_axis_ = k.vector_axis();
    plan_frame();
  }

 private:
  void plan_frame() {
    slot_.assign(k_.insts.size(), -1);
    int bytes_per_lane = 0, level = 0;
    for (std::size_t s = 0; s < k_.sections.size(); ++s) {
      int section_level = 0;
      for (const Value v : k_.sections[s].body) {
        const bool reduction = inst(v).op == ir::Op::kReduce;
        if (reduction) section_level += size_of(inst(v).type);
        if (!reduction && (!an_.used_later[at(v)] || an_.place[at(v)] != Place::kBody)) continue;
        slot_[at(v)] = bytes_per_lane;
        bytes_per_lane += size_of(inst(v).type);
      }
      level = std::max(level, section_level);
    }
    while (group_ > simd_->lanes && group_ * bytes_per_lane > kSlotsBytes) group_ /= 2;
    for (int& s : slot_) s *= group_;
    slots_bytes_ = std::max(1, bytes_per_lane) * group_;
    level_bytes_ = level;
    levels_bytes_ = std::max(kLevelsBytes, kMostLevels * level * simd_->lanes);
  }

  void tile() override {
    if (!slots_.hasBase()) {
      slots_ = cc_.newStack(static_cast<std::uint32_t>(slots_bytes_), 64);
      if (k_.mode != ir::Mode::kPartial)
        levels_ = cc_.newStack(static_cast<std::uint32_t>(levels_bytes_), 64);
    }
    decode_tile(true);
    if (k_.mode == ir::Mode::kPartial) enter_block();
    x86::Gp last = cc_.newInt64();
    first_ = cc_.newInt64();
    end_ = cc_.newInt64();
    cc_.mov(first_, chunk_);
    cc_.imul(first_, word(ir::kArgChunk));
    cc_.mov(last, first_);
    cc_.add(last, word(ir::kArgChunk));
    cc_.cmp(last, extent(lane_axis_));
    cc_.cmovg(last, extent(lane_axis_));
    group_lanes();

    Label next = cc_.newLabel(), done = cc_.newLabel();
    cc_.cmp(first_, last);
    cc_.jge(done);
    cc_.bind(next);
    cc_.lea(end_, x86::ptr(first_, lanes_now_));
    cc_.cmp(end_, last);
    cc_.cmovg(end_, last);
    group();
    cc_.mov(first_, end_);
    cc_.cmp(first_, last);
    cc_.jl(next);
    cc_.bind(done);
  }

  /// Lanes of a group: the most that lets every level of the counter fit.
  void group_lanes() {
    lanes_now_ = cc_.newInt64();
    cc_.mov(lanes_now_, group_);
    if (k_.mode == ir::Mode::kPartial) return;
    x86::Gp blocks = cc_.newInt64(), bytes = cc_.newInt64();
    if (k_.mode == ir::Mode::kCombine) {
      cc_.mov(blocks, word(ir::kArgBlocks));
    } else {
      cc_.mov(blocks, blocks_of_run(ir::kColumnBlock));
      for (int a = an_.first_loop; a < an_.run; ++a) cc_.imul(blocks, extent(a));
    }
    cc_.lzcnt(blocks, blocks);
    cc_.neg(blocks);
    cc_.add(blocks, 64);  // levels: bits of the number of blocks
    cc_.imul(bytes, blocks, group_ * level_bytes_);
    Label next = cc_.newLabel(), fits = cc_.newLabel();
    cc_.bind(next);
    cc_.cmp(bytes, levels_bytes_);
    cc_.jle(fits);
    cc_.shr(bytes, 1);
    cc_.shr(lanes_now_, 1);
    cc_.jmp(next);
    cc_.bind(fits);
  }

  void group() {
    base4_ = cc_.newInt64();
    base8_ = cc_.newInt64();
    x86::Gp back = cc_.newInt64();
    cc_.mov(back, first_);
    cc_.neg(back);
    x86::Mem m = slots_;
    m.setIndex(back, 2);
    cc_.lea(base4_, m);
    m.setIndex(back, 3);
    cc_.lea(base8_, m);
    for (std::size_t s = 0; s < k_.sections.size(); ++s) {
      Cursors at = enter(s, lane_axis_, tile_at_);
      move_by(s, lane_axis_, at, first_);
      if (!k_.sections[s].loop) {
        lanes(s, at);
        continue;
      }
      begin_reductions(s);
      if (k_.mode == ir::Mode::kPartial) {
        partial(s, at);
        return;
      }
      if (k_.mode == ir::Mode::kCombine) {
        combine_partials();
      } else {
        Label out = cc_.newLabel();
        skip_if_empty(out);
        hoist(s);
        nest(s, an_.first_loop, at, [&](const Cursors& c) { run(s, c); });
        forget_hoisted(s);
        cc_.bind(out);
      }
      finish();
    }
  }

  /// The section's body for every lane of the group, with cursors at the group's first lane.
  void lanes(std::size_t s, const Cursors& at) {
    VectorLoop loop{.index = cc_.newInt64(), .end = end_};
    cc_.mov(loop.index, first_);
    vectors(s, enter(s, lane_axis_, at), loop, Context());
  }

  void run(std::size_t s, const Cursors& at) {
    const Cursors inner = enter(s, an_.run, at);
    if (reductions_.empty()) {
      x86::Gp left = cc_.newInt64();
      cc_.mov(left, extent(an_.run));
      indices(s, inner, left);
      return;
    }
    x86::Gp left = cc_.newInt64(), most = cc_.newInt64(), n = cc_.newInt64();
    Label next = cc_.newLabel();
    cc_.mov(left, extent(an_.run));
    cc_.bind(next);
    cc_.mov(most, ir::kColumnBlock);
    cc_.mov(n, left);
    cc_.cmp(n, most);
    cc_.cmovg(n, most);
    cc_.sub(left, n);
    fill_identities();
    indices(s, inner, n);
    push();
    cc_.test(left, left);
    cc_.jnz(next);
  }

  /// `left` (> 0) indices of the run.
  void indices(std::size_t s, const Cursors& at, const x86::Gp& left) {
    Label next = cc_.newLabel();
    cc_.bind(next);
    lanes(s, at);
    advance(s, an_.run, at);
    cc_.dec(left);
    cc_.jnz(next);
  }

  // -- slots: one value a lane --------------------------------------------------------------------
  static std::size_t at(Value v) { return static_cast<std::size_t>(v); }

  x86::Mem slot(Value v, const x86::Gp& index, int lane0) const {
    const int size = size_of(inst(v).type);
    return x86::ptr(size == 8 ? base8_ : base4_, index, size == 8 ? 3 : 2,
                    slot_[at(v)] + lane0 * size);
  }
  static DType storage(Type t) {
    switch (t) {
      case Type::kI64:
        return DType::kI64;
      case Type::kF32:
        return DType::kF32;
      case Type::kF64:
        return DType::kF64;
      default:
        return DType::kI32;
    }
  }
  Val load_slot(Value v, const x86::Gp& index, int lane0) {
    const Type t = inst(v).type;
    const Type stored = t == Type::kPred ? Type::kI32 : t;
    Val x = simd_->load(storage(t), stored, slot(v, index, lane0), nullptr);
    return t == Type::kPred ? simd_->pred_from_i32(x) : x;
  }
  void store_slot(Value v, Val& x, const x86::Gp& index, int lane0) {
    Val mask;
    const bool pred = inst(v).type == Type::kPred;
    if (pred) mask = simd_->pred_to_mask(x);
    simd_->store(storage(inst(v).type), pred ? mask : x, slot(v, index, lane0), nullptr);
  }

  Val row_level(Value v, const Context& c) override { return load_slot(v, c.index, c.lane0); }

  void end_of_body(std::size_t s, const Context& c) override {
    if (k_.sections[s].loop) return;
    for (const Value v : k_.sections[s].body)
      if (slot_[at(v)] >= 0) store_slot(v, vals_[at(v)], c.index, c.lane0);
  }

  void reduce(Value v, Val& x, Val* mask, const Context& c) override {
    const ir::Inst& i = inst(v);
    Val acc = load_slot(v, c.index, c.lane0);
    for (int p = 0; p < parts(i.type); ++p) {
      const x86::Vec a = simd_->in_reg(acc, p), value = simd_->in_reg(x, p);
      if (i.guard == ir::kNone) {  // lanes beyond the end may hold anything
        simd_->combine(i.reduce, i.type, a, a, value);
      } else {
        x86::Vec sum = simd_->reg();
        simd_->combine(i.reduce, i.type, sum, a, value);
        simd_->blend(i.type, a, sum, *mask, p);
      }
    }
    store_slot(v, acc, c.index, c.lane0);
  }

  // -- the binary counter -------------------------------------------------------------------------
  void begin_reductions(std::size_t s) {
    reductions_ = an_.reduces[s];
    pushed_ = cc_.newInt64();
    cc_.xor_(pushed_.r32(), pushed_.r32());
  }

  /// `f(index)` for every vector of the group.
  void each_vector(const std::function<void(const x86::Gp&)>& f) {
    Label next = cc_.newLabel();
    x86::Gp index = cc_.newInt64();
    cc_.mov(index, first_);
    cc_.bind(next);
    f(index);
    cc_.add(index, simd_->lanes);
    cc_.cmp(index, end_);
    cc_.jl(next);
  }
  /// Also with a pointer into a level, where the reductions of a vector lie side by side.
  void each_level_vector(const x86::Gp& level,
                         const std::function<void(const x86::Gp&, Value, const x86::Mem&)>& f) {
    x86::Gp p = cc_.newInt64();
    cc_.mov(p, level);
    each_vector([&](const x86::Gp& index) {
      int offset = 0;
      for (const Value v : reductions_) {
        f(index, v, x86::ptr(p, offset));
        offset += size_of(inst(v).type) * simd_->lanes;
      }
      cc_.add(p, offset);
    });
  }

  void fill_identities() {
    std::vector<Val> start;
    for (const Value v : reductions_) {
      start.push_back(identity(inst(v).reduce, inst(v).type));
      simd_->in_reg(start.back(), 0);
    }
    each_vector([&](const x86::Gp& index) {
      for (std::size_t r = 0; r < reductions_.size(); ++r)
        store_slot(reductions_[r], start[r], index, 0);
    });
  }

  void combine_level(const x86::Gp& level) {
    each_level_vector(level, [&](const x86::Gp& index, Value v, const x86::Mem& m) {
      const ir::Inst& i = inst(v);
      Val earlier = simd_->load(storage(i.type), i.type, m, nullptr);
      Val acc = load_slot(v, index, 0);
      for (int p = 0; p < parts(i.type); ++p)
        simd_->combine(i.reduce, i.type, simd_->in_reg(acc, p), simd_->in_reg(earlier, p),
                       simd_->in_reg(acc, p));
      store_slot(v, acc, index, 0);
    });
  }

  x86::Gp level_step() {
    x86::Gp step = cc_.newInt64();
    cc_.imul(step, lanes_now_, level_bytes_);
    return step;
  }

  void push() {
    Label next = cc_.newLabel(), store = cc_.newLabel();
    x86::Gp level = cc_.newInt64(), bits = cc_.newInt64();
    const x86::Gp step = level_step();
    cc_.lea(level, levels_);
    cc_.mov(bits, pushed_);
    cc_.bind(next);
    cc_.test(bits.r8(), 1);
    cc_.jz(store);
    combine_level(level);
    cc_.add(level, step);
    cc_.shr(bits, 1);
    cc_.jmp(next);
    cc_.bind(store);
    each_level_vector(level, [&](const x86::Gp& index, Value v, const x86::Mem& m) {
      Val acc = load_slot(v, index, 0);
      simd_->store(storage(inst(v).type), acc, m, nullptr);
    });
    cc_.inc(pushed_);
  }

  void finish() {
    if (reductions_.empty()) return;
    Label next = cc_.newLabel(), some = cc_.newLabel(), done = cc_.newLabel();
    cc_.test(pushed_, pushed_);
    cc_.jnz(some);
    fill_identities();
    cc_.jmp(done);
    cc_.bind(some);
    x86::Gp level = cc_.newInt64(), first = cc_.newInt64();
    const x86::Gp step = level_step();
    cc_.tzcnt(first, pushed_);
    cc_.shrx(pushed_, pushed_, first);
    cc_.imul(first, step);
    cc_.lea(level, levels_);
    cc_.add(level, first);
    each_level_vector(level, [&](const x86::Gp& index, Value v, const x86::Mem& m) {
      Val x = simd_->load(storage(inst(v).type), inst(v).type, m, nullptr);
      store_slot(v, x, index, 0);
    });
    cc_.bind(next);
    cc_.add(level, step);
    cc_.shr(pushed_, 1);
    cc_.jz(done);
    cc_.test(pushed_.r8(), 1);
    cc_.jz(next);
    combine_level(level);
    cc_.jmp(next);
    cc_.bind(done);
  }

  // -- split modes --------------------------------------------------------------------------------
  /// Moves the tile to its block: sets element_ (of the partials) and the block's length.
  void enter_block() {
    std::size_t s = 0;
    while (!k_.sections[s].loop) ++s;
    element_ = cc_.newInt64();
    length_ = cc_.newInt64();
    cc_.mov(element_, point_);
    cc_.imul(element_, word(ir::kArgBlocks));
    cc_.add(element_, block_);
    cc_.imul(element_, extent(lane_axis_));
    x86::Gp start = block_;
    if (an_.run > an_.first_loop) {
      const x86::Gp outer = block_;
      divide(outer, start, blocks_of_run(ir::kColumnBlock));
      move_outer(s, outer);
    }
    cc_.shl(start, __builtin_ctzll(ir::kColumnBlock));
    move_by(s, an_.run, tile_at_, start);
    x86::Gp most = cc_.newInt64();
    cc_.mov(length_, extent(an_.run));
    cc_.sub(length_, start);
    cc_.mov(most, ir::kColumnBlock);
    cc_.cmp(length_, most);
    cc_.cmovg(length_, most);
  }

  void partial(std::size_t s, const Cursors& at) {
    hoist(s);
    fill_identities();
    const Cursors inner = enter(s, an_.run, at);
    x86::Gp left = cc_.newInt64();
    cc_.mov(left, length_);
    indices(s, inner, left);
    forget_hoisted(s);
    copy_partials(element_, true);
  }

  /// Between the accumulators and the partials' buffers, whose lane 0 is element `element`.
  void copy_partials(const x86::Gp& element, bool out) {
    for (const Value v : reductions_) {
      const Type t = inst(v).type;
      x86::Gp p = cc_.newInt64(), index = cc_.newInt64(), left = cc_.newInt64();
      x86::Gp whole = cc_.newInt64();
      cc_.mov(p, word(k_.accesses[static_cast<std::size_t>(inst(v).access)].pointer));
      cc_.lea(p, x86::ptr(p, element, is_wide(t) ? 3 : 2));
      cc_.mov(index, first_);
      cc_.mov(whole, simd_->lanes);
      Label next = cc_.newLabel();
      cc_.bind(next);
      cc_.mov(left, end_);
      cc_.sub(left, index);
      cc_.cmp(left, whole);
      cc_.cmovg(left, whole);
      Val mask = simd_->first_lanes(left);
      const x86::Mem m = x86::ptr(p, index, is_wide(t) ? 3 : 2);
      Val x = out ? load_slot(v, index, 0) : simd_->load(storage(t), t, m, &mask);
      if (out) {
        simd_->store(storage(t), x, m, &mask);
      } else {
        store_slot(v, x, index, 0);
      }
      cc_.add(index, simd_->lanes);
      cc_.cmp(index, end_);
      cc_.jl(next);
    }
  }

  void combine_partials() {
    Label next = cc_.newLabel(), out = cc_.newLabel();
    x86::Gp element = cc_.newInt64(), left = cc_.newInt64();
    cc_.mov(left, word(ir::kArgBlocks));
    cc_.mov(element, point_);
    cc_.imul(element, left);
    cc_.imul(element, extent(lane_axis_));
    cc_.test(left, left);
    cc_.jz(out);
    cc_.bind(next);
    copy_partials(element, false);
    push();
    cc_.add(element, extent(lane_axis_));
    cc_.dec(left);
    cc_.jnz(next);
    cc_.bind(out);
  }

  int lane_axis_ = 0;
  int group_ = kMostLanes;  ///< lanes that the slots hold
  std::vector<int> slot_;   ///< by value: offset of its buffer in slots_; negative: none
  int slots_bytes_ = 0;
  int level_bytes_ = 0;  ///< of one lane in one level
  int levels_bytes_ = 0;
  x86::Mem slots_, levels_;
  x86::Gp lanes_now_;         ///< lanes of the tile's groups
  x86::Gp first_, end_;       ///< lanes of the group
  x86::Gp base4_, base8_;     ///< slots_ minus the first lane, for 4- and 8-byte values
  x86::Gp element_, length_;  ///< kPartial: of the partials, of the block
  std::vector<Value> reductions_;
  x86::Gp pushed_;
};

}  // namespace

std::unique_ptr<Emitter> make_column_emitter(const ir::Kernel& k, Isa isa, x86::Compiler& cc) {
  return std::make_unique<ColumnEmitter>(k, isa, cc);
}

}  // namespace flash::emit::x64
