// jit/emit/x86/column_state.cpp -- form kColumn: one value a lane, the binary counter, mode kSplit
#include "jit/emit/x86/column.h"

namespace flash::emit::x64 {

using ir::Value;

namespace {

DType storage(Type t) {
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

}  // namespace

x86::Mem ColumnEmitter::slot(Value v, const x86::Gp& index, int lane0) const {
  const int size = size_of(inst(v).type);
  return x86::ptr(size == 8 ? base8_ : base4_, index, size == 8 ? 3 : 2,
                  slot_[at(v)] + lane0 * size);
}

Val ColumnEmitter::load_slot(Value v, const x86::Gp& index, int lane0) {
  const Type t = inst(v).type;
  const Type stored = t == Type::kPred ? Type::kI32 : t;
  Val x = simd_->load(storage(t), stored, slot(v, index, lane0), nullptr);
  return t == Type::kPred ? simd_->pred_from_i32(x) : x;
}

void ColumnEmitter::store_slot(Value v, Val& x, const x86::Gp& index, int lane0) {
  Val mask;
  const bool pred = inst(v).type == Type::kPred;
  if (pred) mask = simd_->pred_to_mask(x);
  simd_->store(storage(inst(v).type), pred ? mask : x, slot(v, index, lane0), nullptr);
}

Val ColumnEmitter::row_level(Value v, const Context& c) { return load_slot(v, c.index, c.lane0); }

void ColumnEmitter::end_of_body(std::size_t s, const Context& c) {
  if (k_.sections[s].loop) return;
  for (const Value v : k_.sections[s].body)
    if (slot_[at(v)] >= 0) store_slot(v, vals_[at(v)], c.index, c.lane0);
}

void ColumnEmitter::reduce(Value v, Val& x, Val* mask, const Context& c) {
  const ir::Inst& i = inst(v);
  std::size_t r = 0;
  while (reductions_[r] != v) ++r;
  if (!c.unrolled || c.copy == 0) acc_[r] = load_slot(v, c.index, c.lane0);
  Val& acc = acc_[r];
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
  if (!c.unrolled || c.copy + 1 == rows_) store_slot(v, acc, c.index, c.lane0);
}

void ColumnEmitter::begin_reductions(std::size_t s) {
  reductions_ = an_.reduces[s];
  acc_.assign(reductions_.size(), Val());
  pushed_ = cc_.newInt64();
  cc_.xor_(pushed_.r32(), pushed_.r32());
}

void ColumnEmitter::each_vector(const std::function<void(const x86::Gp&)>& f) {
  Label next = cc_.newLabel();
  x86::Gp index = cc_.newInt64();
  cc_.mov(index, first_);
  cc_.bind(next);
  f(index);
  cc_.add(index, simd_->lanes);
  cc_.cmp(index, end_);
  cc_.jl(next);
}

void ColumnEmitter::each_level_vector(
    const x86::Gp& level, const std::function<void(const x86::Gp&, Value, const x86::Mem&)>& f) {
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

void ColumnEmitter::fill_identities() {
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

void ColumnEmitter::combine_level(const x86::Gp& level) {
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

x86::Gp ColumnEmitter::level_step() {
  x86::Gp step = cc_.newInt64();
  cc_.imul(step, lanes_now_, level_bytes_);
  return step;
}

void ColumnEmitter::push() {
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

void ColumnEmitter::finish() {
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

void ColumnEmitter::part(std::size_t s, const Cursors& at) {
  hoist(s);
  each_block_of_part(ir::kColumnBlock, [&](const x86::Gp& n) {
    x86::Gp start, most = cc_.newInt64(), left = cc_.newInt64();
    const Cursors inner = enter_block(s, at, ir::kColumnBlock, n, start);
    cc_.mov(left, extent(an_.run));
    cc_.sub(left, start);
    cc_.mov(most, ir::kColumnBlock);
    cc_.cmp(left, most);
    cc_.cmovg(left, most);
    fill_identities();
    indices(s, inner, left);
    push();
  });
  forget_hoisted(s);
  finish();
  x86::Gp element = cc_.newInt64();
  cc_.mov(element, point_);
  cc_.imul(element, word(ir::kArgParts));
  cc_.add(element, part_);
  cc_.imul(element, extent(lane_axis_));
  copy_partials(element, true);
}

void ColumnEmitter::copy_partials(const x86::Gp& element, bool out) {
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

void ColumnEmitter::combine_partials() {
  Label next = cc_.newLabel();
  x86::Gp element = cc_.newInt64(), left = cc_.newInt64();
  cc_.mov(left, word(ir::kArgParts));
  cc_.mov(element, point_);
  cc_.imul(element, left);
  cc_.imul(element, extent(lane_axis_));
  cc_.bind(next);
  copy_partials(element, false);
  push();
  cc_.add(element, extent(lane_axis_));
  cc_.dec(left);
  cc_.jnz(next);
}

}  // namespace flash::emit::x64
