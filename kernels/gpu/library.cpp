// kernels/gpu/library.cpp -- a library of a GPU's vendor, opened at run time from where it may lie
#include "kernels/gpu/library.h"

#include <dlfcn.h>

#include <cstdlib>

#include "core/log.h"

namespace flash::gpu {

Library Library::open(std::span<const std::string> folders, std::span<const char* const> names) {
  Library out;
  for (const char* name : names) out.tried_ += (out.tried_.empty() ? "" : ", ") + std::string(name);
  out.tried_ += " in ";
  bool first = true;
  for (const std::string& folder : folders) {
    out.tried_ += (first ? "" : ", ") + (folder.empty() ? "the loader's path" : folder);
    first = false;
  }
  std::string broken;  // a library that is there, and why it cannot be opened
  for (const std::string& folder : folders)
    for (const char* name : names) {
      if (folder == "off") continue;  // a variable's value: none is wanted
      const std::string path = folder.empty() ? name : folder + "/" + name;
      if (void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
        out.handle_ = handle;
        out.path_ = path;
        if (logging::enabled(logging::Level::kDebug)) logging::debug("opened " + path);
        return out;
      }
      const std::string why = dlerror();
      if (broken.empty() && why.find("No such file") == std::string::npos) broken = why;
    }
  if (!broken.empty()) out.tried_ += " (" + broken + ")";
  return out;
}

void* Library::symbol(const char* name) const { return handle_ ? dlsym(handle_, name) : nullptr; }

std::vector<std::string> toolkit_folders(std::span<const char* const> variables,
                                         std::string_view sub, const char* installed) {
  std::vector<std::string> out{""};
  for (const char* variable : variables)
    if (const char* folder = std::getenv(variable); folder && *folder)
      out.push_back(std::string(folder) + "/" + std::string(sub));
  out.emplace_back(installed);
  return out;
}

}  // namespace flash::gpu
