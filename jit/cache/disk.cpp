// jit/cache/disk.cpp -- finding, publishing and sweeping of entries
#include "jit/cache/disk.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <exception>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/io/atomic_file.h"
#include "core/log.h"
#include "jit/cache/folder.h"

namespace flash::jit {
namespace {

/// A file that is open until the end of its scope.
class File {
 public:
  File(const std::string& path, int flags) : fd_(open(path.c_str(), flags | O_CLOEXEC, 0666)) {}
  ~File() { close(); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  explicit operator bool() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  bool close() {  // some file systems tell here that the disk is full
    return fd_ < 0 || ::close(std::exchange(fd_, -1)) == 0;
  }

 private:
  int fd_;
};

/// The first trouble of this process is a line of the log. Not every one: a folder that cannot be
/// written would give a line a kernel.
void complain(const std::string& what) {
  static std::atomic<pid_t> said_by{0};  // a forked child is a process of its own
  if (said_by.exchange(getpid()) == getpid()) return;
  logging::warn("kernel cache: " + what +
                " The kernel is compiled anew; nothing else changes, and nothing more is said. "
                "FLASH_CACHE_DIR names another folder, or is off.");
}

std::string quoted(const std::string& path) { return "\"" + io::printable(path, 400) + "\""; }

void complain(const std::string& path, const char* what, int error) {
  complain(quoted(path) + " " + what + ": " + std::strerror(error) + ".");
}

/// No memory, say; then there may be none for this line, either.
void complain(const std::exception& e) noexcept {
  try {
    complain(std::string(e.what()) + ".");
  } catch (const std::exception&) {  // NOLINT: a help and never an obstacle
  }
}

bool write_all(int fd, io::ByteSpan bytes) {
  while (!bytes.empty()) {
    const ssize_t put = write(fd, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
  return true;
}

/// False with errno at an error; `out` becomes shorter where the file ends early.
bool read_some(int fd, io::Bytes& out, std::uint64_t offset) {
  std::size_t filled = 0;
  while (filled < out.size()) {
    const ssize_t got =
        pread(fd, out.data() + filled, out.size() - filled, static_cast<off_t>(offset + filled));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return false;
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  out.resize(filled);
  return true;
}

/// A write beyond this limit would not fail but end the process, by SIGXFSZ.
bool within_file_limit(std::uint64_t bytes) {
  rlimit limit{};
  return getrlimit(RLIMIT_FSIZE, &limit) != 0 || bytes <= limit.rlim_cur;
}

}  // namespace

DiskCache::DiskCache(Options options, DiskCounters& counters)
    : options_(std::move(options)), counters_(counters), since_sweep_(options_.cap) {}

std::string DiskCache::path_of(const DiskKey& key) const {
  return options_.folder + "/" + entry_name(key);
}

std::optional<io::Bytes> DiskCache::find(const DiskKey& key) noexcept {
  std::optional<io::Bytes> found;
  try {
    found = read(path_of(key), key);
  } catch (const std::exception& e) {
    complain(e);
  }
  ++(found ? counters_.hits : counters_.misses);
  return found;
}

/// Nothing in here waits, whatever has the entry's name: no pipe, no device, no other's link.
std::optional<io::Bytes> DiskCache::read(const std::string& path, const DiskKey& key) {
  const File file(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  if (!file) {
    if (errno != ENOENT) complain(path, "cannot be opened", errno);
    return {};
  }
  struct stat status {};
  if (fstat(file.fd(), &status) != 0 || !S_ISREG(status.st_mode)) {
    complain(quoted(path) + " is not a regular file.");
    return {};
  }
  const std::string name = io::printable(path, 400);
  try {
    const auto file_size = static_cast<std::uint64_t>(status.st_size);
    io::Bytes header(kEntryHeader);
    if (!read_some(file.fd(), header, 0)) {
      complain(path, "cannot be read", errno);
      return {};
    }
    io::Bytes payload(payload_size(header, file_size, key, name));
    if (!read_some(file.fd(), payload, kEntryHeader)) {
      complain(path, "cannot be read", errno);
      return {};
    }
    check_payload(header, payload, name);
    // The mark by which sweep() tells what is used. Where it cannot be set (a folder of somebody
    // else's) the entry is as old as it is.
    if (status.st_mtime < time(nullptr) - options_.touch.count())
      (void)futimens(file.fd(), nullptr);
    return payload;
  } catch (const IoError& e) {
    ++counters_.rejected;
    // Another process may have put a whole one here in the meantime; then that is compiled again.
    const int error = unlink(path.c_str()) == 0 || errno == ENOENT ? 0 : errno;
    complain(std::string(e.what()) +
             (error == 0 ? std::string("; it was deleted.")
                         : std::string("; it cannot be deleted: ") + std::strerror(error) + "."));
    return {};
  }
}

void DiskCache::store(const DiskKey& key, io::ByteSpan payload) noexcept {
  try {
    const std::string path = path_of(key);
    const std::uint64_t bytes = kEntryHeader + payload.size();
    if (payload.size() > kMaxPayload || bytes > options_.cap) {
      complain("a kernel of " + std::to_string(payload.size()) + " bytes is too large for " +
               quoted(options_.folder) + ".");
      return;
    }
    if (!within_file_limit(bytes)) {
      complain(path, "cannot be written", EFBIG);
      return;
    }
    if (!publish(path, make_entry(key, payload))) return;
    ++counters_.stored;
    // Whoever crosses the line sweeps, and nobody waits.
    if (since_sweep_.fetch_add(bytes) + bytes > options_.cap / 16 && since_sweep_.exchange(0) != 0)
      sweep();
  } catch (const std::exception& e) {
    complain(e);
  }
}

bool DiskCache::publish(const std::string& path, io::ByteSpan entry) {
  const std::string temporary = io::temporary_path(path);
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
  auto file = std::make_unique<File>(temporary, kFlags);
  if (!*file && errno == ENOENT) {  // the first entry, or somebody deleted the folder
    make_folder(options_.folder);
    file = std::make_unique<File>(temporary, kFlags);
  }
  if (!*file) {
    complain(options_.folder, "cannot be written", errno);
    return false;
  }
  if (!write_all(file->fd(), entry) || !file->close()) {
    const int error = errno;
    unlink(temporary.c_str());
    complain(options_.folder, "cannot be written", error);
    return false;
  }
  if (std::rename(temporary.c_str(), path.c_str()) != 0) {
    const int error = errno;
    unlink(temporary.c_str());
    if (error != ENOENT) complain(path, "cannot be put into place", error);  // else: cleared
    return false;
  }
  return true;
}

void DiskCache::reject(const DiskKey& key) noexcept {
  try {
    ++counters_.rejected;
    const std::string path = path_of(key);
    if (unlink(path.c_str()) != 0 && errno != ENOENT) complain(path, "cannot be deleted", errno);
  } catch (const std::exception& e) {
    complain(e);
  }
}

DiskCache::Contents DiskCache::contents() const {
  Contents out;
  for (const OwnFile& file : Folder(options_.folder).files()) {
    out.entries += !file.temporary;
    out.bytes += file.bytes;
  }
  return out;
}

DiskCache::Contents DiskCache::sweep() noexcept {
  Contents out;
  try {
    const Folder folder(options_.folder);
    std::vector<OwnFile> files = folder.files();
    std::uint64_t bytes = 0;
    const auto remove = [&](const OwnFile& file) {
      const bool removed = folder.remove(file);
      // What another process has just swept is gone as well: eight of them at once sweep no more
      // than one does.
      if (removed || errno == ENOENT) bytes -= file.bytes;
      if (!removed) return;
      ++counters_.swept;
      out.entries += !file.temporary;
      out.bytes += file.bytes;
    };
    for (const OwnFile& file : files) bytes += file.bytes;
    const std::int64_t stale = time(nullptr) - options_.stale.count();
    for (const OwnFile& file : files)
      if (file.temporary && file.used_ns / 1'000'000'000 <= stale) remove(file);
    if (bytes <= options_.cap) return out;
    std::erase_if(files, [](const OwnFile& file) { return file.temporary; });
    // In the same order in all processes: many a file is as old as its neighbour, for the clock of
    // file systems goes in steps of milliseconds.
    std::sort(files.begin(), files.end(), [](const OwnFile& a, const OwnFile& b) {
      return std::tie(a.used_ns, a.name) < std::tie(b.used_ns, b.name);
    });
    for (const OwnFile& file : files) {
      if (bytes <= options_.cap / 8 * 7) break;
      remove(file);
    }
  } catch (const std::exception& e) {
    complain(e);
  }
  return out;
}

DiskCache::Contents DiskCache::clear() {
  const Folder folder(options_.folder);
  Contents out;
  std::uint64_t kept = 0;
  int error = 0;
  for (const OwnFile& file : folder.files()) {
    if (folder.remove(file)) {
      out.entries += !file.temporary;
      out.bytes += file.bytes;
    } else if (errno != ENOENT) {
      error = errno;
      ++kept;
    }
  }
  if (kept != 0)
    io::fail(io::printable(options_.folder, 400),
             std::to_string(kept) +
                 " files of the kernel cache cannot be deleted: " + std::strerror(error));
  return out;
}

}  // namespace flash::jit
