// core/stats.h -- counters of what the engine did: flushes, plans, kernels, launches, bytes
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "allocation.h"
#include "device.h"
#include "export.h"

namespace flash {

/// Totals since the process started or reset_stats(), over all threads.
struct Stats {
  std::uint64_t flushes = 0;           ///< traces that were evaluated
  std::uint64_t nodes = 0;             ///< operations in them
  std::uint64_t plan_hits = 0;         ///< traces that were replayed from a cached plan
  std::uint64_t plan_misses = 0;       ///< traces that were planned
  std::uint64_t kernels_compiled = 0;  ///< fused kernels, and leaf kernels of GPUs
  std::uint64_t kernel_hits = 0;       ///< kernels of new plans that were compiled before
  double compile_us = 0;               ///< time that was waited for compiling, microseconds
  double plan_us = 0;                  ///< time spent in planning, compilation excluded
  std::uint64_t disk_hits = 0;         ///< kernels that were found compiled on disk
  std::uint64_t disk_misses = 0;       ///< kernels that were looked for there in vain
  std::uint64_t disk_stored = 0;       ///< kernels that were put there
  std::uint64_t disk_rejected = 0;     ///< damaged ones that were deleted there
  std::uint64_t kernels_pending = 0;   ///< compiled in the background now, or soon (FLASH_COMPILE)
  std::uint64_t launches = 0;          ///< leaf kernels, copies, sets of independent kernels
  std::uint64_t leaf_launches = 0;     ///< of these, by leaf kernels
  std::uint64_t generic_launches = 0;  ///< of these, with a generic kernel for a pending one
  std::uint64_t replays = 0;           ///< runs of plans that a GPU replayed
  std::uint64_t bytes_moved = 0;       ///< copied between buffers, to and from the host
};
FLASH_API Stats stats();
FLASH_API void reset_stats();

/// Statistics of a device's caching allocator.
FLASH_API MemoryStats memory_stats(Device device = default_device());
/// Starts the peaks of memory_stats() anew, from what is live now.
FLASH_API void reset_peak_memory_stats(Device device = default_device());
/// Replaces how a device's memory is rounded, kept and limited; null: as the environment says.
/// Returns the former policy.
FLASH_API std::unique_ptr<AllocationPolicy> set_allocation_policy(
    std::unique_ptr<AllocationPolicy> policy, Device device = default_device());

/// What the device can do at best, measured at the first call, which takes about half a second and
/// 192 MiB for that time, on a GPU up to 768 MiB of its own; zeros where there is no room for that.
FLASH_API MachineLimits machine_limits(Device device = default_device());

/// One launch, as kernel_history() reports it while recording is on.
struct KernelRecord {
  std::string name;         ///< after its operations
  bool leaf = false;        ///< a hand-written kernel
  double microseconds = 0;  ///< that the device worked on it
  std::int64_t tiles = 0;   ///< 0 for leaf kernels, which choose their own
  std::int64_t bytes = 0;   ///< of every distinct operand, read or written once
  double flops = 0;         ///< of contractions: two for each product; 0 for others
  double gb_per_s() const {
    return microseconds > 0 ? static_cast<double>(bytes) / microseconds * 1e-3 : 0;
  }
  double gflop_per_s() const { return microseconds > 0 ? flops / microseconds * 1e-3 : 0; }
  /// The part of the nearer limit that was reached; above 1 for what stays in the caches.
  double share(const MachineLimits& limits) const {
    const double memory = limits.gb_per_s > 0 ? gb_per_s() / limits.gb_per_s : 0;
    const double arithmetic = limits.gflop_per_s > 0 ? gflop_per_s() / limits.gflop_per_s : 0;
    return memory > arithmetic ? memory : arithmetic;
  }
};
/// Records every launch until stopped; returns what was recorded since the last call and forgets
/// it.
FLASH_API void record_kernels(bool on);
FLASH_API std::vector<KernelRecord> kernel_history();

/// One compilation of a fused kernel, kept while recording is on.
struct CompileRecord {
  std::string name;
  double microseconds = 0;
};
/// The compilations since the last call, which are then forgotten.
FLASH_API std::vector<CompileRecord> compile_history();

/// Computes everything that is pending on this thread (but, in a child of a fork, what is on a GPU
/// of its parent's).
FLASH_API void eval_all();
/// The end of a training step: as eval_all(), under its own reason. Optimizers call it.
FLASH_API void end_step();
/// Waits for all work of a device.
FLASH_API void synchronize(Device device = default_device());

/// The trace that is recorded on this thread and not evaluated yet, as Graphviz text. With `fused`,
/// operations that will run in one kernel stand in one box, and those that nobody needs are dashed.
FLASH_API std::string trace_to_dot(Device device = default_device(), bool fused = false);

/// Why the last trace that had to be planned was not one of those planned before: the first
/// operation that differs from the nearest of them, and in what. Needed when a loop compiles anew.
FLASH_API std::string explain_last_compile();

/// Chooses the evaluator: "fuse", "eager" (one operation a kernel) or "interpret" (the portable
/// reference). What was recorded before is computed first.
FLASH_API void use_evaluator(const std::string& name);

}  // namespace flash
