// jit/emit/x86/memory.cpp -- loads, stores and iotas: consecutive, broadcast, strided, indirect
#include "jit/emit/x86/emitter.h"

namespace flash::emit::x64 {

using ir::Inst;
using ir::kNone;
using ir::Op;
using ir::Step;
using ir::Value;

namespace {

int log2_size(DType d) { return __builtin_ctz(static_cast<unsigned>(flash::size_of(d))); }

}  // namespace

void Emitter::lane_offsets() {
  // lane × stride for every lane, then the step from one vector to the next.
  offsets_.assign(an_.items.size(), x86::Mem());
  const int n = simd_->lanes;
  for (std::size_t i = 0; i < an_.items.size(); ++i) {
    if (!an_.items[i].lane_by_lane) continue;
    offsets_[i] = cc_.newStack(static_cast<std::uint32_t>(n * 8 + 64), 64);
    x86::Gp lane = cc_.newInt64(), offset = cc_.newInt64();
    Label next = cc_.newLabel();
    cc_.xor_(lane.r32(), lane.r32());
    cc_.xor_(offset.r32(), offset.r32());
    cc_.bind(next);
    x86::Mem m = offsets_[i];
    m.setIndex(lane, 3);
    m.setSize(8);
    cc_.mov(m, offset);
    cc_.add(offset, stride(static_cast<int>(i), k_.vector_axis()));
    cc_.inc(lane);
    cc_.cmp(lane, n);
    cc_.jle(next);
    offsets_[i].setSize(8);
  }
}

x86::Mem& Emitter::buffer(x86::Mem& m) {
  if (!m.hasBase()) m = cc_.newStack(static_cast<std::uint32_t>(simd_->lanes * 8), 64);
  return m;
}

x86::Mem Emitter::address(int item, const Context& c) {
  const Item& x = an_.items[static_cast<std::size_t>(item)];
  const x86::Gp& base = (*c.at)[static_cast<std::size_t>(item)];
  if (c.uniform || x.step(k_.vector_axis()) != Step::kUnit) return x86::ptr(base);
  const int size = flash::size_of(x.access->dtype);
  return x86::ptr(base, c.index, static_cast<std::uint32_t>(log2_size(x.access->dtype)),
                  c.lane0 * size);
}

Val* Emitter::masked(Val* guard, const Context& c, Val& room) {
  if (guard == nullptr) return c.tail;
  if (c.tail == nullptr) return guard;
  room = simd_->pred_and(*guard, *c.tail);
  return &room;
}

void Emitter::each_lane(Val* mask, const std::function<void(const x86::Gp&)>& f) {
  Label next = cc_.newLabel(), out = cc_.newLabel();
  x86::Gp left, lane = cc_.newInt64();
  if (mask != nullptr) {
    left = simd_->mask_bits(*mask);
    cc_.test(left, left);
    cc_.jz(out);
  } else {
    left = cc_.newInt32();
    cc_.mov(left, (1 << simd_->lanes) - 1);
  }
  cc_.bind(next);
  cc_.tzcnt(lane.r32(), left);
  f(lane);
  cc_.blsr(left, left);
  cc_.jnz(next);
  cc_.bind(out);
}

Emitter::LaneAddress Emitter::lane_address(const Inst&, int item, Value index, const Context& c) {
  LaneAddress a{item, cc_.newInt64(), index != kNone};
  cc_.lea(a.base, address(item, c));
  if (a.indexed) {
    Val& x = get(index, c);
    x86::Mem m = buffer(index_buffer_);
    for (int p = 0; p < 2; ++p)
      simd_->emit(I::kIdVmovups, m.cloneAdjusted(p * simd_->bytes), simd_->in_reg(x, p));
  }
  return a;
}

x86::Mem Emitter::lane_mem(const LaneAddress& a, const x86::Gp& lane, int size) {
  const Item& x = an_.items[static_cast<std::size_t>(a.item)];
  const auto shift = static_cast<std::uint32_t>(__builtin_ctz(static_cast<unsigned>(size)));
  const auto bytes = static_cast<std::uint32_t>(size);
  const Step step = x.step(k_.vector_axis());
  x86::Gp base = a.base;
  if (step == Step::kUnit && !a.indexed) return x86::ptr(base, lane, shift, 0, bytes);
  if (step != Step::kZero) {
    base = cc_.newInt64();
    if (step == Step::kUnit) {
      cc_.lea(base, x86::ptr(a.base, lane, shift));
    } else {
      x86::Mem m = offsets_[static_cast<std::size_t>(a.item)];
      m.setIndex(lane, 3);
      cc_.mov(base, m);
      cc_.add(base, a.base);
    }
  }
  if (!a.indexed) return x86::ptr(base, 0, bytes);
  x86::Gp index = cc_.newInt64();
  x86::Mem m = index_buffer_;
  m.setIndex(lane, 3);
  m.setSize(8);
  cc_.mov(index, m);
  return x86::ptr(base, index, shift, 0, bytes);
}

void Emitter::copy_element(const x86::Mem& to, const x86::Mem& from, int size) {
  x86::Gp g = cc_.newInt64();
  if (size == 8) {
    cc_.mov(g, from);
    cc_.mov(to, g);
  } else if (size == 4) {
    cc_.mov(g.r32(), from);
    cc_.mov(to, g.r32());
  } else if (size == 2) {
    cc_.movzx(g.r32(), from);
    cc_.mov(to, g.r16());
  } else {
    cc_.movzx(g.r32(), from);
    cc_.mov(to, g.r8());
  }
}

Val Emitter::load_uniform(const Inst& i, const x86::Mem& m, Val* guard) {
  const DType d = k_.accesses[static_cast<std::size_t>(i.access)].dtype;
  if (guard == nullptr) return simd_->load_broadcast(d, i.type, m);
  // Memory is touched only if some lane wants it.
  Label skip = cc_.newLabel();
  Val zero = simd_->zero(i.type);
  Val r;
  r.type = i.type;
  r.uniform = r.fresh = true;
  r.v[0] = r.v[1] = simd_->reg();
  x86::Gp bits = simd_->mask_bits(*guard);
  simd_->copy(r.v[0], simd_->in_reg(zero, 0));
  cc_.test(bits, bits);
  cc_.jz(skip);
  Val x = simd_->load_broadcast(d, i.type, m);
  simd_->copy(r.v[0], x.v[0]);
  cc_.bind(skip);
  return guard->uniform ? r : simd_->select(*guard, r, zero);
}

Val Emitter::load_lanes(const Inst& i, int item, Val* mask, const Context& c) {
  const DType d = k_.accesses[static_cast<std::size_t>(i.access)].dtype;
  const int size = flash::size_of(d);
  const LaneAddress a = lane_address(i, item, i.a, c);
  x86::Mem b = buffer(element_buffer_);
  if (mask != nullptr) {
    Val zero = simd_->zero(i.type);
    for (int at = 0; at < simd_->lanes * size; at += simd_->bytes)
      simd_->emit(I::kIdVmovups, b.cloneAdjusted(at), simd_->in_reg(zero, 0));
  }
  each_lane(mask, [&](const x86::Gp& lane) {
    x86::Mem to = b;
    to.setIndex(lane, static_cast<std::uint32_t>(log2_size(d)));
    to.setSize(static_cast<std::uint32_t>(size));
    copy_element(to, lane_mem(a, lane, size), size);
  });
  return simd_->load(d, i.type, b, nullptr);
}

Val Emitter::load(const Inst& i, int item, const Context& c) {
  const Item& x = an_.items[static_cast<std::size_t>(item)];
  const DType d = x.access->dtype;
  const Step step = x.step(k_.vector_axis());
  Val* guard = i.guard != kNone ? &get(i.guard, c) : nullptr;
  if (c.uniform) {
    x86::Mem m = address(item, c);
    if (i.a != kNone) {
      x86::Gp index = cc_.newInt64();
      simd_->to_gp(index, simd_->in_reg(get(i.a, c), 0));
      m.setIndex(index, static_cast<std::uint32_t>(log2_size(d)));
    }
    return load_uniform(i, m, guard);
  }
  Val room;
  Val* mask = masked(guard, c, room);
  if (i.a == kNone && step == Step::kZero) {
    return load_uniform(i, address(item, c), guard != nullptr ? mask : nullptr);
  }
  if (i.a == kNone && step == Step::kUnit && (mask == nullptr || simd_->can_mask(d)))
    return simd_->load(d, i.type, address(item, c), mask);
  if (flash::size_of(d) < 4 || step == Step::kUnit) return load_lanes(i, item, mask, c);

  std::array<x86::Vec, 2> offsets;
  for (int p = 0; p < 2; ++p) {
    x86::Vec& o = offsets[static_cast<std::size_t>(p)];
    o = simd_->reg();
    x86::Mem lanes;
    if (step == Step::kAny) {
      lanes = offsets_[static_cast<std::size_t>(item)].cloneAdjusted(p * simd_->bytes);
      lanes.setSize(static_cast<std::uint32_t>(simd_->bytes));
    }
    if (i.a == kNone) {
      simd_->emit(I::kIdVmovups, o, lanes);
      continue;
    }
    simd_->emit(I::kIdVpsllq, o, simd_->in_reg(get(i.a, c), p), imm(log2_size(d)));
    if (step == Step::kAny) simd_->emit(I::kIdVpaddq, o, o, lanes);
  }
  return simd_->gather(i.type, (*c.at)[static_cast<std::size_t>(item)], offsets, mask);
}

void Emitter::store(const Inst& i, int item, const Context& c) {
  const Item& x = an_.items[static_cast<std::size_t>(item)];
  const DType d = x.access->dtype;
  const int size = flash::size_of(d);
  Val* guard = i.guard != kNone ? &get(i.guard, c) : nullptr;
  Val* value = &get(i.a, c);
  Val rounded;
  if (d == DType::kBF16) {
    // Storing cuts the low half off; what is not known to be a bf16 is rounded first.
    const Inst& from = inst(i.a);
    const bool exact = from.op == Op::kRoundBF16 ||
                       (from.op == Op::kLoad &&
                        k_.accesses[static_cast<std::size_t>(from.access)].dtype == DType::kBF16);
    if (!exact) {
      Inst round;
      round.op = Op::kRoundBF16;
      rounded = simd_->apply(round, value, nullptr, nullptr, {});
      value = &rounded;
    }
  }
  if (c.uniform) {
    x86::Mem m = address(item, c);
    simd_->in_reg(*value, 0);  // before the branch: later readers find it there
    if (i.b != kNone) {
      x86::Gp index = cc_.newInt64();
      simd_->to_gp(index, simd_->in_reg(get(i.b, c), 0));
      m.setIndex(index, static_cast<std::uint32_t>(log2_size(d)));
    }
    Label skip = cc_.newLabel();
    if (guard != nullptr) {
      x86::Gp bits = simd_->mask_bits(*guard);
      cc_.test(bits, bits);
      cc_.jz(skip);
    }
    simd_->store_lane0(d, *value, m);
    cc_.bind(skip);
    return;
  }
  Val room;
  Val* mask = masked(guard, c, room);
  const bool consecutive = i.b == kNone && x.step(k_.vector_axis()) == Step::kUnit;
  if (consecutive && (mask == nullptr || simd_->can_mask(d))) {
    if (c.stream) {
      simd_->store_stream(*value, address(item, c));
    } else {
      simd_->store(d, *value, address(item, c), mask);
    }
    return;
  }
  x86::Mem b = buffer(element_buffer_);
  simd_->store(d, *value, b, nullptr);
  const LaneAddress a = lane_address(i, item, i.b, c);
  each_lane(mask, [&](const x86::Gp& lane) {
    x86::Mem from = b;
    from.setIndex(lane, static_cast<std::uint32_t>(log2_size(d)));
    from.setSize(static_cast<std::uint32_t>(size));
    copy_element(lane_mem(a, lane, size), from, size);
  });
}

Val Emitter::iota(int item, const Context& c) {
  x86::Vec base = simd_->broadcast_gp((*c.at)[static_cast<std::size_t>(item)]);
  Val r;
  r.type = Type::kI64;
  r.fresh = true;
  r.uniform = c.uniform;
  if (c.uniform) {
    r.v[0] = r.v[1] = base;
    return r;
  }
  for (int p = 0; p < 2; ++p) {
    x86::Vec& v = r.v[static_cast<std::size_t>(p)];
    v = simd_->reg();
    x86::Mem lanes = offsets_[static_cast<std::size_t>(item)].cloneAdjusted(p * simd_->bytes);
    lanes.setSize(static_cast<std::uint32_t>(simd_->bytes));
    simd_->emit(I::kIdVpaddq, v, base, lanes);
  }
  return r;
}

}  // namespace flash::emit::x64
