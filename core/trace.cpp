// core/trace.cpp -- recording nodes, and keeping cells and traces true to each other
#include "core/thread_object.h"
#include "core/thread_traces.h"

#include <deque>
#include <mutex>

#include "core/env.h"
#include "core/error.h"
#include "core/evaluator.h"
#include "core/fork.h"
#include "core/scope.h"
#include "core/tensor_impl.h"

namespace flash {

std::uint64_t Trace::next_epoch() {
  static std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

Trace::Trace(Device device)
    : device_(device),
      node_limit_(static_cast<std::size_t>(env::get_int(Env::kTraceLimit))),
      byte_limit_(env::get_int(Env::kPendingBytes)) {
  nodes.reserve(256);
  inputs.reserve(512);
  words.reserve(1024);
}

NodeId Trace::append(Prim op, DType dtype, const Shape& shape, std::span<const NodeId> in,
                     std::span<const std::int64_t> attrs) {
  const auto at = static_cast<std::uint32_t>(words.size());
  const NodeMarks marks = current_marks();
  nodes.push_back({.op = op,
                   .dtype = dtype,
                   .rank = static_cast<std::uint8_t>(shape.rank()),
                   .n_in = static_cast<std::uint8_t>(in.size()),
                   .n_attr = static_cast<std::uint8_t>(attrs.size()),
                   .pass = marks.pass,
                   .scope = marks.scope,
                   .in = static_cast<std::uint32_t>(inputs.size()),
                   .attr = at + static_cast<std::uint32_t>(shape.rank()),
                   .shape = at,
                   .numel = shape.numel()});
  for (const NodeId i : in) inputs.push_back(i);  // few: insert() costs more
  for (const std::int64_t size : shape) words.push_back(size);
  for (const std::int64_t a : attrs) words.push_back(a);
  return static_cast<NodeId>(nodes.size() - 1);
}

NodeId Trace::input_of(Cell& cell) {
  if (const NodeId known = cell.input.get(epoch_); known != kNoNode) return known;
  if (cell.poison) std::rethrow_exception(cell.poison);
  const std::lock_guard lock(cell.lock);
  if (cell.trace.load(std::memory_order_acquire)) return kNoNode;
  if (!cell.buffer) throw InternalError("trace: a tensor without a value was used");
  const NodeId id = append(Prim::kInput, cell.dtype, cell.shape, {}, {});
  nodes[id].buffer = cell.buffer.get();
  cell.buffer->retain();
  cell.input.set(epoch_, id);
  return id;
}

bool Trace::claim(Cell& cell) {
  const std::lock_guard lock(cell.lock);
  Trace* const where = cell.trace.load(std::memory_order_acquire);
  if (!where) cell.trace.store(this, std::memory_order_release);
  return !where || where == this;
}

void Trace::unclaim(Cell& cell) {
  if (cell.pending == kNoNode) cell.trace.store(nullptr, std::memory_order_release);
}

NodeId Trace::node_of(TensorImpl& t) {
  Cell& cell = *t.cell;
  const NodeId base = node_of(cell);
  if (t.whole || base == kNoNode) return base;
  // A note may be of an older version of the cell: then it is a view of another node.
  if (const NodeId known = t.node.get(epoch_); known != kNoNode && in(nodes[known])[0] == base)
    return known;
  std::int64_t attrs[3 + kMaxRank] = {static_cast<std::int64_t>(t.view),
                                      static_cast<std::int64_t>(t.dims), t.offset};
  for (int i = 0; i < t.strides.rank(); ++i) attrs[3 + i] = t.strides[i];
  const NodeId id = append(Prim::kView, cell.dtype, t.shape, {&base, 1},
                           {attrs, static_cast<std::size_t>(3 + t.strides.rank())});
  t.node.set(epoch_, id);
  return id;
}

void Trace::assign(Cell& cell, NodeId node) {
  if (cell.pending != kNoNode) {
    disown(cell);  // and not drop(): others would take it for theirs
    cell.former = kNoNode;
  } else {
    cell.former = cell.pinned && cell.buffer ? kInMemory : cell.input.get(epoch_);
  }
  // The former version lives on only as an input of this trace, so that its memory can be reused.
  if (!cell.pinned) cell.buffer.reset();
  cell.input.clear();  // maybe another trace's, which reads the former version
  nodes[node].owner = &cell;
  pending_bytes_ += bytes(nodes[node]);
  cell.pending = node;
  cell.trace.store(this, std::memory_order_release);
}

void Trace::disown(Cell& cell) {
  Node& n = nodes[cell.pending];
  n.owner = nullptr;
  pending_bytes_ -= bytes(n);
  cell.pending = kNoNode;
}

void Trace::drop(Cell& cell) {
  disown(cell);
  cell.trace.store(nullptr, std::memory_order_release);
}

bool Trace::drop_later(Cell& cell) {
  if (!is_own()) return false;
  cell.end();
  cell.next_dead = dead_cells_.load(std::memory_order_relaxed);
  dead_cells_.store(&cell, std::memory_order_release);
  return true;
}

void Trace::free_dropped() {
  Cell* next = dead_cells_.load(std::memory_order_relaxed);
  dead_cells_.store(nullptr, std::memory_order_relaxed);
  while (Cell* c = next) {
    next = c->next_dead;
    if (c->trace.load(std::memory_order_relaxed) == this) drop(*c);  // else it was flushed
    c->free();
  }
}

void Trace::unlock_and_give_back() {
  std::vector<Ref<Buffer>> dead;
  dead.swap(dead_buffers_);
  mutex_.unlock();
}

std::int64_t Trace::pending_among(std::span<const Tensor* const> operands) const {
  const auto cell = [&](std::size_t i) { return operands[i]->impl()->cell.get(); };
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < operands.size(); ++i) {
    if (cell(i)->trace.load(std::memory_order_relaxed) != this) continue;
    bool again = false;
    for (std::size_t j = 0; j < i; ++j) again = again || cell(j) == cell(i);
    if (!again) sum += bytes(nodes[cell(i)->pending]);
  }
  return sum;
}

/// All traces ever made, and those that no thread uses at the moment.
struct Traces {
  std::mutex mutex;  // guards the lists
  std::deque<Trace> all;
  std::vector<Trace*> free[Device::kSlots];

