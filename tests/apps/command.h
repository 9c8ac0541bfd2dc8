// tests/apps/command.h -- runs the flash command in a folder of the test's own
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

namespace fs = std::filesystem;

struct Folder {
  fs::path path;
  explicit Folder(const std::string& name)
      : path(fs::temp_directory_path() /
             ("flash-command-" + std::to_string(getpid()) + "-" + name)) {
    fs::remove_all(path);
    fs::create_directories(path);
  }
  ~Folder() {
    std::error_code ignored;
    fs::permissions(path, fs::perms::owner_all, ignored);
    fs::remove_all(path, ignored);
  }
  std::string operator/(const std::string& name) const { return (path / name).string(); }
  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path / name, std::ios::binary) << bytes;
  }
  std::string read(const std::string& name) const {
    std::ifstream in(path / name, std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
  }
  std::set<std::string> names() const {
    std::set<std::string> out;
    for (const auto& entry : fs::recursive_directory_iterator(path))
      out.insert(fs::relative(entry.path(), path).string());
    return out;
  }
};

struct Result {
  int status = -1;
  std::string out, error;
};

/// Runs `flash ARGS` under a shell; standard output and error apart.
inline Result flash(const std::string& args) {
  Folder scratch("run");
  const std::string command = std::string(FLASH_COMMAND) + " " + args + " >" + (scratch / "out") +
                              " 2>" + (scratch / "err") + " </dev/null";
  const int raw = std::system(command.c_str());
  Result r;
  r.status = WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
  r.out = scratch.read("out");
  r.error = scratch.read("err");
  return r;
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}
