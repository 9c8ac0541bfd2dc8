// tests/core/env_test.cpp -- environment variables: defaults, values, and clear refusals
#include "core/env.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <string>
#include <string_view>

#include "core/device.h"
#include "core/error.h"
#include "core/io/file.h"
#include "core/log.h"

using namespace flash;

namespace {
/// Sets a variable for one scope, then puts the old state back.
class ScopedEnv {
 public:
  ScopedEnv(const char* name, const char* value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old, had_ = true;
    value ? setenv(name, value, 1) : unsetenv(name);
  }
  ~ScopedEnv() { had_ ? setenv(name_, old_.c_str(), 1) : unsetenv(name_); }

 private:
  const char* name_;
  std::string old_;
  bool had_ = false;
};
}  // namespace

TEST_CASE("an unset or empty variable has the table's default") {
  for (const char* value : {static_cast<const char*>(nullptr), ""}) {
    ScopedEnv limit("FLASH_TRACE_LIMIT", value), evaluator("FLASH_EVALUATOR", value),
        isa("FLASH_ISA", value), bytes("FLASH_PENDING_BYTES", value);
    CHECK(env::get_int(Env::kTraceLimit) == 4096);
    CHECK(env::get_choice(Env::kEvaluator) == "fuse");
    CHECK(env::get_choice(Env::kIsa) == "");
    CHECK(env::get_int(Env::kPendingBytes) == std::int64_t{1} << 30);
    CHECK_FALSE(env::is_set(Env::kIsa));
  }
}

TEST_CASE("numbers, sizes and choices are read") {
  ScopedEnv threads("FLASH_NUM_THREADS", "3"), bytes("FLASH_PENDING_BYTES", "64M"),
      evaluator("FLASH_EVALUATOR", "interpret");
  CHECK(env::get_int(Env::kNumThreads) == 3);
  CHECK(env::get_int(Env::kPendingBytes) == 64 << 20);
  CHECK(env::get_choice(Env::kEvaluator) == "interpret");
  CHECK(env::is_set(Env::kEvaluator));
}

TEST_CASE("an invalid value gives one error that names the variable and what is wanted") {
  ScopedEnv evaluator("FLASH_EVALUATOR", "lazy"), threads("FLASH_NUM_THREADS", "0");
  CHECK_THROWS_WITH_AS(env::get_choice(Env::kEvaluator),
                       "FLASH_EVALUATOR: \"lazy\" is not valid; want one of fuse|eager|interpret. "
                       "Fix the environment variable or unset it.",
                       ValueError);
  CHECK_THROWS_WITH_AS(env::get_int(Env::kNumThreads),
                       "FLASH_NUM_THREADS: \"0\" is not valid; want an integer of 1 to 1024. "
                       "Fix the environment variable or unset it.",
                       ValueError);
  for (const char* bad : {"x", "12x", "1.5", " 4", "99999999999999999999", "-1", "4G"}) {
    ScopedEnv limit("FLASH_TRACE_LIMIT", bad);
    CHECK_THROWS_AS(env::get_int(Env::kTraceLimit), ValueError);
  }
  for (const char* bad : {"G", "1GG", "9999999999999G", "1T"}) {
    ScopedEnv bytes("FLASH_PENDING_BYTES", bad);
    CHECK_THROWS_AS(env::get_int(Env::kPendingBytes), ValueError);
  }
}

TEST_CASE("a folder is an absolute path or off") {
  for (const char* good : {"/somewhere/else", "off", "/"}) {
    ScopedEnv folder("FLASH_CACHE_DIR", good);
    CHECK(env::get_folder(Env::kCacheDir) == good);
  }
  for (const char* unset : {static_cast<const char*>(nullptr), ""}) {
    ScopedEnv folder("FLASH_CACHE_DIR", unset);
    CHECK(env::get_folder(Env::kCacheDir) == "");
  }
  for (const char* bad : {"cache", "./cache", "OFF", "~/cache"}) {
    ScopedEnv folder("FLASH_CACHE_DIR", bad);
    CHECK_THROWS_WITH_AS(env::get_folder(Env::kCacheDir),
                         ("FLASH_CACHE_DIR: \"" + std::string(bad) +
                          "\" is not valid; want the absolute path of a folder, or off. Fix the "
                          "environment variable or unset it.")
                             .c_str(),
                         ValueError);
  }
}

TEST_CASE("one check covers every variable, whatever first needs it") {
  CHECK_NOTHROW(env::check());
  for (const env::Info& row : env::table()) {
    ScopedEnv bad(row.name, "xx");
    CAPTURE(row.name);
    CHECK_THROWS_WITH_AS(env::check(), doctest::Contains(row.name), ValueError);
  }
}

TEST_CASE("every default in the table is itself valid") {
  for (const env::Info& row : env::table()) {
    ScopedEnv unset(row.name, nullptr);
    CAPTURE(row.name);
    if (row.kind == env::Kind::kChoice) {
      CHECK(env::get_choice(row.id) == row.default_value);
    } else if (row.kind == env::Kind::kDevice) {
      CHECK(env::get_device(row.id) == row.default_value);
    } else if (row.kind == env::Kind::kFolder) {
      CHECK(env::get_folder(row.id) == row.default_value);
    } else {
      CHECK_NOTHROW(env::get_int(row.id));
    }
    CHECK(std::string(row.doc).size() > 10);
  }
}

TEST_CASE("docs/environment.md holds the table, row by row") {
  std::string want = "| variable | values | default | meaning | read in |\n|---|---|---|---|---|\n";
  for (const env::Info& row : env::table()) {
    std::string values;
    if (row.kind == env::Kind::kChoice) {
      for (const char c : std::string_view(row.choices))
        values += c == '|' ? ", " : std::string(1, c);
    } else if (row.kind == env::Kind::kDevice) {
      values = kDeviceNames;
    } else if (row.kind == env::Kind::kFolder) {
      values = "an absolute path, off";
    } else if (row.high == INT64_MAX) {
      const std::string least =
          row.low > 0 ? ", " + std::to_string(row.low >> 20) + "M or more" : std::string();
      values = "bytes" + least + "; K, M, G may follow";
    } else {
      values = std::to_string(row.low) + " to " + std::to_string(row.high);
    }
    const std::string standard =
        *row.default_value ? "`" + std::string(row.default_value) + "`" : "";
    want += "| `" + std::string(row.name) + "` | " + values + " | " + standard + " | " + row.doc +
            " | " + row.used_in + " |\n";
  }
  const io::Bytes file = io::read_file(FLASH_SOURCE_ROOT "/docs/environment.md");
  const std::string text(reinterpret_cast<const char*>(file.data()), file.size());
  INFO("the page must contain:\n" << want);
  CHECK(text.find(want) != std::string::npos);
}

TEST_CASE("the log level decides what is enabled") {
  const logging::Level before = logging::level();
  logging::set_level(logging::Level::kError);
  CHECK(logging::level() == logging::Level::kError);
  CHECK_FALSE(logging::enabled(logging::Level::kWarn));
  CHECK(logging::enabled(logging::Level::kError));
  logging::warn("this line must not be seen");
  logging::set_level(before);
}
