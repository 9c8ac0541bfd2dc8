// apps/flash/cache.cpp -- `flash cache`: compiled kernels on disk, shown and deleted
#include "apps/flash/cache.h"

#include <flash/flash.h>

#include <cstdio>

namespace flash::apps {
namespace {

std::string count(std::uint64_t entries) {
  return std::to_string(entries) + (entries == 1 ? " kernel" : " kernels");
}

/// "1.5 MiB": binary, as FLASH_CACHE_DIR_BYTES counts.
std::string size(std::uint64_t bytes) {
  if (bytes < 1024) return std::to_string(bytes) + " bytes";
  double value = static_cast<double>(bytes) / 1024;
  const char* unit = "KiB";
  for (const char* larger : {"MiB", "GiB", "TiB"}) {
    if (value < 1024) break;
    value /= 1024;
    unit = larger;
  }
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %s", value, unit);
  return text;
}

int say_off(const KernelCacheInfo& info) {
  std::printf("compiled kernels are not kept: %s\n", info.off_because.c_str());
  return 0;
}

}  // namespace

int show_cache() {
  const KernelCacheInfo info = kernel_cache_info();
  if (info.folder.empty()) return say_off(info);
  std::printf("folder   %s\n", io::printable(info.folder, 4096).c_str());
  std::printf("entries  %s\n", count(info.entries).c_str());
  std::printf("size     %s of %s\n", size(info.bytes).c_str(), size(info.cap).c_str());
  return 0;
}

int clear_cache() {
  const KernelCacheInfo info = clear_kernel_cache();
  if (info.folder.empty()) return say_off(info);
  std::printf("%s (%s) deleted from %s\n", count(info.entries).c_str(), size(info.bytes).c_str(),
              io::printable(info.folder, 4096).c_str());
  return 0;
}

}  // namespace flash::apps
