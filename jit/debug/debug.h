// jit/debug/debug.h -- what FLASH_DEBUG prints: one function a level; off, it costs one comparison
#pragma once

#include <cstdint>

#include "core/env.h"
#include "core/evaluator.h"
#include "jit/ir/kernel.h"

namespace flash::jit {

struct Plan;

/// FLASH_DEBUG, read once.
inline std::int64_t debug_level() {
  static const std::int64_t level = env::get_int(Env::kDebug);
  return level;
}

/// Level 1: a line for each flush.
void print_flush(const EvaluationRequest& request, Plan& plan, bool hit, std::uint64_t launches,
                 double microseconds);
/// Level 3: a kernel's IR, and level 4: its code, when it is compiled.
void print_kernel(const ir::Kernel& kernel);
void print_code(const LoadedKernel& code);

}  // namespace flash::jit
