// core/log.cpp -- the logger behind core/log.h: spdlog, to stderr
#include "core/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <string>

#include "core/env.h"

namespace flash::logging {
namespace {

constexpr spdlog::level::level_enum kSpdlog[] = {spdlog::level::debug, spdlog::level::info,
                                                 spdlog::level::warn, spdlog::level::err,
                                                 spdlog::level::off};

Level level_from_environment() {
  const std::string text = env::get_choice(Env::kLog);
  if (text == "debug") return Level::kDebug;
  if (text == "info") return Level::kInfo;
  if (text == "error") return Level::kError;
  if (text == "off") return Level::kOff;
  return Level::kWarn;
}

spdlog::logger& logger() {
  // Leaked on purpose: threads may still log while the process exits. Ours alone, not in spdlog's
  // registry, so that a program with its own spdlog set-up is left alone.
  static spdlog::logger* const instance = [] {
    const Level level = level_from_environment();
    auto made = std::make_unique<spdlog::logger>(
        "flash", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    made->set_pattern("[flash %^%l%$] %v");
    made->set_level(kSpdlog[static_cast<int>(level)]);
    made->flush_on(spdlog::level::trace);
    return made.release();
  }();
  return *instance;
}

void write(Level level, std::string_view message) {
  logger().log(kSpdlog[static_cast<int>(level)],
               spdlog::string_view_t(message.data(), message.size()));
}

}  // namespace

Level level() {
  const auto now = logger().level();
  for (int i = 0; i < 4; ++i) {
    if (kSpdlog[i] >= now) return static_cast<Level>(i);
  }
  return Level::kOff;
}

void set_level(Level level) { logger().set_level(kSpdlog[static_cast<int>(level)]); }

void debug(std::string_view message) { write(Level::kDebug, message); }
void info(std::string_view message) { write(Level::kInfo, message); }
void warn(std::string_view message) { write(Level::kWarn, message); }
void error(std::string_view message) { write(Level::kError, message); }

}  // namespace flash::logging
