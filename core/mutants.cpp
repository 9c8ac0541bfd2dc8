// core/mutants.cpp -- the names of the faults, and which one this process has
#include "core/mutants.h"

#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <mutex>
#include <string_view>
#include <unordered_map>

namespace flash {
namespace {

constexpr const char* kNames[] = {
    "none",           "liveness-mask",   "storage-alias",   "wrong-donation",
    "stale-scalar",   "tail-mask",       "arena-overlap",   "version-bump",
    "philox-offset",  "bfloat-rounding", "equal-by-chance", "evicted-in-use",
    "soft-recompute", "swapped-strides", "reduction-block", "epilogue-twice",
};
static_assert(std::size(kNames) == static_cast<std::size_t>(Mutant::kCount));

Mutant chosen() {
  const char* text = std::getenv("FLASH_MUTANT");
  if (!text || !*text) return Mutant::kNone;
  for (std::size_t i = 0; i < std::size(kNames); ++i)
    if (std::string_view(text) == kNames[i]) return static_cast<Mutant>(i);
  std::fprintf(stderr, "FLASH_MUTANT: there is no fault '%s'; there are:", text);
  for (const char* name : kNames) std::fprintf(stderr, " %s", name);
  std::fputc('\n', stderr);
  std::exit(2);
}

}  // namespace

bool mutant(Mutant m) {
  static const Mutant on = chosen();
  return m == on;
}

const char* name(Mutant m) { return kNames[static_cast<std::size_t>(m)]; }

std::int64_t first_given(const void* place, std::int64_t value) {
  if (!mutant(Mutant::kStaleScalar)) return value;
  static std::mutex mutex;  // guards seen
  static std::unordered_map<const void*, std::int64_t> seen;
  std::lock_guard lock(mutex);
  return seen.emplace(place, value).first->second;
}

}  // namespace flash
