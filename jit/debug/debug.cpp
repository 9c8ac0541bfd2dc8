// jit/debug/debug.cpp -- the lines of FLASH_DEBUG that describe flushes and kernels
#include "jit/debug/debug.h"

#include <cstdio>
#include <string>

#include "jit/debug/launch.h"
#include "jit/plan/plan.h"

namespace flash::jit {
namespace {

/// Memory that the plan took for this run: results that no dying input donated, and the arena.
std::int64_t allocated(const EvaluationRequest& request, Plan& plan) {
  std::int64_t bytes = 0;
  for (const Slot& slot : plan.slots)
    if (slot.live >= 0 && slot.donor == kNoNode)
      bytes += request.trace.bytes(
          request.trace.nodes[request.live[static_cast<std::size_t>(slot.live)].node]);
  std::lock_guard lock(plan.mutex);
  if (plan.layout) bytes += plan.layout->bytes;
  return bytes;
}

}  // namespace

std::string with_unit(double value, const char* unit) {
  constexpr const char* kPrefixes[] = {"", "k", "M", "G", "T"};
  std::size_t p = 0;
  for (; value >= 1000 && p + 1 < std::size(kPrefixes); ++p) value /= 1000;
  char text[64];
  std::snprintf(text, sizeof text, "%.4g %s%s", value, kPrefixes[p], unit);
  return text;
}

void print_flush(const EvaluationRequest& request, Plan& plan, bool hit, std::uint64_t launches,
                 double microseconds) {
  std::fprintf(stderr,
               "flash: flush (%s): %zu ops -> %zu kernels, %llu launches, plan %s, %s, %.1f us\n",
               flash::name(request.reason), request.count, plan.steps.size(),
               static_cast<unsigned long long>(launches), hit ? "hit" : "miss",
               with_unit(static_cast<double>(allocated(request, plan)), "B").c_str(), microseconds);
}

void print_kernel(const ir::Kernel& kernel) {
  std::fprintf(stderr, "%s\n", ir::to_string(kernel).c_str());
}

void print_code(const LoadedKernel& code) {
  const std::string listing = code.listing();
  if (!listing.empty())
    std::fprintf(stderr, "code of %s\n%s\n", code.name.c_str(), listing.c_str());
}

}  // namespace flash::jit
