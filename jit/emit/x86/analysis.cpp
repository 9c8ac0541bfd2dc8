// jit/emit/x86/analysis.cpp -- finds pointers to keep, loop invariants, uses and reductions
#include "jit/emit/x86/analysis.h"

#include <algorithm>

#include "jit/ir/op_info.h"

namespace flash::emit::x64 {

using ir::Inst;
using ir::kNone;
using ir::Op;
using ir::Step;
using ir::Value;

namespace {

std::size_t at(Value v) { return static_cast<std::size_t>(v); }

bool bitwise(Op op) { return op == Op::kAnd || op == Op::kOr || op == Op::kXor; }

}  // namespace

Analysis::Analysis(const ir::Kernel& k) {
  for (const ir::Role r : k.axes) first_loop += r == ir::Role::kGrid;
  run = k.n_axes() - 1 - (k.form == ir::Form::kColumn ? 1 : 0);
  find_items(k);
  find_places(k);
  find_min_max(k);
  find_inner(k);
  drop_unused(k);

  const std::size_t n = k.insts.size();
  uses.assign(k.sections.size(), std::vector<int>(n, 0));
  reduces.resize(k.sections.size());
  used_later.assign(n, false);
  std::vector<std::size_t> home(n, 0);
  for (std::size_t s = 0; s < k.sections.size(); ++s) {
    for (const Value v : k.sections[s].body) {
      const Inst& i = k.insts[at(v)];
      home[at(v)] = s;
      if (i.op == Op::kReduce) reduces[s].push_back(v);
      pooled += place[at(v)] == Place::kPooled;
      if (place[at(v)] == Place::kNowhere) continue;
      each_operand(k, v, [&](Value u) {
        if (home[at(u)] != s && place[at(u)] != Place::kPooled) used_later[at(u)] = true;
        if (place[at(v)] == Place::kBody) ++uses[s][at(u)];
      });
    }
  }
}

void Analysis::find_items(const ir::Kernel& k) {
  std::vector<int> of_access(k.accesses.size(), -1);
  item_of.assign(k.insts.size(), -1);
  for (std::size_t s = 0; s < k.sections.size(); ++s) {
    for (const Value v : k.sections[s].body) {
      const Inst& i = k.insts[at(v)];
      if (i.op != Op::kLoad && i.op != Op::kStore && i.op != Op::kIota) continue;
      const bool iota = i.op == Op::kIota;
      int item = iota ? -1 : of_access[static_cast<std::size_t>(i.access)];
      if (item < 0) {
        item = static_cast<int>(items.size());
        Item x;
        x.in_section.assign(k.sections.size(), false);
        if (iota) {
          x.base = i.slot;
          x.strides = i.slot + 1;
        } else {
          x.access = &k.accesses[static_cast<std::size_t>(i.access)];
          x.base = x.access->pointer;
          x.strides = x.access->strides;
          of_access[static_cast<std::size_t>(i.access)] = item;
        }
        x.lane_by_lane = x.step(k.vector_axis()) == Step::kAny;
        items.push_back(std::move(x));
      }
      items[static_cast<std::size_t>(item)].in_section[s] = true;
      item_of[at(v)] = item;
    }
  }
}

void Analysis::find_places(const ir::Kernel& k) {
  place.assign(k.insts.size(), Place::kBody);
  // Values that are the same for all lanes wherever they are read.
  std::vector<bool> flat(k.insts.size(), false);
  for (const ir::Section& section : k.sections) {
    for (const Value v : section.body) {
      const Inst& i = k.insts[at(v)];
      if (i.op == Op::kConst || i.op == Op::kScalar) {
        place[at(v)] = Place::kPooled;
        flat[at(v)] = true;
        continue;
      }
      if (!section.loop) {
        flat[at(v)] = k.form == ir::Form::kRow;
        continue;
      }
      if (i.op == Op::kStore || i.op == Op::kIota) continue;
      if (i.op == Op::kReduce) {
        flat[at(v)] = k.form == ir::Form::kRow;  // visible after the section only
        continue;
      }
      bool invariant = i.guard == kNone;
      for (const Value u : {i.a, i.b, i.c}) invariant = invariant && (u == kNone || flat[at(u)]);
      if (i.op == Op::kLoad) {
        const ir::Access& a = k.accesses[static_cast<std::size_t>(i.access)];
        invariant = invariant && !a.stored;
        for (int axis = first_loop; axis < k.n_axes(); ++axis)
          invariant = invariant && a.step[static_cast<std::size_t>(axis)] == Step::kZero;
      }
      if (invariant) {
        place[at(v)] = Place::kHoisted;
        flat[at(v)] = true;
      }
    }
  }
}

template <class F>
void Analysis::each_operand(const ir::Kernel& k, Value v, F f) const {
  const Inst& i = k.insts[at(v)];
  const bool compares = i.op == Op::kSelect && select_as[at(v)] != Op::kSelect;
  for (const Value u : {compares ? kNone : i.a, i.b, i.c, i.guard})
    if (u != kNone && u != inner[at(v)]) f(u);
  if (inner[at(v)] != kNone) each_operand(k, inner[at(v)], f);
}

void Analysis::find_min_max(const ir::Kernel& k) {
  // x < y ? x : y and x < y ? y : x are what the instructions compute, NaN and -0 included.
  select_as.assign(k.insts.size(), Op::kSelect);
  for (std::size_t v = 0; v < k.insts.size(); ++v) {
    const Inst& i = k.insts[v];
    if (i.op != Op::kSelect) continue;
    const Inst& p = k.insts[at(i.a)];
    if (p.op != Op::kLt) continue;
    if (p.a == i.b && p.b == i.c) select_as[v] = Op::kMin;
    if (p.a == i.c && p.b == i.b) select_as[v] = Op::kMax;
  }
}

void Analysis::find_inner(const ir::Kernel& k) {
  inner.assign(k.insts.size(), kNone);
  std::vector<int> reads(k.insts.size(), 0);
  for (const ir::Section& section : k.sections)
    for (const Value v : section.body) each_operand(k, v, [&](Value u) { ++reads[at(u)]; });
  for (const ir::Section& section : k.sections) {
    std::vector<bool> here(k.insts.size(), false);
    for (const Value v : section.body) {
      const Inst& i = k.insts[at(v)];
      if (!bitwise(i.op) || place[at(v)] != Place::kBody) continue;
      for (const Value u : {i.a, i.b})
        if (here[at(u)] && reads[at(u)] == 1) inner[at(v)] = u;
      here[at(v)] = inner[at(v)] == kNone;  // one that computes three already takes no more
    }
  }
}

void Analysis::drop_unused(const ir::Kernel& k) {
  std::vector<bool> read(k.insts.size(), false);
  for (std::size_t s = k.sections.size(); s-- > 0;) {
    const auto& body = k.sections[s].body;
    for (std::size_t n = body.size(); n-- > 0;) {
      const Value v = body[n];
      const Op op = k.insts[at(v)].op;
      if (read[at(v)] || op == Op::kStore || op == Op::kReduce) {
        each_operand(k, v, [&](Value u) { read[at(u)] = true; });
      } else {
        place[at(v)] = Place::kNowhere;
      }
    }
  }
}

}  // namespace flash::emit::x64
