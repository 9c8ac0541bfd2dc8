// tests/apps/crash_test.cpp -- training that is killed, or whose disk fails, at random moments
//
//   FLASH_KILLS=200 FLASH_KILL_SEED=7 build/tests/test_apps -tc='*killed at random*'
//
// kills more often, at other moments, than the tests do.
#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <algorithm>
#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "apps/command.h"

namespace {

std::int64_t number(const char* variable, std::int64_t otherwise) {
  const char* text = std::getenv(variable);
  return text && *text ? std::strtoll(text, nullptr, 10) : otherwise;
}

/// A process of `flash ARGS`; `prepare` runs in it before it begins.
pid_t start(const std::vector<std::string>& args, const std::string& log,
            void (*prepare)() = nullptr) {
  const pid_t child = fork();
  if (child != 0) return child;
  const int out = open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  dup2(out, 1);
  dup2(out, 2);
  if (prepare) prepare();
  std::vector<char*> argv{const_cast<char*>(FLASH_COMMAND)};
  for (const std::string& a : args) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  execv(FLASH_COMMAND, argv.data());
  _exit(127);
}

int status_of(pid_t child) {
  int raw = 0;
  waitpid(child, &raw, 0);
  return WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::vector<std::string> training(const std::string& run, const std::string& report) {
  return {"train",        "digits", "--examples", "640", "--epochs",           "2",
          "--batch-size", "32",     "--threads",  "2",   "--checkpoint-every", "1",
          "--resume",     run,      "--report",   report};
}

/// What must not depend on how often a run was killed.
std::string outcome(const std::string& report) {
  nlohmann::json all = nlohmann::json::parse(report), kept;
  for (const char* key : {"test_accuracy", "test_loss", "train_loss", "train_accuracy", "steps"})
    if (all.contains(key)) kept[key] = all[key];
  return kept.dump();
}

}  // namespace

TEST_CASE("a run killed at random moments ends in the bytes of one that was left alone") {
  const std::int64_t wanted = number("FLASH_KILLS", 20);
  std::mt19937_64 random(static_cast<std::uint64_t>(number("FLASH_KILL_SEED", 1)));
  Folder f("kills");
  const auto began = std::chrono::steady_clock::now();
  REQUIRE(status_of(start(training(f / "whole", f / "whole.json"), f / "log")) == 0);
  const double whole = seconds_since(began);
  const std::string weights = f.read("whole/model.safetensors"),
                    result = outcome(f.read("whole.json"));
  REQUIRE(weights.size() > 1000);

  std::int64_t kills = 0, runs = 0, resumed = 0;
  const auto check_end = [&] {
    ++runs;
    CHECK(weights == f.read("run/model.safetensors"));
    CHECK(result == outcome(f.read("run.json")));
    fs::remove_all(f.path / "run");
    fs::remove(f.path / "run.json");
  };
  while (kills < wanted) {
    const pid_t child = start(training(f / "run", f / "run.json"), f / "log");
    // Most of a run's time passes in a few of these, some in the first moments of the process.
    const double moment = std::uniform_real_distribution(0.0, whole / 2)(random);
    usleep(static_cast<useconds_t>(moment * 1e6));
    kill(child, SIGKILL);
    const int status = status_of(child);
    resumed += contains(f.read("log"), "resuming from");
    if (status == 128 + SIGKILL) {
      ++kills;
    } else {
      CAPTURE(f.read("log"));
      REQUIRE(status == 0);
      check_end();
    }
  }
  const Result last =
      flash("train digits --threads 2 --checkpoint-every 1 --resume " + (f / "run") +
            " --examples 640 --epochs 2 --batch-size 32 --report " + (f / "run.json"));
  CAPTURE(last.error);
  REQUIRE(last.status == 0);
  check_end();
  MESSAGE(kills << " kills, " << resumed << " resumed from a checkpoint, " << runs
                << " runs ended, all equal");
  CHECK(resumed > 0);
}

namespace {

/// Trains until something fails; the error, and that the folder still resumes to the right bytes.
void check_failure(Folder& f, const std::string& run, pid_t child, const std::string& says) {
  const int status = status_of(child);
  const std::string log = f.read("log");
  CAPTURE(log);
  CHECK(status == 1);
  CHECK(contains(log, says));
  CHECK(contains(log, run));
  for (const auto& e : fs::recursive_directory_iterator(run))
    CHECK_FALSE(contains(e.path().filename().string(), ".tmp"));
}

}  // namespace

TEST_CASE("a file that the system does not let grow is told, and the last checkpoint stays") {
  Folder f("limit");
  const std::string run = f / "run";
  REQUIRE(status_of(start(training(f / "whole", f / "whole.json"), f / "log")) == 0);
  // As a full disk: every write beyond 400 kB fails, in the midst of a checkpoint's files.
  const pid_t child = start(training(run, f / "run.json"), f / "log", [] {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{400 << 10, 400 << 10};
    setrlimit(RLIMIT_FSIZE, &limit);
  });
  check_failure(f, run, child, "File too large");
  REQUIRE(status_of(start(training(run, f / "run.json"), f / "log")) == 0);
  CHECK(f.read("whole/model.safetensors") == f.read("run/model.safetensors"));
}

TEST_CASE("a full disk is told, the previous checkpoint is intact, and the run goes on elsewhere") {
  Folder f("disk");
  const std::string disk = f / "disk", run = disk + "/run";
  fs::create_directories(disk);
  if (mount("flash", disk.c_str(), "tmpfs", 0, "size=64m") != 0) {
    MESSAGE("skipped: a small tmpfs cannot be mounted here (that needs root)");
    return;
  }
  struct Unmount {
    std::string at;
    ~Unmount() { umount2(at.c_str(), MNT_DETACH); }
  } unmount{disk};
  REQUIRE(status_of(start(training(f / "whole", f / "whole.json"), f / "log")) == 0);
  // Some checkpoints fit, then none more.
  const std::string filler(40 << 20, 'x');
  std::ofstream(disk + "/filler", std::ios::binary) << filler;
  const pid_t child = start(training(run, f / "run.json"), f / "log");
  check_failure(f, run, child, "No space left on device");
  fs::remove(disk + "/filler");
  REQUIRE(status_of(start(training(run, f / "run.json"), f / "log")) == 0);
  CHECK(f.read("whole/model.safetensors") == f.read("disk/run/model.safetensors"));
}

TEST_CASE("a run's folder that is made read-only or taken away is told") {
  Folder f("gone");
  const std::string run = f / "run";
  auto args = training(run, f / "run.json");
  args[5] = "1000";  // epochs
  REQUIRE(args[4] == "--epochs");
  const auto wait_for_checkpoint = [&] {
    for (int i = 0; i < 6000 && !fs::exists(f.path / "run/checkpoint-000003"); ++i) usleep(10000);
  };
  pid_t child = start(args, f / "log");
  wait_for_checkpoint();
  fs::rename(run, f / "elsewhere");  // at once, whatever is written there at the moment
  int status = status_of(child);
  CAPTURE(f.read("log"));
  CHECK(status == 1);
  CHECK(contains(f.read("log"), "the folder of the run, '" + run + "', is gone"));
  if (geteuid() == 0) {
    MESSAGE("skipped: root may write to a read-only folder");
    return;
  }
  child = start(args, f / "log");
  wait_for_checkpoint();
  fs::permissions(run, fs::perms::owner_read | fs::perms::owner_exec);
  status = status_of(child);
  fs::permissions(run, fs::perms::owner_all);
  CHECK(status == 1);
  CHECK(contains(f.read("log"), "Permission denied"));
}
