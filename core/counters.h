// core/counters.h -- where the engine counts; stats() reads it
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "core/stats.h"

namespace flash {

/// Of the disk cache of compiled kernels (jit/cache/disk.h).
struct DiskCounters {
  std::atomic<std::uint64_t> hits{0}, misses{0}, stored{0};
  std::atomic<std::uint64_t> rejected{0};  ///< damaged, or refused by a driver
  std::atomic<std::uint64_t> swept{0};  ///< deleted: to keep the cap, or left by killed processes
};

struct Counters {
  std::atomic<std::uint64_t> flushes{0}, nodes{0}, plan_hits{0}, plan_misses{0};
  std::atomic<std::uint64_t> kernels_compiled{0}, kernel_hits{0};
  std::atomic<std::uint64_t> compile_ns{0}, plan_ns{0};
  DiskCounters disk;
  std::atomic<bool> record{false};  ///< launches are timed and kept
};
Counters& counters();
/// Without its time, which the stopwatch is asked for when somebody wants to know, or when very
/// many wait for that.
void add_kernel_record(KernelRecord record, std::unique_ptr<Stopwatch> watch);
void add_compile_record(CompileRecord record);

}  // namespace flash
