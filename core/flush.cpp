// core/flush.cpp -- from a recorded trace to values: liveness, evaluation, what stays recorded
#include <algorithm>

#include "core/error.h"
#include "core/evaluator.h"
#include "core/mutants.h"
#include "core/tensor_impl.h"
#include "core/trace.h"

namespace flash {
namespace {

/// What a limit flush stores for the rest of the trace. Scalars, indices and views are recorded
/// again instead: they hold no memory of their own.
bool has_value(const Node& n) {
  return n.op != Prim::kInput && n.op != Prim::kScalar && n.op != Prim::kIota &&
         n.op != Prim::kView;
}

}  // namespace

void Trace::flush(FlushReason reason) { evaluate(nodes.size(), reason); }

void Trace::flush_prefix(FlushReason reason) { evaluate(canonical_cut(), reason); }

std::vector<char> Trace::needed() const {
  std::vector<char> needed(nodes.size(), 0);
  for (std::size_t j = nodes.size(); j-- > 0;) {
    if (nodes[j].owner) needed[j] = 1;
    if (!needed[j]) continue;
    for (NodeId i : in(nodes[j])) needed[i] = 1;
  }
  return needed;
}

std::size_t Trace::canonical_cut() const {
  const std::size_t n = nodes.size();
  const std::vector<char> needed = this->needed();
  std::vector<std::size_t> last(n, 0);  // the last node that needs it; n: lives on
  for (std::size_t j = n; j-- > 0;) {
    if (!needed[j]) continue;
    if (nodes[j].owner) last[j] = n;
    const std::size_t use = nodes[j].op == Prim::kView ? last[j] : j;
    for (NodeId i : in(nodes[j])) last[i] = std::max(last[i], use);
  }
  std::vector<std::int64_t> born(n + 1, 0);
  for (std::size_t i = 0; i < n; ++i) {
    if (!has_value(nodes[i]) || !needed[i]) continue;
    born[i + 1] += bytes(nodes[i]);
    if (last[i] < n) born[last[i] + 1] -= bytes(nodes[i]);
  }
  std::int64_t live = 0, least = INT64_MAX;
  std::size_t cut = n;
  for (std::size_t c = 1; c <= n; ++c) {
    live += born[c];
    if (c >= n / 2 && live <= least) {
      least = live;
      cut = c;
    }
  }
  return cut;
}

void Trace::evaluate(std::size_t count, FlushReason reason) {
  if (nodes.empty()) return;
  if (dead_cells_.load(std::memory_order_acquire))  // another thread's
    for (const Node& n : nodes)
      if (n.owner && n.owner->refs() == 0 && !n.owner->pinned) drop(*n.owner);
  // What the rest of the trace needs must exist as well.
  const std::vector<char> all = needed();
  std::vector<char> behind(count, 0);
  for (std::size_t j = count; j < nodes.size(); ++j) {
    if (!all[j]) continue;
    for (NodeId i : in(nodes[j])) {
      if (i >= count) continue;
      behind[i] = 1;
      if (nodes[i].op == Prim::kView) behind[in(nodes[i])[0]] = 1;
    }
  }
  std::vector<LiveOut> live;
  std::vector<char> dying(count, 0);
  for (std::size_t i = 0; i < count; ++i) {
    const Node& n = nodes[i];
    if (n.op == Prim::kInput) {
      dying[i] = !behind[i] && !n.buffer->external() &&
                 (n.buffer->refs() == 1 || mutant(Mutant::kStorageAlias));
    } else if (n.owner || (behind[i] && has_value(n))) {
      live.push_back({static_cast<NodeId>(i), n.owner && n.owner->soft_live(), {}});
    }
  }
  if (!live.empty()) {
    Progress progress;
    try {
      evaluator().evaluate({*this, count, live, dying, reason}, progress);
    } catch (const std::exception&) {
      if (!progress.started) throw;
      if (!progress.failed.empty())
        forsake(progress.failed, std::current_exception());
      else  // what was recorded behind the cut needs lost values: it is lost as well
        abandon(std::current_exception());
      throw;
    }
  }
  std::vector<Ref<Buffer>> results(count < nodes.size() ? count : 0);
  for (LiveOut& l : live) {
    Cell* c = nodes[l.node].owner;
    if (count < nodes.size()) results[l.node] = l.result;
    if (!c) continue;
    if (c->pinned && c->buffer && c->buffer.get() != l.result.get()) {
      c->buffer->take_value(*l.result);
    } else {
      c->buffer = std::move(l.result);
    }
    drop(*c);  // last: from here on other threads read the value, or delete the cell
  }
  if (count == nodes.size())
    clear();
  else
    keep_from(count, all, results);
}

void Trace::keep_from(std::size_t cut, const std::vector<char>& needed,
                      const std::vector<Ref<Buffer>>& results) {
  std::vector<Node> old_nodes = std::move(nodes);
  std::vector<NodeId> old_inputs = std::move(inputs);
  std::vector<std::int64_t> old_words = std::move(words);
  nodes.clear();
  inputs.clear();
  words.clear();
  epoch_ = next_epoch();
  std::vector<NodeId> now(old_nodes.size(), kNoNode);
  const auto again = [&](std::size_t i) {
    const Node& n = old_nodes[i];
    NodeId in[UINT8_MAX];
    for (int k = 0; k < n.n_in; ++k) in[k] = now[old_inputs[n.in + k]];
    const Shape shape(std::span<const std::int64_t>(old_words.data() + n.shape, n.rank));
    now[i] = append(n.op, n.dtype, shape, {in, n.n_in}, {old_words.data() + n.attr, n.n_attr});
    nodes.back().scope = n.scope;
    nodes.back().pass = n.pass;
    return now[i];
  };
  const auto import = [&](std::size_t i, Buffer* buffer) {
    const Node& n = old_nodes[i];
    const Shape shape(std::span<const std::int64_t>(old_words.data() + n.shape, n.rank));
    now[i] = append(Prim::kInput, n.dtype, shape, {}, {});
    nodes.back().buffer = buffer;
    buffer->retain();
  };
  const auto need = [&](std::size_t i) {  // i < cut, used behind it
    if (now[i] != kNoNode) return;
    const Node& n = old_nodes[i];
    if (n.op == Prim::kInput)
      import(i, n.buffer);
    else if (has_value(n))
      import(i, results[i].get());
    else
      again(i);
  };
  for (std::size_t j = cut; j < old_nodes.size(); ++j) {
    if (!needed[j]) continue;
    const Node& n = old_nodes[j];
    for (int k = 0; k < n.n_in; ++k) {
      const NodeId i = old_inputs[n.in + k];
      if (i >= cut) continue;
      if (old_nodes[i].op == Prim::kView) need(old_inputs[old_nodes[i].in]);
      need(i);
    }
    if (n.op == Prim::kInput) {
      import(j, n.buffer);
      continue;
    }
    again(j);
    if (n.owner) {
      nodes.back().owner = n.owner;
      n.owner->pending = now[j];
    }
  }
  for (const Node& n : nodes)
    if (n.owner && n.owner->former < kInMemory) n.owner->former = now[n.owner->former];
  for (const Node& n : old_nodes)
    if (n.buffer) let_go(n.buffer);
}

void Trace::let_go(Buffer* buffer) {
  if (buffer->external())
    dead_buffers_.push_back(Ref<Buffer>::adopt(buffer));
  else
    buffer->release();
}

std::exception_ptr Trace::settle(FlushReason reason) {
  const auto owned = [&] {
    return std::count_if(nodes.begin(), nodes.end(), [](const Node& n) { return n.owner; });
  };
  for (std::exception_ptr why;;) {
    const auto before = owned();
    try {
      flush(reason);
      return why;
    } catch (const std::exception&) {
      why = std::current_exception();
    }
    if (owned() == before) return why;
  }
}

void Trace::forsake(std::span<const NodeId> failed, const std::exception_ptr& why) {
  std::vector<char> lost(nodes.size(), 0);
  for (const NodeId n : failed) lost[n] = 1;
  for (std::size_t j = 0; j < nodes.size(); ++j) {
    for (NodeId i : in(nodes[j]))
      if (lost[i]) lost[j] = 1;
    Cell* c = nodes[j].owner;
    if (!lost[j] || !c) continue;
    if (c->former == kNoNode) {
      c->poison = why;
    } else {
      if (c->former != kInMemory) {
        c->buffer = Ref<Buffer>(nodes[c->former].buffer);
        c->input.set(epoch_, c->former);
      }
      c->history_lost = c->history_lost || c->taped == c->version;
      ++c->version;  // whoever saved the changed value finds out
      ++c->undone;
    }
    drop(*c);  // last: readers that find no trace look at the rest
  }
}

void Trace::abandon(const std::exception_ptr& why) {
  for (const Node& n : nodes)
    if (Cell* c = n.owner) {
      c->poison = why;
      drop(*c);  // last: readers that find no trace look at the rest
    }
  clear();
}

void Trace::clear() {
  for (const Node& n : nodes)
    if (n.buffer) let_go(n.buffer);
  nodes.clear();
  inputs.clear();
  words.clear();
  epoch_ = next_epoch();
}

}  // namespace flash
