// jit/evaluators/kernel_cache.cpp -- finding a plan's kernels, and loading those that are new
#include "jit/evaluators/kernel_cache.h"

#include <algorithm>
#include <chrono>
#include <exception>

#include "core/counters.h"
#include "core/mutants.h"
#include "core/side_by_side.h"
#include "jit/debug/debug.h"

namespace flash::jit {
namespace {

using Clock = std::chrono::steady_clock;

/// A plan shares the code that it runs: the cache may forget it.
std::shared_ptr<LoadedKernel> held(const std::shared_ptr<LoadedKernel>& code) {
  if (mutant(Mutant::kEvictedInUse)) return {std::shared_ptr<LoadedKernel>(), code.get()};
  return code;
}

}  // namespace

void KernelCache::load(std::vector<WantedKernel> wanted) {
  std::vector<Missing> missing;
  std::vector<int> at(wanted.size(), -1);  // in `missing`
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const ir::Key key = ir::key_of(wanted[i].kernel);
    std::shared_ptr<LoadedKernel> code;
    const auto same = std::find_if(missing.begin(), missing.end(),
                                   [&](const Missing& m) { return m.key == key; });
    if (same != missing.end()) {
      at[i] = static_cast<int>(same - missing.begin());
    } else if (cache_.find(key, code)) {
      *wanted[i].into = held(code);
    } else {
      at[i] = static_cast<int>(missing.size());
      missing.push_back({.key = key, .kernel = &wanted[i].kernel, .code = {}});
    }
  }
  counters().kernel_hits.fetch_add(wanted.size() - missing.size(), std::memory_order_relaxed);
  load_all(missing);
  for (std::size_t i = 0; i < wanted.size(); ++i)
    if (at[i] >= 0) *wanted[i].into = held(missing[static_cast<std::size_t>(at[i])].code);
}

void KernelCache::load_one(Missing& m) const {
  const auto start = Clock::now();
  m.code = device_.load(*m.kernel, kind_);
  m.microseconds = std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

void KernelCache::load_all(std::vector<Missing>& missing) {
  if (missing.empty()) return;
  if (debug_level() >= 3)
    for (const Missing& m : missing) print_kernel(*m.kernel);
  std::exception_ptr error;
  try {
    const CompileTime time;
    side_by_side(missing.size(), device_.load_threads(),
                 [&](std::size_t i) { load_one(missing[i]); });
  } catch (...) {
    error = std::current_exception();
  }
  for (const Missing& m : missing) {
    if (!m.code) continue;
    if (debug_level() >= 4) print_code(*m.code);
    cache_.insert(m.key, m.code);
    if (!m.code->pending) add_compiled(m.kernel->name, m.microseconds);
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace flash::jit
