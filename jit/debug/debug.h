// jit/debug/debug.h -- what FLASH_DEBUG prints: one function a level, nothing when it is off
#pragma once

#include <cstdint>

#include "core/env.h"

namespace flash::jit {

/// FLASH_DEBUG, read once.
inline std::int64_t debug_level() {
  static const std::int64_t level = env::get_int(Env::kDebug);
  return level;
}

}  // namespace flash::jit
