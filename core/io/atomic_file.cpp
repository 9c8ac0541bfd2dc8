// core/io/atomic_file.cpp -- temporary file, fsync, rename, fsync of the folder
#include "core/io/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

namespace flash::io {

AtomicFile::AtomicFile(const std::string& path) : path_(path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (fs::is_symlink(path_, ignored)) {
    const fs::path target = fs::canonical(path_, ignored);
    if (!target.empty()) path_ = target.string();
  }
  const fs::file_status status = fs::status(path_, ignored);
  if (fs::is_directory(status)) fail(path_, "cannot be written: it is a folder");
  if (fs::exists(status) && !fs::is_regular_file(status)) {
    fd_ = open(path_.c_str(), O_WRONLY | O_CLOEXEC);
  } else {
    static std::atomic<unsigned> counter{0};
    temporary_ = path_ + ".tmp." + std::to_string(getpid()) + "." + std::to_string(counter++);
    fd_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  }
  if (fd_ < 0) {
    temporary_.clear();  // not ours
    fail_with_errno("cannot be written");
  }
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) close(fd_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

void AtomicFile::fail_with_errno(const char* what) const {
  const int error = errno;
  fail(path_, std::string(what) + ": " + std::strerror(error));
}

void AtomicFile::write(ByteSpan bytes) {
  while (!bytes.empty()) {
    const std::size_t chunk = std::min(bytes.size(), std::size_t{1} << 30);
    const ssize_t put = ::write(fd_, bytes.data(), chunk);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail_with_errno("cannot be written");
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
}

void AtomicFile::commit() {
  if (temporary_.empty()) {
    if (close(std::exchange(fd_, -1)) != 0) fail_with_errno("cannot be written");
    return;
  }
  if (fsync(fd_) != 0) fail_with_errno("cannot be written");
  if (close(std::exchange(fd_, -1)) != 0) fail_with_errno("cannot be written");
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0) fail_with_errno("cannot be replaced");
  temporary_.clear();
  // The name is durable once the folder is; where that cannot be asked for, the data still is.
  const std::string folder = std::filesystem::path(path_).parent_path().string();
  const int fd = open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0) {
    fsync(fd);
    close(fd);
  }
}

void write_file_atomic(const std::string& path, ByteSpan bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

}  // namespace flash::io
