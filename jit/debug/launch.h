// jit/debug/launch.h -- launches as people look at them: time, bytes, arithmetic
//
// Used while record_kernels() is on or FLASH_DEBUG is 2 or more; otherwise a launch asks
// observing() once a flush and nothing else is done.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/counters.h"
#include "jit/debug/debug.h"
#include "jit/plan/plan.h"

namespace flash::jit {

/// What a launch must at least do: bytes of every distinct operand, read or written once, and the
/// multiplications and additions of a contraction (0 for everything else).
struct Work {
  std::int64_t bytes = 0;
  double flops = 0;
};
Work work_of(const Trace& trace, const Plan& plan, const Step& step);

inline bool observing() {
  return counters().record.load(std::memory_order_relaxed) || debug_level() >= 2;
}

/// Keeps it for kernel_history() and prints it, as far as each is wanted. What is printed is waited
/// for.
void report_launch(std::string_view name, bool leaf, std::int64_t tiles, const Work& work,
                   std::unique_ptr<Stopwatch> watch);

/// "1.5 MB": three digits and a decimal prefix.
std::string with_unit(double value, const char* unit);

}  // namespace flash::jit
