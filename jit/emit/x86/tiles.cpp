// jit/emit/x86/tiles.cpp -- the outside of a kernel: tiles, grid points, cursors, loop nests
#include "jit/emit/symbols.h"
#include "jit/emit/x86/emitter.h"

namespace flash::emit::x64 {

using ir::Step;

Emitter::Emitter(const ir::Kernel& k, Isa isa, x86::Compiler& cc)
    : k_(k), an_(k), cc_(cc), simd_(isa == Isa::kAvx512 ? make_avx512(cc) : make_avx2(cc)) {}

void Emitter::function() {
  asmjit::FuncNode* f =
      cc_.addFunc(asmjit::FuncSignatureT<void, const ir::Word*, std::int64_t, std::int64_t>());
  f->frame().setAvxEnabled();
  f->frame().setAvxCleanup();
  if (simd_->bytes == 64) f->frame().setAvx512Enabled();
  if (wants_symbols()) f->frame().setPreservedFP();
  args_ = cc_.newIntPtr("args");
  tile_ = cc_.newInt64("tile");
  tile_end_ = cc_.newInt64("tile_end");
  f->setArg(0, args_);
  f->setArg(1, tile_);
  f->setArg(2, tile_end_);

  Label next = cc_.newLabel(), done = cc_.newLabel();
  cc_.cmp(tile_, tile_end_);
  cc_.jge(done);
  lane_offsets();
  kept_.assign(k_.insts.size(), Val());
  const int in_registers = simd_->bytes == 64 ? 8 : 4;
  for (std::size_t v = 0; v < k_.insts.size(); ++v) {
    if (an_.place[v] != Place::kPooled) continue;
    const ir::Inst& i = k_.insts[v];
    kept_[v] = i.op == ir::Op::kConst ? simd_->constant(i.type, i.imm)
                                      : simd_->scalar(i.type, word(i.slot));
    if (an_.pooled <= in_registers) simd_->in_reg(kept_[v], 0);
  }
  cc_.bind(next);
  tile();
  cc_.inc(tile_);
  cc_.cmp(tile_, tile_end_);
  cc_.jl(next);
  if (!k_.has_reduce()) {  // streamed stores become visible before anything that follows
    cc_.test(word(ir::kArgFlags), ir::kFlagStream);
    cc_.jz(done);
    cc_.sfence();
  }
  cc_.bind(done);
  cc_.ret();
  cc_.endFunc();
}

void Emitter::decode_tile(bool chunked) {
  x86::Gp q = cc_.newInt64();
  cc_.mov(q, tile_);
  const bool split = k_.mode == ir::Mode::kSplit;
  if (split) {
    divide(q, part_, word(ir::kArgParts));
    whole_ = cc_.newInt64();
    cc_.mov(whole_, q);
  }
  if (chunked) {
    Label single = cc_.newLabel();
    chunk_ = cc_.newInt64();
    cc_.xor_(chunk_.r32(), chunk_.r32());
    cc_.cmp(word(ir::kArgChunks), 1);
    cc_.je(single);
    x86::Gp r;
    divide(q, r, word(ir::kArgChunks));
    cc_.mov(chunk_, r);
    cc_.bind(single);
  }
  if (split) {  // the partials' addresses need it after the grid is split
    point_ = cc_.newInt64();
    cc_.mov(point_, q);
  }
  std::vector<x86::Gp> index(static_cast<std::size_t>(an_.first_loop));
  for (int a = an_.first_loop - 1; a >= 1; --a)
    divide(q, index[static_cast<std::size_t>(a)], extent(a));
  if (an_.first_loop > 0) index[0] = q;

  tile_at_.clear();
  for (std::size_t i = 0; i < an_.items.size(); ++i) {
    const Item& item = an_.items[i];
    x86::Gp p = cc_.newInt64();
    cc_.mov(p, word(item.base));
    for (int a = 0; a < an_.first_loop; ++a) {
      if (item.step(a) == Step::kZero) continue;
      x86::Gp d = cc_.newInt64();
      cc_.mov(d, index[static_cast<std::size_t>(a)]);
      cc_.imul(d, stride(static_cast<int>(i), a));
      cc_.add(p, d);
    }
    tile_at_.push_back(p);
  }
}

Cursors Emitter::enter(std::size_t section, int axis, const Cursors& at) {
  Cursors inner = at;
  for (std::size_t i = 0; i < an_.items.size(); ++i) {
    const Item& item = an_.items[i];
    if (!item.in_section[section] || item.step(axis) != Step::kAny) continue;
    inner[i] = cc_.newInt64();
    cc_.mov(inner[i], at[i]);
  }
  return inner;
}

void Emitter::advance(std::size_t section, int axis, const Cursors& at) {
  for (std::size_t i = 0; i < an_.items.size(); ++i) {
    const Item& item = an_.items[i];
    if (!item.in_section[section] || item.step(axis) != Step::kAny) continue;
    cc_.add(at[i], stride(static_cast<int>(i), axis));
  }
}

void Emitter::move_by(std::size_t section, int axis, const Cursors& at, const x86::Gp& count) {
  for (std::size_t i = 0; i < an_.items.size(); ++i) {
    const Item& item = an_.items[i];
    if (!item.in_section[section] || item.step(axis) != Step::kAny) continue;
    x86::Gp d = cc_.newInt64();
    cc_.mov(d, count);
    cc_.imul(d, stride(static_cast<int>(i), axis));
    cc_.add(at[i], d);
  }
}

void Emitter::nest(std::size_t section, int axis, const Cursors& at,
                   const std::function<void(const Cursors&)>& leaf) {
  if (axis == an_.run) {
    leaf(at);
    return;
  }
  Label next = cc_.newLabel();
  x86::Gp left = cc_.newInt64();
  cc_.mov(left, extent(axis));  // not empty: see skip_if_empty
  const Cursors inner = enter(section, axis, at);
  cc_.bind(next);
  nest(section, axis + 1, inner, leaf);
  advance(section, axis, inner);
  cc_.dec(left);
  cc_.jnz(next);
}

void Emitter::skip_if_empty(const Label& out) {
  for (int a = an_.first_loop; a <= an_.run; ++a) {
    cc_.cmp(extent(a), 0);
    cc_.jle(out);
  }
}

void Emitter::move_outer(std::size_t section, const Cursors& at, const x86::Gp& outer) {
  for (int a = an_.run - 1; a >= an_.first_loop; --a) {
    x86::Gp i = outer;
    if (a > an_.first_loop) divide(outer, i, extent(a));
    move_by(section, a, at, i);
  }
}

x86::Gp Emitter::blocks_of_run(std::int64_t block) {
  x86::Gp n = cc_.newInt64();
  cc_.mov(n, extent(an_.run));
  cc_.add(n, block - 1);
  cc_.shr(n, __builtin_ctzll(static_cast<unsigned long long>(block)));
  return n;
}

x86::Gp Emitter::blocks_of_point(std::int64_t block) {
  x86::Gp n = blocks_of_run(block);
  for (int a = an_.first_loop; a < an_.run; ++a) cc_.imul(n, extent(a));
  return n;
}

void Emitter::each_block_of_part(std::int64_t block, const std::function<void(const x86::Gp&)>& f) {
  Label next = cc_.newLabel(), out = cc_.newLabel();
  x86::Gp at = cc_.newInt64(), end = cc_.newInt64(), index = cc_.newInt64();
  cc_.mov(at, part_);
  cc_.imul(at, word(ir::kArgPartBlocks));
  cc_.mov(end, at);
  cc_.add(end, word(ir::kArgPartBlocks));
  const x86::Gp all = blocks_of_point(block);
  cc_.cmp(end, all);
  cc_.cmovg(end, all);
  cc_.cmp(at, end);
  cc_.jge(out);
  cc_.bind(next);
  cc_.mov(index, at);
  f(index);
  cc_.inc(at);
  cc_.cmp(at, end);
  cc_.jl(next);
  cc_.bind(out);
}

Cursors Emitter::enter_block(std::size_t section, const Cursors& at, std::int64_t block,
                             const x86::Gp& index, x86::Gp& start) {
  Cursors inner = at;
  for (std::size_t i = 0; i < an_.items.size(); ++i) {
    if (!an_.items[i].in_section[section]) continue;
    inner[i] = cc_.newInt64();
    cc_.mov(inner[i], at[i]);
  }
  start = index;
  if (an_.run > an_.first_loop) {
    divide(index, start, blocks_of_run(block));
    move_outer(section, inner, index);
  }
  cc_.shl(start, __builtin_ctzll(static_cast<unsigned long long>(block)));
  move_by(section, an_.run, inner, start);
  return inner;
}

void Emitter::leave_unless_last(const Label& out) {
  x86::Gp tally = cc_.newInt64(), n = cc_.newInt64();
  cc_.mov(tally, word(ir::kArgTallies));
  cc_.add(tally, whole_);
  cc_.lea(tally, x86::ptr(args_, tally, 3));
  cc_.mov(n, 1);
  cc_.lock().xadd(x86::qword_ptr(tally), n);  // a full barrier: all partials are visible
  cc_.inc(n);
  cc_.cmp(n, word(ir::kArgParts));
  cc_.jne(out);
  cc_.mov(x86::qword_ptr(tally), 0);
}

}  // namespace flash::emit::x64
