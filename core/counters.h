// core/counters.h -- where the engine counts; stats() reads it
#pragma once

#include <atomic>
#include <cstdint>

#include "core/stats.h"

namespace flash {

struct Counters {
  std::atomic<std::uint64_t> flushes{0}, nodes{0}, plan_hits{0}, plan_misses{0};
  std::atomic<std::uint64_t> kernels_compiled{0}, kernel_hits{0};
  std::atomic<std::uint64_t> compile_ns{0}, plan_ns{0};
  std::atomic<bool> record{false};  ///< launches are timed and kept
};
Counters& counters();
void add_kernel_record(KernelRecord record);
void add_compile_record(CompileRecord record);

}  // namespace flash
