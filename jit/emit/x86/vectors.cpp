// jit/emit/x86/vectors.cpp -- the loop along the vector axis: whole vectors, then what is left,
// masked
#include "core/mutants.h"
#include "jit/emit/x86/emitter.h"

namespace flash::emit::x64 {

using ir::Inst;
using ir::kNone;
using ir::Op;
using ir::Step;
using ir::Value;

namespace {

// The longer a body, the fewer vectors are under way at once, and the fewer of memory's answers are
// waited for together. Half a page hides that and crosses to the next page before the CPU's own
// prefetchers do. (tanh(sqrt(|xy+1|)/2-y) over 2^24 floats, Xeon: 7.5 ms without, 5.0 with.)
constexpr int kPrefetchAhead = 2048;
constexpr int kShortRun = 1024;  ///< elements; shorter runs are not worth their unaligned ends

}  // namespace

void Emitter::next_vector(std::size_t section, const Cursors& at) {
  for (std::size_t i = 0; i < an_.items.size(); ++i) {
    const Item& item = an_.items[i];
    if (item.in_section[section] && item.step(k_.vector_axis()) == Step::kAny)
      cc_.add(at[i], offsets_[i].cloneAdjusted(simd_->lanes * 8));
  }
}

void Emitter::whole_vectors(std::size_t section, const Cursors& at, const VectorLoop& loop,
                            const Context& c) {
  const int step = simd_->lanes * loop.unroll;
  Label next = cc_.newLabel(), out = cc_.newLabel();
  x86::Gp last = cc_.newInt64();
  cc_.lea(last, x86::ptr(loop.end, -step));
  cc_.cmp(loop.index, last);
  cc_.jg(out);
  cc_.bind(next);
  for (int u = 0; u < loop.unroll;) {
    Context pair[2] = {c, c};
    const int n = loop.interleave && u + 1 < loop.unroll ? 2 : 1;
    for (Context& copy : std::span(pair, static_cast<std::size_t>(n))) {
      copy.copy = u;
      copy.lane0 = u++ * simd_->lanes;
    }
    const std::span<const Context> copies(pair, static_cast<std::size_t>(n));
    if (c.stream)
      for (const Context& copy : copies) prefetch(section, copy);
    body(section, copies);
    next_vector(section, at);
  }
  cc_.add(loop.index, step);
  cc_.cmp(loop.index, last);
  cc_.jle(next);
  cc_.bind(out);
}

void Emitter::streamed_pairs(std::size_t section, const VectorLoop& loop, const Context& c) {
  const int lanes = simd_->lanes;
  Label next = cc_.newLabel(), near = cc_.newLabel(), out = cc_.newLabel();
  x86::Gp second = cc_.newInt64(), step = cc_.newInt64(), done = cc_.newInt64();
  cc_.mov(done, loop.end);
  cc_.sub(done, loop.index);
  cc_.and_(done, -2 * lanes);
  cc_.jz(out);
  cc_.mov(second, lanes);
  cc_.mov(step, 2 * lanes);
  cc_.cmp(done, kHalvedRun);
  cc_.jl(near);
  cc_.mov(second, done);
  cc_.shr(second, 1);
  cc_.mov(step, lanes);
  cc_.bind(near);
  cc_.add(second, loop.index);
  cc_.add(done, loop.index);
  Context pair[2] = {c, c};
  pair[1].copy = 1;
  pair[1].index = second;
  cc_.bind(next);
  for (const Context& copy : pair) prefetch(section, copy);
  body(section, pair);
  cc_.add(loop.index, step);
  cc_.add(second, step);
  cc_.cmp(second, done);
  cc_.jl(next);
  cc_.mov(loop.index, done);
  cc_.bind(out);
}

void Emitter::prefetch(std::size_t section, const Context& c) {
  for (std::size_t i = 0; i < an_.items.size(); ++i) {
    const Item& item = an_.items[i];
    if (!item.in_section[section] || item.access == nullptr || item.access->stored) continue;
    if (item.step(k_.vector_axis()) != Step::kUnit) continue;
    x86::Mem m = address(static_cast<int>(i), c);
    m.addOffset(kPrefetchAhead);
    cc_.prefetcht0(m);
  }
}

void Emitter::masked_vector(std::size_t section, Context c, const x86::Gp& count) {
  Val tail = simd_->first_lanes(count);
  if (!mutant(Mutant::kTailMask)) c.tail = &tail;
  c.unrolled = false;
  body(section, c);
}

void Emitter::vectors(std::size_t section, const Cursors& at, const VectorLoop& loop,
                      const Context& context) {
  Context c = context;
  c.at = &at;
  c.index = loop.index;
  Label whole = cc_.newLabel(), rest = cc_.newLabel(), masked = cc_.newLabel();
  Label out = cc_.newLabel(), streamed = cc_.newLabel();
  x86::Gp n = cc_.newInt64(), streaming;
  if (loop.may_stream) {
    streaming = cc_.newInt32();
    cc_.xor_(streaming, streaming);
    cc_.test(word(ir::kArgFlags), ir::kFlagStream);
    cc_.jz(whole);
    cc_.mov(n, loop.end);
    cc_.sub(n, loop.index);
    cc_.cmp(n, kShortRun);
    cc_.jl(whole);
    align_stores(section, at, loop.index, n, whole);
    cc_.mov(streaming, 1);
    cc_.test(n, n);
    cc_.jnz(masked);
  }
  cc_.bind(whole);
  if (loop.may_stream) {
    cc_.test(streaming, streaming);
    cc_.jnz(streamed);
  }
  whole_vectors(section, at, loop, c);
  if (loop.may_stream) {
    cc_.jmp(rest);
    cc_.bind(streamed);
    c.stream = true;
    if (loop.interleave)
      streamed_pairs(section, loop, c);
    else
      whole_vectors(section, at, loop, c);
    c.stream = false;
  }
  cc_.bind(rest);
  if (loop.between) loop.between();
  cc_.mov(n, loop.end);
  cc_.sub(n, loop.index);
  cc_.jle(out);
  // Several vectors may be left, or this may be the head before the first aligned one.
  x86::Gp count = cc_.newInt64(), most = cc_.newInt64();
  cc_.bind(masked);
  cc_.mov(count, n);
  if (loop.unroll > 1) {
    cc_.mov(most.r32(), simd_->lanes);
    cc_.cmp(count, most);
    cc_.cmovg(count, most);
  }
  masked_vector(section, c, count);
  if (loop.unroll > 1) next_vector(section, at);
  cc_.add(loop.index, count);
  if (loop.may_stream) {
    cc_.cmp(loop.index, loop.end);
    cc_.jl(whole);
  } else if (loop.unroll > 1) {
    cc_.sub(n, count);
    cc_.jg(masked);
  }
  cc_.bind(out);
}

int Emitter::body_size(std::size_t section) const {
  int n = 0;
  for (const Value v : k_.sections[section].body)
    n += an_.place[static_cast<std::size_t>(v)] == Place::kBody;
  return n;
}

bool Emitter::masks_well(std::size_t section) const {
  for (const Item& item : an_.items)
    if (item.in_section[section] && item.access != nullptr && !simd_->can_mask(item.access->dtype))
      return false;
  return true;
}

bool Emitter::side_by_side(std::size_t section) const {
  for (const Item& item : an_.items)
    if (item.in_section[section] && item.step(k_.vector_axis()) == Step::kAny) return false;
  for (const Value v : k_.sections[section].body) {
    const Inst& i = inst(v);
    const Value index = i.op == Op::kLoad ? i.a : i.op == Op::kStore ? i.b : kNone;
    if (i.guard != kNone || index != kNone) return false;
  }
  return true;
}

bool Emitter::streamable(std::size_t section) const {
  if (!side_by_side(section)) return false;
  bool stores = false;
  for (const Value v : k_.sections[section].body) {
    const Inst& i = inst(v);
    if (i.op != Op::kStore) continue;
    const ir::Access& a = k_.accesses[static_cast<std::size_t>(i.access)];
    if (flash::size_of(a.dtype) < 4 || a.step.back() != Step::kUnit) return false;
    stores = true;
  }
  return stores;
}

void Emitter::align_stores(std::size_t section, const Cursors& at, const x86::Gp& index,
                           const x86::Gp& head, const Label& no) {
  // The first store says how many; all have to be aligned after that many.
  bool first = true;
  x86::Gp p = cc_.newInt64();
  for (const Value v : k_.sections[section].body) {
    const Inst& i = inst(v);
    if (i.op != Op::kStore) continue;
    const auto item = static_cast<std::size_t>(an_.item_of[static_cast<std::size_t>(v)]);
    const int size = flash::size_of(an_.items[item].access->dtype);
    const auto shift = static_cast<std::uint32_t>(size == 8 ? 3 : 2);
    cc_.lea(p, x86::ptr(at[item], index, shift));
    if (first) {
      cc_.mov(head, p);
      cc_.neg(head);
      cc_.and_(head, simd_->bytes - 1);
      cc_.shr(head, static_cast<int>(shift));
      first = false;
    }
    cc_.lea(p, x86::ptr(p, head, shift));
    cc_.test(p, simd_->bytes - 1);
    cc_.jnz(no);
  }
}

}  // namespace flash::emit::x64
