// core/io/atomic_file.h -- writes a file so that readers see the old one or the new one, never half
#pragma once

#include <string>
#include <string_view>

#include "../export.h"
#include "file.h"

namespace flash::io {

/// Writes into a temporary file beside `path`; commit() makes it durable and moves it into place.
/// Without commit (an exception, say) the old file stays as it was and the temporary one goes.
/// A symbolic link is followed. A target that is no regular file (/dev/stdout, a pipe) is written
/// to directly. Every failure is an IoError that names the file.
class FLASH_API AtomicFile {
 public:
  explicit AtomicFile(const std::string& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(ByteSpan bytes);
  void write(std::string_view text) { write(as_bytes(text)); }

  /// Flushes to the disk, renames, and flushes the folder. Call once, last.
  void commit();

 private:
  [[noreturn]] void fail_with_errno(const char* what) const;

  std::string path_, temporary_;  // temporary_ is empty when the target is written directly
  int fd_ = -1;
};

/// "<path>.<16 random digits>.tmp": a name that no two writers share, neither processes in
/// containers that all have number 7, nor one with what a killed one left behind. Throws IoError.
std::string temporary_path(const std::string& path);

/// The whole file at once.
FLASH_API void write_file_atomic(const std::string& path, ByteSpan bytes);

}  // namespace flash::io