  void lock() {
    mutex.lock();
    for (Trace& t : all) t.mutex_.lock();
  }
  void unlock() {
    for (Trace& t : all) t.mutex_.unlock();
    mutex.unlock();
  }
};

namespace {

Traces& traces() {
  static Traces& all = hold_at_fork(ForkOrder::kTraces, *new Traces);
  return all;
}

/// The traces of a thread; at its end what lives is evaluated and the traces are given back.
struct ThreadTraces {
  Trace* of[Device::kSlots] = {};
  ~ThreadTraces();
};

ThreadTraces::~ThreadTraces() {
  for (int k = 0; k < Device::kSlots; ++k) {
    Trace* t = of[k];
    if (!t) continue;
    {
      TraceLock lock(*t);
      if (const auto why = t->settle(FlushReason::kExit)) t->abandon(why);
    }
    { TraceLock lock(*t); }  // frees the cells that died in the meantime
    thread_traces[k] = nullptr;
    std::lock_guard lock(traces().mutex);
    traces().free[k].push_back(t);
  }
}

}  // namespace

constinit thread_local Trace* thread_traces[Device::kSlots] FLASH_HOT_TLS = {};

Trace& make_thread_trace(Device device) {
  const int k = device.slot();
  runtime(device);   // is open from here on
  prepare_thread();  // first: what the end of ThreadTraces uses must be there until then
  Trace*& owned = thread_object<ThreadTraces>().of[k];
  Traces& all = traces();
  std::lock_guard lock(all.mutex);
  Trace* t;
  if (!all.free[k].empty()) {
    t = all.free[k].back();
    all.free[k].pop_back();
  } else {
    t = &all.all.emplace_back(device);
  }
  thread_traces[k] = owned = t;
  return *t;
}

void flush_all(FlushReason reason) {
  for (Trace* t : thread_traces) {
    if (!t || !opened_here(t->device())) continue;
    TraceLock lock(*t);
    t->flush(reason);
  }
}

void materialize(Cell& cell, FlushReason reason) {
  while (Trace* t = cell.trace.load(std::memory_order_acquire)) {
    TraceLock lock(*t);
    if (cell.trace.load(std::memory_order_relaxed) != t) continue;
    t->flush(t == thread_traces[cell.device.slot()] ? reason : FlushReason::kThread);
  }
  if (cell.poison) std::rethrow_exception(cell.poison);
}

Ref<Buffer> buffer_of(Cell& cell, FlushReason reason) {
  for (;;) {
    materialize(cell, reason);
    const TraceLock own(this_trace(cell.device));
    const std::lock_guard lock(cell.lock);
    if (!cell.trace.load(std::memory_order_acquire)) return cell.buffer;
  }
}

const char* name(FlushReason r) {
  constexpr const char* kNames[] = {"read",       "eval",       "step",       "thread",
                                    "node limit", "byte limit", "thread exit"};
  return kNames[static_cast<int>(r)];
}

}  // namespace flash
