// core/env.h -- every environment variable Flash reads, in one table, with typed getters
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "export.h"

namespace flash {

/// One name for each variable; the table in env.cpp has one row for each, in this order.
enum class Env : std::uint8_t {
  kLog,
  kDebug,
  kEvaluator,
  kDevice,
  kValidate,
  kIsa,
  kJitSymbols,
  kNumThreads,
  kTraceLimit,
  kPendingBytes,
  kCacheBytes,
  kMemoryLimit,
  kCacheDir,
  kCacheDirBytes,
  kNvrtc,
  kHiprtc,
  kCublas,
  kTensorCores,
  kCompile,
  kVulkanValidation,
};
inline constexpr int kNumEnv = 20;

namespace env {

enum class Kind : std::uint8_t {
  kInt,     ///< a decimal integer between `low` and `high`
  kBytes,   ///< as kInt, and may end in K, M or G (times 2^10, 2^20, 2^30)
  kChoice,  ///< one of `choices`, separated by '|'
  kDevice,  ///< the name of a device
  kFolder,  ///< the absolute path of a folder, or "off"
};

/// A row of the table.
struct Info {
  Env id;
  const char* name;  ///< "FLASH_DEBUG"
  Kind kind;
  const char* default_value;  ///< spelled as a user would; empty = chosen at run time
  std::int64_t low, high;     ///< bounds of numbers
  const char* choices;        ///< "a|b|c", else empty
  const char* doc;            ///< one line
  const char* used_in;        ///< the file that reads it
};

/// All rows, ordered as Env.
FLASH_API std::span<const Info> table();

/// Value of a kInt or kBytes variable; the default when it is unset or empty (0 when the default is
/// chosen at run time). Reads the environment at each call (about 100 ns): keep it, don't poll it.
/// Throws ValueError naming the variable, its value and what is wanted.
FLASH_API std::int64_t get_int(Env variable);

/// Value of a kChoice variable, one of its choices, or its default ("" when chosen at run time).
/// Throws ValueError likewise.
FLASH_API std::string get_choice(Env variable);

/// Value of a kDevice variable, or its default; whether the device is there is not looked at.
/// Throws ValueError likewise.
FLASH_API std::string get_device(Env variable);

/// Value of a kFolder variable: an absolute path, "off", or its default ("" when chosen at run
/// time). Throws ValueError likewise.
FLASH_API std::string get_folder(Env variable);

/// True when the user set the variable to something not empty.
FLASH_API bool is_set(Env variable);

/// Checks every variable, so that a typing error shows at the first use of the library and not when
/// the variable is first needed. Throws ValueError likewise.
FLASH_API void check();

}  // namespace env
}  // namespace flash
