// jit/cache/disk.h -- compiled kernels that outlive the process: one folder, one file an entry
//
// Any number of processes use a folder at once, and there is no lock: none can be waited for, and
// none is left behind by a process that is killed. An entry is written beside its place and renamed
// into it, so its name leads to whole entries or to none. What a crash of the machine tears
// (nothing is flushed to the disk: that costs more than it saves) is found out by its checksum. All
// that can happen is that a kernel is compiled that need not have been.
//
// The cache is a help and never an obstacle: whatever is wrong with the folder, find() finds
// nothing and store() stores nothing. The first such trouble is one line of the log, a process;
// the rest shows in the counters alone.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "core/counters.h"
#include "jit/cache/entry.h"

namespace flash::jit {

/// Thread-safe, and free of locks that a fork could leave taken.
class DiskCache {
 public:
  struct Options {
    std::string folder;                                 ///< made when the first entry is stored
    std::uint64_t cap = std::uint64_t{1} << 30;         ///< bytes of all entries
    std::chrono::seconds stale{std::chrono::hours{1}};  ///< a temporary file this old is nobody's
    std::chrono::seconds touch{60};  ///< a hit marks the entry as used where its mark is older
  };
  explicit DiskCache(Options options, DiskCounters& counters = flash::counters().disk);

  /// The bytes that were stored, whole, or nothing. A damaged entry is deleted.
  std::optional<io::Bytes> find(const DiskKey& key) noexcept;
  /// Now and then also sweeps: at the first time, and after each sixteenth of the cap.
  void store(const DiskKey& key, io::ByteSpan payload) noexcept;
  /// Deletes an entry whose bytes are whole and of no use: a driver refused to load them.
  void reject(const DiskKey& key) noexcept;

  struct Contents {
    std::uint64_t entries = 0, bytes = 0;  ///< bytes: of temporary files, too
  };
  /// Throws IoError where the folder cannot be read; one that is not there is empty.
  Contents contents() const;
  /// Deletes what was used longest ago until seven eighths of the cap are kept, if the cap is
  /// exceeded, and temporary files of processes that were killed. Returns what was deleted.
  Contents sweep() noexcept;
  /// Deletes all entries and temporary files: regular files with names as this class gives them,
  /// and nothing else. Throws IoError when some cannot be deleted. Returns what was deleted.
  Contents clear();

  const Options& options() const { return options_; }
  std::string path_of(const DiskKey& key) const;

 private:
  std::optional<io::Bytes> read(const std::string& path, const DiskKey& key);
  bool publish(const std::string& path, io::ByteSpan entry);

  const Options options_;
  DiskCounters& counters_;
  std::atomic<std::uint64_t> since_sweep_;  // bytes stored, by this process
};

}  // namespace flash::jit
