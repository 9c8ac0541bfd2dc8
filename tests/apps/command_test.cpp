// tests/apps/command_test.cpp -- the flash command as users run it: answers, errors, exit status
#include <doctest/doctest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>

#include "apps/command.h"

namespace {

const std::string kSmall = "train digits --examples 640 --epochs 2 --batch-size 32 ";

}  // namespace

TEST_CASE("help is there for every verb and names every flag") {
  const Result top = flash("--help");
  CHECK(top.status == 0);
  for (const char* verb : {"train", "predict", "devices", "cache"}) CHECK(contains(top.out, verb));
  CHECK(flash("train --help").status == 0);
  const Result train = flash("train digits --help");
  CHECK(train.status == 0);
  for (const char* flag : {"--data", "--epochs", "--batch-size", "--lr", "--seed", "--threads",
                           "--device", "--out", "--resume", "--report"})
    CHECK(contains(train.out, flag));
  const Result predict = flash("predict --help");
  CHECK(predict.status == 0);
  for (const char* text : {"--checkpoint", "--held-out", "IMAGE", "inverted", "28x28"})
    CHECK(contains(predict.out, text));
  CHECK(contains(flash("--version").out, "flash 0."));
  const Result devices = flash("devices");
  CHECK(devices.status == 0);
  CHECK(contains(devices.out, "cpu"));
}

TEST_CASE("a training run keeps what FLASH_VALIDATE checks, and gives the same weights") {
  Folder f("validate");
  const std::string run = "train digits --examples 96 --epochs 1 --batch-size 32 --out ";
  REQUIRE(flash(run + (f / "plain")).status == 0);
  setenv("FLASH_VALIDATE", "1", 1);
  const Result checked = flash(run + (f / "checked"));
  unsetenv("FLASH_VALIDATE");
  CHECK(checked.status == 0);
  CHECK(checked.error == "");
  CHECK(f.read("plain/model.safetensors") == f.read("checked/model.safetensors"));
}

