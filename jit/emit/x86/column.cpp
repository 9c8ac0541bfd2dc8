// jit/emit/x86/column.cpp -- form kColumn: groups of lanes, rows of the loop axes
#include "jit/emit/x86/column.h"

#include <algorithm>

namespace flash::emit::x64 {

using ir::Value;

namespace {

constexpr int kSlotsBytes = 64 << 10;   ///< row-level values and accumulators, at most
constexpr int kLevelsBytes = 64 << 10;  ///< binary counter, unless one vector needs more
constexpr int kMostLevels = 64;
constexpr int kRows = 4;       ///< taken at once, while accumulators stay in registers
constexpr int kLightBody = 6;  ///< instructions; bodies up to here wait for memory

}  // namespace

ColumnEmitter::ColumnEmitter(const ir::Kernel& k, Isa isa, x86::Compiler& cc)
    : Emitter(k, isa, cc), lane_axis_(k.vector_axis()) {
  plan_frame();
}

void ColumnEmitter::plan_frame() {
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

void ColumnEmitter::tile() {
  if (!slots_.hasBase()) {
    slots_ = cc_.newStack(static_cast<std::uint32_t>(slots_bytes_), 64);
    levels_ = cc_.newStack(static_cast<std::uint32_t>(levels_bytes_), 64);
  }
  decode_tile(true);
  x86::Gp last = cc_.newInt64();
  first_ = cc_.newInt64();
  end_ = cc_.newInt64();
  whole_end_ = cc_.newInt64();
  cc_.mov(first_, chunk_);
  cc_.imul(first_, word(ir::kArgChunk));
  cc_.mov(last, first_);
  cc_.add(last, word(ir::kArgChunk));
  cc_.cmp(last, extent(lane_axis_));
  cc_.cmovg(last, extent(lane_axis_));
  group_lanes();
  if (k_.mode != ir::Mode::kSplit) return groups(last, Pass::kWhole);
  x86::Gp begin = cc_.newInt64();
  cc_.mov(begin, first_);
  Label out = cc_.newLabel();
  groups(last, Pass::kPart);
  leave_unless_last(out);
  cc_.mov(first_, begin);
  groups(last, Pass::kCombine);
  cc_.bind(out);
}

/// Lanes first_ … last - 1; first_ moves there.
void ColumnEmitter::groups(const x86::Gp& last, Pass pass) {
  Label next = cc_.newLabel(), done = cc_.newLabel();
  cc_.cmp(first_, last);
  cc_.jge(done);
  cc_.bind(next);
  cc_.lea(end_, x86::ptr(first_, lanes_now_));
  cc_.cmp(end_, last);
  cc_.cmovg(end_, last);
  cc_.mov(whole_end_, end_);
  cc_.sub(whole_end_, first_);
  cc_.and_(whole_end_, -simd_->lanes);
  cc_.add(whole_end_, first_);
  group(pass);
  cc_.mov(first_, end_);
  cc_.cmp(first_, last);
  cc_.jl(next);
  cc_.bind(done);
}

void ColumnEmitter::group_lanes() {
  lanes_now_ = cc_.newInt64();
  cc_.mov(lanes_now_, group_);
  x86::Gp blocks = blocks_of_point(ir::kColumnBlock), bytes = cc_.newInt64();
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

void ColumnEmitter::group(Pass pass) {
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
    if (pass == Pass::kPart) {
      part(s, at);
      return;
    }
    if (pass == Pass::kCombine) {
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

void ColumnEmitter::lanes(std::size_t s, const Cursors& at) {
  VectorLoop loop{.index = cc_.newInt64(), .end = end_};
  cc_.mov(loop.index, first_);
  vectors(s, enter(s, lane_axis_, at), loop, Context());
}

void ColumnEmitter::run(std::size_t s, const Cursors& at) {
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

int ColumnEmitter::rows_at_once(std::size_t s) const {
  // Rows left over go masked; where that is slow, one at a time leaves none.
  return !reductions_.empty() && masks_well(s) && body_size(s) * kRows <= 100 ? kRows : 1;
}

/// The rows after `rows` of what a light body loads: the prefetchers of the CPU stop at each row's
/// end.
std::vector<ColumnEmitter::Ahead> ColumnEmitter::rows_ahead(std::size_t s,
                                                            const std::vector<Cursors>& rows) {
  std::vector<Ahead> ahead;
  if (body_size(s) > kLightBody) return ahead;
  for (std::size_t i = 0; i < an_.items.size(); ++i) {
    const Item& item = an_.items[i];
    if (!item.in_section[s] || item.access == nullptr || item.access->stored) continue;
    if (item.step(lane_axis_) != ir::Step::kUnit || item.step(an_.run) != ir::Step::kAny) continue;
    const int size = flash::size_of(item.access->dtype);
    const auto shift = static_cast<std::uint32_t>(__builtin_ctz(static_cast<unsigned>(size)));
    x86::Gp before = rows.back()[i];
    for (std::size_t r = 0; r < rows.size(); ++r) {
      x86::Gp p = cc_.newInt64();
      cc_.mov(p, before);
      cc_.add(p, stride(static_cast<int>(i), an_.run));
      ahead.push_back({p, shift});
      before = p;
    }
  }
  return ahead;
}

/// `n` (> 0) indices of the run for all lanes of the group; `at` moves behind them.
void ColumnEmitter::indices(std::size_t s, const Cursors& at, const x86::Gp& n) {
  // Whole vectors of lanes first, then the rows that are left for them, then the lanes that are
  // left. The last two share their code.
  x86::Gp left = cc_.newInt64(), first = cc_.newInt64(), end = cc_.newInt64();
  x86::Gp last_pass = cc_.newInt32();
  Label masked = cc_.newLabel(), last = cc_.newLabel(), out = cc_.newLabel();
  Cursors row = at;
  for (std::size_t i = 0; i < row.size(); ++i) {
    const Item& item = an_.items[i];
    if (!item.in_section[s]) continue;
    if (item.step(an_.run) != ir::Step::kAny && item.step(lane_axis_) != ir::Step::kAny) continue;
    row[i] = cc_.newInt64();
    cc_.mov(row[i], at[i]);
  }
  cc_.xor_(last_pass, last_pass);
  cc_.cmp(first_, whole_end_);
  cc_.je(last);
  cc_.mov(left, n);
  whole_rows(s, row, left);
  cc_.mov(first, first_);
  cc_.mov(end, whole_end_);
  cc_.test(left, left);
  cc_.jz(last);

  cc_.bind(masked);
  masked_rows(s, row, left, first, end);
  cc_.test(last_pass, last_pass);
  cc_.jnz(out);

  cc_.bind(last);
  cc_.mov(last_pass, 1);
  cc_.mov(first, whole_end_);
  cc_.mov(end, end_);
  cc_.cmp(first, end);
  cc_.je(out);
  cc_.mov(left, n);
  for (std::size_t i = 0; i < row.size(); ++i)
    if (row[i] != at[i]) cc_.mov(row[i], at[i]);
  x86::Gp skipped = cc_.newInt64();
  cc_.mov(skipped, whole_end_);
  cc_.sub(skipped, first_);
  move_by(s, lane_axis_, row, skipped);
  cc_.jmp(masked);
  cc_.bind(out);
  move_by(s, an_.run, at, n);
}

/// As many times rows_at_once() as `left` holds, which keeps the remainder; lanes in whole vectors.
void ColumnEmitter::whole_rows(std::size_t s, const Cursors& at, const x86::Gp& left) {
  rows_ = rows_at_once(s);
  Label next = cc_.newLabel(), vector = cc_.newLabel(), out = cc_.newLabel();
  cc_.sub(left, rows_);
  cc_.jl(out);
  cc_.bind(next);
  std::vector<Cursors> row = {at};
  while (static_cast<int>(row.size()) < rows_) {
    row.push_back(enter(s, an_.run, row.back()));
    advance(s, an_.run, row.back());
  }
  std::vector<Cursors> lane;
  for (const Cursors& r : row) lane.push_back(enter(s, lane_axis_, r));
  const std::vector<Ahead> ahead = rows_ahead(s, row);
  Context c;
  c.index = cc_.newInt64();
  c.unrolled = rows_ > 1;
  cc_.mov(c.index, first_);
  cc_.bind(vector);
  for (int r = 0; r < rows_; ++r) {
    c.copy = r;
    c.at = &lane[static_cast<std::size_t>(r)];
    body(s, c);
    next_vector(s, *c.at);
  }
  for (const Ahead& a : ahead) cc_.prefetcht0(x86::ptr(a.row, c.index, a.shift));
  cc_.add(c.index, simd_->lanes);
  cc_.cmp(c.index, whole_end_);
  cc_.jl(vector);
  for (std::size_t i = 0; i < at.size(); ++i)
    if (row.back()[i] != at[i]) cc_.mov(at[i], row.back()[i]);
  advance(s, an_.run, at);
  cc_.sub(left, rows_);
  cc_.jge(next);
  cc_.bind(out);
  cc_.add(left, rows_);
}

/// `rows` (> 0) rows of lanes first … end - 1 (> first), one row and one masked vector at a time.
void ColumnEmitter::masked_rows(std::size_t s, const Cursors& at, const x86::Gp& rows,
                                const x86::Gp& first, const x86::Gp& end) {
  Label next = cc_.newLabel(), vector = cc_.newLabel();
  cc_.bind(next);
  const Cursors lane = enter(s, lane_axis_, at);
  Context c;
  c.at = &lane;
  c.index = cc_.newInt64();
  x86::Gp count = cc_.newInt64(), most = cc_.newInt64();
  cc_.mov(c.index, first);
  cc_.bind(vector);
  cc_.mov(most.r32(), simd_->lanes);
  cc_.mov(count, end);
  cc_.sub(count, c.index);
  cc_.cmp(count, most);
  cc_.cmovg(count, most);
  masked_vector(s, c, count);
  next_vector(s, lane);
  cc_.add(c.index, simd_->lanes);
  cc_.cmp(c.index, end);
  cc_.jl(vector);
  advance(s, an_.run, at);
  cc_.dec(rows);
  cc_.jnz(next);
}

std::unique_ptr<Emitter> make_column_emitter(const ir::Kernel& k, Isa isa, x86::Compiler& cc) {
  return std::make_unique<ColumnEmitter>(k, isa, cc);
}

}  // namespace flash::emit::x64
