// core/io/atomic_file.cpp -- temporary file, fsync, rename, fsync of the folder
#include "core/io/atomic_file.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

namespace flash::io {

std::string temporary_path(const std::string& path) {
  std::uint64_t random = 0;
  if (getrandom(&random, sizeof random, 0) != static_cast<ssize_t>(sizeof random))
    fail(path,
         std::string("cannot be written: no random number can be had: ") + std::strerror(errno));
  std::string digits(16, '0');
  for (char& digit : digits) {
    digit = "0123456789abcdef"[random & 15];
    random >>= 4;
  }
  return path + "." + digits + ".tmp";
}

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
    temporary_ = temporary_path(path_);
    fd_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    // Who may read what is replaced may read its successor, and nobody else.
    if (fd_ >= 0 && fs::exists(status)) fchmod(fd_, static_cast<mode_t>(status.permissions()));
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
