// core/counters.h -- where the engine counts; stats() reads it
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

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
/// Counts a kernel that was compiled, and keeps the record where that is wanted.
void add_compiled(std::string name, double microseconds);

/// Time that its scope spends in compiling; what runs side by side counts once.
class CompileTime {
 public:
  CompileTime() = default;
  ~CompileTime() {
    counters().compile_ns.fetch_add(static_cast<std::uint64_t>(1e3 * microseconds()),
                                    std::memory_order_relaxed);
  }
  CompileTime(const CompileTime&) = delete;
  CompileTime& operator=(const CompileTime&) = delete;
  double microseconds() const {
    return std::chrono::duration<double, std::micro>(Clock::now() - start_).count();
  }

 private:
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start_ = Clock::now();
};

}  // namespace flash
