// core/log.h -- log messages: one line each to stderr, as far as FLASH_LOG lets them through
#pragma once

#include <cstdint>
#include <string_view>

#include "export.h"

namespace flash::logging {

enum class Level : std::uint8_t { kDebug, kInfo, kWarn, kError, kOff };

/// Level now in force: that of FLASH_LOG at first use (default warn), or the last set_level.
FLASH_API Level level();
FLASH_API void set_level(Level level);

/// True when a message of this level would be written. Ask before building a costly one.
inline bool enabled(Level l) { return l >= level(); }

/// Write one line. Thread-safe; the first use throws ValueError when FLASH_LOG is not a level.
FLASH_API void debug(std::string_view message);
FLASH_API void info(std::string_view message);
FLASH_API void warn(std::string_view message);
FLASH_API void error(std::string_view message);

}  // namespace flash::logging
