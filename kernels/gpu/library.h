// kernels/gpu/library.h -- a library of a GPU's vendor, opened at run time from where it may lie
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace flash::gpu {

/// A shared library. Never closed: drivers keep threads and exit handlers.
class Library {
 public:
  /// Tries every name in every folder, in order of the folders; "" is the loader's own search.
  static Library open(std::span<const std::string> folders, std::span<const char* const> names);

  explicit operator bool() const { return handle_ != nullptr; }
  void* symbol(const char* name) const;              ///< nullptr if it is not there
  const std::string& path() const { return path_; }  ///< as it was opened
  /// Which names were looked for and where; for messages.
  const std::string& tried() const { return tried_; }

 private:
  void* handle_ = nullptr;
  std::string path_, tried_;
};

/// Where a toolkit's libraries may lie: the loader's own search, "$variable/sub" for those of the
/// variables that are set, and the place where it is installed.
std::vector<std::string> toolkit_folders(std::span<const char* const> variables,
                                         std::string_view sub, const char* installed);

}  // namespace flash::gpu