TEST_CASE("each bad input gets one line that says what is wrong, and no file is left behind") {
  Folder f("bad");
  f.write("text.png", "this is no picture");
  f.write("junk.safetensors", "\xff\xff\xff\xff\xff\xff\xff\x7f{}");
  fs::create_directories(f.path / "empty");
  fs::create_directories(f.path / "idx");
  for (const char* name : {"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                           "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"})
    f.write(std::string("idx/") + name, std::string("\0\0\x08\x03\0\0\0\x02\0\0", 10));
  f.write("file", "x");
  const std::string at = f.path.string();
  const struct {
    std::string args;
    int status;
    std::string says;
  } table[] = {
      {"", 2, "flash: a verb is missing, one of train, predict, devices, cache; --help"},
      {"trian digits", 2, "'trian' is no verb here; --help lists them"},
      {"train", 2, "flash: train: a verb is missing, one of digits; --help"},
      {"train letters", 2, "'letters' is no verb here; --help lists them"},
      {"train digits --epoch 3", 2, "'--epoch' is no flag here: did you mean --epochs?"},
      {"train digits --colour=red 3", 2, "'--colour=red' is no flag here; --help lists the flags"},
      {"train digits 3 4", 2, "'3' was not expected"},
      {"predict --checkpont x y.png", 2,
       "'--checkpont' is no flag here: did you mean --checkpoint"},
      {"train digits --examples 9 --data x", 2, "--examples: counts drawn digits"},
      {"train digits --out ''", 2, "--out: '' names no folder"},
      {"train digits --epochs 0", 2, "--epochs: '0' is not a whole number from 1 to 100000"},
      {"train digits --epochs 3x", 2, "--epochs: '3x' is not a whole number from 1 to 100000"},
      {"train digits --batch-size -4", 2, "--batch-size: '-4' is not a whole number from 1"},
      {"train digits --lr 0", 2, "--lr: '0' is not a number above 0 and up to 10"},
      {"train digits --lr nan", 2, "--lr: 'nan' is not a number above 0 and up to 10"},
      {"train digits --seed 1.5", 2, "--seed: '1.5' is not a whole number from 0"},
      {"train digits --threads 0", 2, "--threads: '0' is not a whole number from 1 to 1024"},
      {"train digits --device gpu7", 2, "--device: 'gpu7' names no device (want cpu, null, cuda:N"},
      {"train digits --device vulkan:7", 1, "'vulkan:7' is not there"},
      {"train digits --device null", 1, "--device: 'null' computes nothing; use another one"},
      {"predict --checkpoint x --held-out 1 --device null", 1,
       "--device: 'null' computes nothing; use another one"},
      {"train digits --data " + at + "/missing", 1, at + "/missing"},
      {"train digits --data " + at + "/empty", 1, "train-images-idx3-ubyte"},
      {"train digits --data " + at + "/idx", 1, "train-images-idx3-ubyte"},
      {"train digits --out " + at + "/file", 1, "--out: cannot make the folder '" + at + "/file'"},
      {"train digits --out " + at + "/file/deeper", 1, "--out: cannot make the folder"},
      {"train digits --out /proc/flash", 1, "--out: cannot make the folder '/proc/flash'"},
      {"train digits --report " + at + "/no/such/report.json", 1, "--report: cannot be written"},
      {"train digits --resume " + at + "/missing.json", 1, "resume: there is no file"},
      {"train digits --resume " + at + "/junk.safetensors", 1, "is no checkpoint"},
      {"train digits --resume " + at, 1, "--resume: '" + at + "' has files in it"},
      {"train digits --resume " + at + "/new --out " + at + "/other", 1,
       "--out: '" + at + "/other' is not '" + at + "/new'"},
      {"predict", 2, "--checkpoint is required"},
      {"predict --checkpoint " + at + "/junk.safetensors", 2, "predict: an IMAGE or --held-out"},
      {"predict --checkpoint " + at + "/missing.safetensors " + at + "/text.png", 1,
       "missing.safetensors"},
      {"predict --checkpoint " + at + "/junk.safetensors " + at + "/text.png", 1,
       "junk.safetensors"},
      {"predict --checkpoint " + at + "/empty " + at + "/text.png", 1,
       "there are no weights in the folder"},
      {"predict --checkpoint " + at + "/empty --held-out 0 x.png", 2,
       "--held-out: '0' is not a whole number from 1"},
      {"cache clean", 2, "'clean' was not expected; --help lists what is"},
      {"cache clear now", 2, "'now' was not expected; --help lists what is"},
      {"cache --clear", 2, "'--clear' is no flag here; --help lists the flags"},
  };
  const std::set<std::string> before = f.names();
  for (const auto& row : table) {
    CAPTURE(row.args);
    const Result r = flash(row.args);
    CAPTURE(r.error);
    CHECK(r.status == row.status);
    CHECK(contains(r.error, row.says));
    CHECK(r.out.empty());
    CHECK(r.error.rfind("flash: ", 0) == 0);
    CHECK(r.error.find('\n') == r.error.size() - 1);
  }
  CHECK(f.names() == before);
}

TEST_CASE("the cache of compiled kernels is shown and cleared, of other files none is touched") {
  Folder f("cache");
  const std::string folder = f / "kernels", kernel(64, 'a');
  setenv("FLASH_CACHE_DIR", folder.c_str(), 1);
  setenv("FLASH_CACHE_DIR_BYTES", "3M", 1);
  Result r = flash("cache");
  CHECK(r.status == 0);
  CHECK(r.out == "folder   " + folder + "\nentries  0 kernels\nsize     0 bytes of 3.0 MiB\n");
  CHECK_FALSE(fs::exists(folder));
  fs::create_directories(folder);
  f.write("kernels/" + kernel + ".kernel", std::string(1500, 'x'));
  f.write("kernels/" + kernel + ".kernel.0123456789abcdef.tmp", std::string(36, 'x'));
  f.write("kernels/mine.kernel", "mine");
  r = flash("cache");
  CHECK(r.out == "folder   " + folder + "\nentries  1 kernel\nsize     1.5 KiB of 3.0 MiB\n");
  r = flash("cache clear");
  CHECK(r.status == 0);
  CHECK(r.error == "");
  CHECK(r.out == "1 kernel (1.5 KiB) deleted from " + folder + "\n");
  CHECK(f.names() == std::set<std::string>{"kernels", "kernels/mine.kernel"});

  setenv("FLASH_CACHE_DIR", (f / "kernels/mine.kernel").c_str(), 1);
  for (const char* verb : {"cache", "cache clear"}) {
    r = flash(verb);
    CHECK(r.status == 1);
    CHECK(r.out == "");
    CHECK(r.error ==
          "flash: \"" + (f / "kernels/mine.kernel") + "\": cannot be opened: Not a directory\n");
  }
  setenv("FLASH_CACHE_DIR", "kernels", 1);
  r = flash("cache");
  CHECK(r.status == 1);
  CHECK(contains(r.error, "flash: FLASH_CACHE_DIR: \"kernels\" is not valid; want the absolute"));
  setenv("FLASH_CACHE_DIR", "off", 1);
  for (const char* verb : {"cache", "cache clear"}) {
    r = flash(verb);
    CHECK(r.status == 0);
    CHECK(r.out == "compiled kernels are not kept: FLASH_CACHE_DIR is off\n");
  }
  unsetenv("FLASH_CACHE_DIR");
  unsetenv("FLASH_CACHE_DIR_BYTES");
}

TEST_CASE("a wrong environment variable stops the command before it begins") {
  for (const char* name : {"FLASH_LOG", "FLASH_DEBUG", "FLASH_NUM_THREADS"}) {
    setenv(name, "xx", 1);
    const Result r = flash("devices");
    unsetenv(name);
    CHECK(r.status == 1);
    CHECK(r.out.empty());
    CHECK(r.error.rfind("flash: " + std::string(name) + ": \"xx\" is not valid", 0) == 0);
  }
}

TEST_CASE("drawn digits are learnt, saved, reported and read back") {
  Folder f("learn");
  const Result train = flash("train digits --examples 3000 --epochs 2 --out " + (f / "run") +
                             " --report " + (f / "report.json"));
  CAPTURE(train.error);
  REQUIRE(train.status == 0);
  CHECK(contains(train.out, "data: drawn digits"));
  CHECK(contains(train.out, "kernels compiled"));
  const auto report = nlohmann::json::parse(f.read("report.json"));
  CHECK(report.at("test_accuracy").get<double>() > 0.9);
  CHECK(report.at("steps") == 2 * 47);
  CHECK(report.at("compiles_after_first_epoch") == 0);
  for (const char* key :
       {"train_loss", "seconds", "kernels_compiled", "launches_of_step", "launches", "peak_bytes"})
    CHECK(report.at(key).get<double>() > 0);

  const Result held = flash("predict --checkpoint " + (f / "run") + " --held-out 10");
  CHECK(held.status == 0);
  CHECK(contains(held.out, "of 10 held-out digits right"));
  // FLASH_DEVICE is a default, and whoever names a device does not need it.
  setenv("FLASH_DEVICE", "vulkan:7", 1);
  const Result by_default = flash("predict --checkpoint " + (f / "run") + " --held-out 10"),
               named = flash("predict --checkpoint " + (f / "run") + " --held-out 10 --device cpu");
  unsetenv("FLASH_DEVICE");
  CHECK(by_default.status == 1);
  CHECK(contains(by_default.error, "FLASH_DEVICE: device: 'vulkan:7' is not there"));
  CHECK(named.out == held.out);
  // A 56x56 picture of a one, dark on light: scaled and inverted.
  std::string pgm = "P5\n56 56\n255\n";
  for (int y = 0; y < 56; ++y)
    for (int x = 0; x < 56; ++x) pgm += y > 9 && y < 47 && x > 24 && x < 31 ? '\0' : '\xff';
  f.write("one.pgm", pgm);
  const Result one =
      flash("predict --checkpoint " + (f / "run/model.safetensors") + " " + (f / "one.pgm"));
  CHECK(one.status == 0);
  CHECK(contains(one.out, "one.pgm: 1  ("));
  f.write("text.png", "this is no picture");
  const Result both =
      flash("predict --checkpoint " + (f / "run") + " " + (f / "text.png") + " " + (f / "one.pgm"));
  CHECK(both.status == 1);
  CHECK(contains(both.out, "one.pgm: 1  ("));
  CHECK(contains(both.error, "text.png"));
  CHECK(both.error.find('\n') == both.error.size() - 1);
}

TEST_CASE("a full disk behind standard output is told") {
  if (!fs::exists("/dev/full")) {
    MESSAGE("skipped: there is no /dev/full");
    return;
  }
  Folder f("full");
  const int raw =
      std::system((std::string(FLASH_COMMAND) + " devices >/dev/full 2>" + (f / "err")).c_str());
  CHECK(WEXITSTATUS(raw) == 1);
  CHECK(contains(f.read("err"), "flash: standard output cannot be written"));
}

TEST_CASE("equal seeds give equal weights whatever the threads, and another seed others") {
  Folder f("equal");
  CHECK(flash(kSmall + "--threads 1 --out " + (f / "a")).status == 0);
  CHECK(flash(kSmall + "--threads 2 --out " + (f / "b")).status == 0);
  CHECK(flash(kSmall + "--seed 2 --out " + (f / "c")).status == 0);
  const std::string weights = f.read("a/model.safetensors");
  CHECK(weights.size() > 1000);
  CHECK(weights == f.read("b/model.safetensors"));
  CHECK(weights != f.read("c/model.safetensors"));
}

TEST_CASE("a run killed at any moment resumes to the same bytes as one that was not") {
  Folder f("resume");
  REQUIRE(flash(kSmall + "--out " + (f / "whole")).status == 0);
  const std::string weights = f.read("whole/model.safetensors");

  // Nothing there yet: it starts afresh and says so.
  const std::string resume =
      "train digits --examples 640 --epochs 2 --batch-size 32 "
      "--checkpoint-every 3 --resume " +
      (f / "run");
  int signals = 0;
  for (int round = 0; round < 30; ++round) {
    const bool gentle = round % 2 == 0;
    // Longer each time, so that a busy machine gets there too.
    const int tenths = 3 + round + round / 2;
    const std::string command = "timeout --foreground -s " +
                                std::string(gentle ? "INT " : "KILL ") +
                                std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) +
                                " " FLASH_COMMAND " " + resume + " >" + (f / "log") + " 2>&1";
    const int raw = std::system(command.c_str());
    // Not if it was stopped before it could.
    const std::string said = f.read("log");
    if (round == 0 && !said.empty()) CHECK(contains(said, "starting afresh"));
    if (WIFEXITED(raw) && WEXITSTATUS(raw) == 0) break;
    ++signals;
  }
  CAPTURE(signals);
  const Result last = flash(resume);
  CHECK(last.status == 0);
  CHECK((contains(last.out, "resuming from") || contains(last.out, "nothing left to train")));
  CHECK(weights == f.read("run/model.safetensors"));

  // Without --resume its checkpoints are another run's.
  const Result again = flash(kSmall + "--out " + (f / "run"));
  CHECK(again.status == 1);
  CHECK(again.out.empty());
  CHECK(contains(again.error, "--out: '" + (f / "run") +
                                  "' holds the checkpoints of a run; "
                                  "continue it with --resume"));
  CHECK(weights == f.read("run/model.safetensors"));

  // Done: tested again, and the weights are left alone.
  const auto written = fs::last_write_time(f.path / "run/model.safetensors");
  const Result done = flash(resume + " --out " + (f / "run") + "/");
  CHECK(done.status == 0);
  CHECK(contains(done.out, "nothing left to train: all 2 epochs"));
  CHECK_FALSE(contains(done.out, "resuming from"));
  CHECK(contains(done.out, "test accuracy"));
  CHECK(fs::last_write_time(f.path / "run/model.safetensors") == written);
  // Killed between the last checkpoint and the weights: they are still owed.
  fs::remove(f.path / "run/model.safetensors");
  CHECK(flash(resume).status == 0);
  CHECK(weights == f.read("run/model.safetensors"));

  const Result other = flash("train digits --batch-size 16 --resume " + (f / "run"));
  CHECK(other.status == 1);
  CHECK(other.out.empty());
  CHECK(contains(other.error, "is of another run: batch-size 32 (here 16)"));
}

TEST_CASE("Ctrl-C finishes the step, saves, says how to go on and exits with 130") {
  Folder f("interrupt");
  const std::string command = "exec " FLASH_COMMAND
                              " train digits --examples 3200 --batch-size 16 --epochs 1000 --out " +
                              (f / "run") + " >" + (f / "out") + " 2>&1";
  const pid_t child = fork();
  if (child == 0) {
    execl("/bin/sh", "sh", "-c", command.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  REQUIRE(child > 0);
  int waited = 0;
  for (; waited < 12000 && !contains(f.read("out"), "  step "); ++waited) usleep(10000);
  kill(child, SIGINT);
  int raw = 0;
  REQUIRE(waitpid(child, &raw, 0) == child);
  CHECK(WIFEXITED(raw));
  CHECK(WEXITSTATUS(raw) == 130);
  const std::string out = f.read("out");
  CAPTURE(out);
  CHECK(contains(out, "stopped by SIGINT after step"));
  CHECK(contains(out, "resume from " + (f / "run")));
  CHECK_FALSE(fs::exists(f.path / "run/model.safetensors"));
}
