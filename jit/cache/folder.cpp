// jit/cache/folder.cpp -- names of entries, and walking the folder
#include "jit/cache/folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace flash::jit {
namespace {

constexpr std::string_view kEntryEnd = ".kernel", kTemporaryEnd = ".tmp";
constexpr std::size_t kKeyDigits = 64, kRandomDigits = 16;

bool are_digits(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

}  // namespace

std::string entry_name(const DiskKey& key) { return key.hex() + std::string(kEntryEnd); }

NameKind kind_of_name(std::string_view name) {
  if (!are_digits(name.substr(0, kKeyDigits)) ||
      name.substr(std::min(name.size(), kKeyDigits), kEntryEnd.size()) != kEntryEnd)
    return NameKind::kNotOurs;
  const std::string_view rest = name.substr(kKeyDigits + kEntryEnd.size());
  if (rest.empty()) return NameKind::kEntry;
  const bool ours = rest.size() == 1 + kRandomDigits + kTemporaryEnd.size() && rest[0] == '.' &&
                    are_digits(rest.substr(1, kRandomDigits)) && rest.ends_with(kTemporaryEnd);
  return ours ? NameKind::kTemporary : NameKind::kNotOurs;
}

void make_folder(const std::string& path) {
  for (std::size_t end = path.find('/', 1); end != std::string::npos; end = path.find('/', end + 1))
    (void)mkdir(path.substr(0, end).c_str(), 0700);
  (void)mkdir(path.c_str(), 0700);
}

Folder::Folder(std::string path) : path_(std::move(path)), dir_(opendir(path_.c_str())) {
  if (dir_ == nullptr && errno != ENOENT)
    io::fail(io::printable(path_, 400), std::string("cannot be opened: ") + std::strerror(errno));
}

Folder::~Folder() {
  if (dir_ != nullptr) closedir(dir_);
}

std::vector<OwnFile> Folder::files() const {
  std::vector<OwnFile> out;
  if (dir_ == nullptr) return out;
  rewinddir(dir_);
  while (true) {
    errno = 0;
    const dirent* entry = readdir(dir_);
    if (entry == nullptr) break;
    const NameKind kind = kind_of_name(entry->d_name);
    struct stat status {};
    if (kind == NameKind::kNotOurs ||
        fstatat(dirfd(dir_), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISREG(status.st_mode))
      continue;
    out.push_back({entry->d_name, kind == NameKind::kTemporary,
                   static_cast<std::uint64_t>(status.st_size),
                   std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec});
  }
  if (errno != 0)
    io::fail(io::printable(path_, 400), std::string("cannot be read: ") + std::strerror(errno));
  return out;
}

bool Folder::remove(const OwnFile& file) const {
  return unlinkat(dirfd(dir_), file.name.c_str(), 0) == 0;
}

}  // namespace flash::jit
