// tests/jit/cache_folder.h -- what tests of the kernel cache share: folders, contents, children
#pragma once

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <exception>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>
#include <string>

#include "core/io/file.h"
#include "jit/cache/disk.h"

namespace flash::test {

namespace fs = std::filesystem;

/// A folder of the test's own, which goes with it.
struct CacheFolder {
  fs::path path;
  explicit CacheFolder(const std::string& name)
      : path(fs::temp_directory_path() / ("flash-cache-" + std::to_string(getpid()) + "-" + name)) {
    fs::remove_all(path);
    fs::create_directories(path);
  }
  ~CacheFolder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  CacheFolder(const CacheFolder&) = delete;
  CacheFolder& operator=(const CacheFolder&) = delete;
  std::string operator/(const std::string& name) const { return (path / name).string(); }
  std::set<std::string> names() const {
    std::set<std::string> out;
    for (const auto& entry : fs::directory_iterator(path))
      out.insert(entry.path().filename().string());
    return out;
  }
};

/// A cache with counters of its own, as another process would have.
struct TestCache {
  DiskCounters counters;
  jit::DiskCache cache;
  explicit TestCache(const std::string& folder, std::uint64_t cap = std::uint64_t{1} << 30,
                     std::chrono::seconds stale = std::chrono::hours{1})
      : cache({.folder = folder, .cap = cap, .stale = stale}, counters) {}
};

inline jit::DiskKey key_of(int i) {
  return jit::make_key({"kernel " + std::to_string(i), "sm_90", "NVRTC 12.4", "-fmad=false"});
}

/// Different for each number, in size as well.
inline io::Bytes payload_of(int i, std::size_t at_least = 40) {
  std::mt19937 random(static_cast<unsigned>(i));
  io::Bytes out(at_least + random() % (at_least + 1));
  for (std::byte& b : out) b = static_cast<std::byte>(random() & 0xff);
  return out;
}

inline void write_file(const std::string& path, io::ByteSpan bytes) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
}

inline std::string read_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Runs `f` in a child whose standard error is the file `log`; f returns its exit status.
template <class F>
pid_t start_child(const std::string& log, F f) {
  const pid_t child = fork();
  if (child != 0) return child;
  const int fd = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  dup2(fd, 2);
  alarm(120);  // a child that waits is a failure, not a test that never ends
  int status = 99;
  try {
    status = f();
  } catch (const std::exception& e) {
    const std::string text = std::string("threw: ") + e.what() + "\n";
    (void)!write(2, text.data(), text.size());
  }
  _exit(status);
}

/// Its exit status; 128 + the signal that ended it.
inline int wait_for(pid_t child) {
  int status = 0;
  if (child <= 0 || waitpid(child, &status, 0) != child) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

template <class F>
int in_child(const std::string& log, F f) {
  return wait_for(start_child(log, f));
}

}  // namespace flash::test
