// core/stats.cpp -- the counters, the launch history, and reading them
#include "core/stats.h"

#include <deque>
#include <mutex>
#include <utility>

#include "core/allocator.h"
#include "core/counters.h"
#include "core/error.h"
#include "core/evaluator.h"
#include "core/fork.h"
#include "core/log.h"
#include "core/thread_traces.h"

namespace flash {
namespace {

/// A launch that the device may not be done with.
struct Timed {
  KernelRecord record;
  std::unique_ptr<Stopwatch> watch;
};
// A stopwatch of a GPU keeps two of its driver's events.
constexpr std::size_t kMostTimed = 1024;

struct History {
  std::mutex mutex;  // guards all lists
  std::vector<KernelRecord> records;
  std::deque<Timed> timed;  // later than those
  std::vector<CompileRecord> compilations;
};
History& history() {
  static History& all = hold_at_fork(ForkOrder::kLast, *new History, &History::mutex);
  return all;
}

/// Looking on must not fail: where the device is lost, which its next call says, there is no time.
KernelRecord with_time(Timed& t) {
  try {
    t.record.microseconds = t.watch->microseconds();
  } catch (const Error& e) {
    logging::info("a launch of " + t.record.name + " has no time: " + e.what());
  }
  return std::move(t.record);
}

}  // namespace

Counters& counters() {
  static Counters& c = *new Counters;
  return c;
}

Stats stats() {
  const Counters& c = counters();
  Stats s;
  s.flushes = c.flushes;
  s.nodes = c.nodes;
  s.plan_hits = c.plan_hits;
  s.plan_misses = c.plan_misses;
  s.kernels_compiled = c.kernels_compiled;
  s.kernel_hits = c.kernel_hits;
  s.compile_us = static_cast<double>(c.compile_ns.load()) / 1e3;
  s.plan_us = static_cast<double>(c.plan_ns.load()) / 1e3;
  s.disk_hits = c.disk.hits;
  s.disk_misses = c.disk.misses;
  s.disk_stored = c.disk.stored;
  s.disk_rejected = c.disk.rejected;
  for (const DeviceRuntime* r : open_runtimes()) {
    const DeviceCounters& dc = r->counters;
    s.launches += dc.launches;
    s.leaf_launches += dc.leaf_launches;
    s.kernels_pending += r->pending();
    s.generic_launches += dc.generic_launches;
    s.replays += dc.replays;
    s.bytes_moved += dc.bytes_moved;
  }
  return s;
}

void reset_stats() {
  Counters& c = counters();
  c.flushes = c.nodes = c.plan_hits = c.plan_misses = c.kernels_compiled = c.kernel_hits = 0;
  c.compile_ns = c.plan_ns = 0;
  c.disk.hits = c.disk.misses = c.disk.stored = c.disk.rejected = c.disk.swept = 0;
  for (DeviceRuntime* r : open_runtimes()) {
    DeviceCounters& dc = r->counters;
    dc.launches = dc.leaf_launches = dc.generic_launches = dc.replays = dc.bytes_moved = 0;
  }
}

MemoryStats memory_stats(Device device) { return runtime(device).allocator().stats(); }

MachineLimits machine_limits(Device device) { return runtime(device).limits(); }

void reset_peak_memory_stats(Device device) { runtime(device).allocator().reset_peak(); }

std::unique_ptr<AllocationPolicy> set_allocation_policy(std::unique_ptr<AllocationPolicy> policy,
                                                        Device device) {
  return runtime(device).allocator().set_policy(std::move(policy));
}

void record_kernels(bool on) { counters().record = on; }

std::vector<KernelRecord> kernel_history() {
  std::vector<KernelRecord> records;
  std::deque<Timed> timed;
  {
    const std::lock_guard lock(history().mutex);
    records.swap(history().records);
    timed.swap(history().timed);
  }
  for (Timed& t : timed) records.push_back(with_time(t));
  return records;
}

void add_kernel_record(KernelRecord record, std::unique_ptr<Stopwatch> watch) {
  History& h = history();
  Timed oldest;
  {
    const std::lock_guard lock(h.mutex);
    h.timed.push_back({std::move(record), std::move(watch)});
    if (h.timed.size() <= kMostTimed) return;
    oldest = std::move(h.timed.front());
    h.timed.pop_front();
  }
  KernelRecord done = with_time(oldest);  // which may wait, and not under the lock
  const std::lock_guard lock(h.mutex);
  h.records.push_back(std::move(done));
}

std::vector<CompileRecord> compile_history() {
  std::lock_guard lock(history().mutex);
  return std::exchange(history().compilations, {});
}

void add_compiled(std::string name, double microseconds) {
  counters().kernels_compiled.fetch_add(1, std::memory_order_relaxed);
  if (!counters().record.load(std::memory_order_relaxed)) return;
  std::lock_guard lock(history().mutex);
  history().compilations.push_back({std::move(name), microseconds});
}

void eval_all() { flush_all(FlushReason::kEval); }
void end_step() { flush_all(FlushReason::kStep); }
void synchronize(Device device) {
  flush_all(FlushReason::kEval);
  runtime(device).synchronize({});
}
void use_evaluator(const std::string& name) { set_evaluator(name); }

std::string explain_last_compile() { return evaluator().explain_last_compile(); }

}  // namespace flash
