// jit/cache/folder.h -- the files of the kernel cache's folder that are Flash's own
#pragma once

#include <dirent.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "jit/cache/entry.h"

namespace flash::jit {

/// "<64 digits>.kernel", and while it is written "<that>.<16 digits>.tmp" (io::temporary_path).
std::string entry_name(const DiskKey& key);

enum class NameKind : std::uint8_t { kNotOurs, kEntry, kTemporary };
NameKind kind_of_name(std::string_view name);

struct OwnFile {
  std::string name;
  bool temporary = false;
  std::uint64_t bytes = 0;
  std::int64_t used_ns = 0;  ///< its time of modification, which a hit renews
};

/// Makes a folder and those above it, for this user alone (as XDG's Base Directory Specification
/// has it). What is there stays as it is; who writes into it next sees what could not be made.
void make_folder(const std::string& path);

/// A folder that stays the one that was opened, whatever becomes of its name.
class Folder {
 public:
  /// Throws IoError where it cannot be opened; one that is not there has no files.
  explicit Folder(std::string path);
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  /// Regular files whose names are as above; never what a symbolic link leads to.
  std::vector<OwnFile> files() const;
  /// False with errno when it cannot be deleted.
  bool remove(const OwnFile& file) const;

 private:
  std::string path_;
  DIR* dir_ = nullptr;
};

}  // namespace flash::jit
