// jit/emit/x86/body.cpp -- section bodies: one vector of every instruction
#include "jit/emit/x86/emitter.h"

namespace flash::emit::x64 {

using ir::Inst;
using ir::kNone;
using ir::Op;
using ir::Step;
using ir::Value;

Val Emitter::identity(ir::ReduceKind kind, Type t) {
  static constexpr std::uint64_t kBits[4][4] = {
      // i32, i64, f32, f64
      {0, 0, 0, 0},
      {1, 1, 0x3f800000u, 0x3ff0000000000000ull},
      {0x80000000u, 0x8000000000000000ull, 0xff800000u, 0xfff0000000000000ull},
      {0x7fffffffu, 0x7fffffffffffffffull, 0x7f800000u, 0x7ff0000000000000ull},
  };
  return simd_->constant(t, kBits[static_cast<int>(kind)][static_cast<int>(t) - 1]);
}

Val& Emitter::get(Value v, const Context& c) {
  Val& x = vals_[static_cast<std::size_t>(v)];
  if (x.empty() && !x.mem.hasBase()) x = row_level(v, c);
  return x;
}

bool Emitter::dies(Value v) {
  if (v == kNone) return false;
  int& left = uses_left_[static_cast<std::size_t>(v)];
  return --left == 0 && kept_[static_cast<std::size_t>(v)].empty() &&
         !an_.used_later[static_cast<std::size_t>(v)];
}

void Emitter::compute(Value v, const Context& c) {
  const Inst& i = inst(v);
  const int item = an_.item_of[static_cast<std::size_t>(v)];
  Val& out = vals_[static_cast<std::size_t>(v)];
  switch (i.op) {
    case Op::kLoad:
      out = load(i, item, c);
      break;
    case Op::kStore:
      store(i, item, c);
      break;
    case Op::kIota:
      out = iota(item, c);
      break;
    case Op::kReduce: {
      Val room;
      Val* mask = c.tail;
      if (i.guard != kNone) mask = masked(&get(i.guard, c), c, room);
      reduce(v, get(i.a, c), mask, c);
      break;
    }
    case Op::kTable:
      out = simd_->table(k_.tables[i.imm], get(i.a, c));
      break;
    case Op::kSelect:
      if (const Op op = an_.select_as[static_cast<std::size_t>(v)]; op != Op::kSelect) {
        out = simd_->lesser_or_greater(op, get(i.b, c), get(i.c, c));
        break;
      }
      out = apply(v, c);
      break;
    case Op::kAnd:
    case Op::kOr:
    case Op::kXor:
      if (const Value u = an_.inner[static_cast<std::size_t>(v)]; u != kNone) {
        const Value other = i.a == u ? i.b : i.a;
        Val &a = get(other, c), &b = get(inst(u).a, c), &d = get(inst(u).b, c);
        const bool dying_a = dies(other), dying_b = dies(inst(u).a), dying_c = dies(inst(u).b);
        out = simd_->logic(i.op, a, inst(u).op, b, d, {dying_a, dying_b, dying_c});
        break;
      }
      out = apply(v, c);
      break;
    default:
      out = apply(v, c);
  }
}

Val Emitter::apply(Value v, const Context& c) {
  const Inst& i = inst(v);
  Val* a = i.a != kNone ? &get(i.a, c) : nullptr;
  Val* b = i.b != kNone ? &get(i.b, c) : nullptr;
  Val* d = i.c != kNone ? &get(i.c, c) : nullptr;
  const bool dying_a = dies(i.a), dying_b = dies(i.b), dying_c = dies(i.c);
  return simd_->apply(i, a, b, d, {dying_a, dying_b, dying_c});
}

void Emitter::body(std::size_t section, std::span<const Context> copies) {
  std::vector<std::vector<Val>> vals(copies.size(), kept_);
  std::vector<std::vector<int>> uses_left(copies.size(), an_.uses[section]);
  const auto each = [&](auto f) {
    for (std::size_t i = 0; i < copies.size(); ++i) {
      vals_.swap(vals[i]);
      uses_left_.swap(uses_left[i]);
      f(copies[i]);
      vals_.swap(vals[i]);
      uses_left_.swap(uses_left[i]);
    }
  };
  for (const Value v : k_.sections[section].body)
    if (an_.place[static_cast<std::size_t>(v)] == Place::kBody)
      each([&](const Context& c) { compute(v, c); });
  each([&](const Context& c) { end_of_body(section, c); });
}

void Emitter::hoist(std::size_t section) {
  Context c;
  c.at = &tile_at_;
  c.uniform = true;
  vals_ = kept_;
  uses_left_.assign(k_.insts.size(), 1 << 30);
  for (const Value v : k_.sections[section].body) {
    if (an_.place[static_cast<std::size_t>(v)] != Place::kHoisted) continue;
    compute(v, c);
    Val& x = vals_[static_cast<std::size_t>(v)];
    x.fresh = false;
    kept_[static_cast<std::size_t>(v)] = x;
  }
}

void Emitter::forget_hoisted(std::size_t section) {
  for (const Value v : k_.sections[section].body)
    if (an_.place[static_cast<std::size_t>(v)] == Place::kHoisted)
      kept_[static_cast<std::size_t>(v)] = Val();
}

}  // namespace flash::emit::x64
