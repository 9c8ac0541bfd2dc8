// core/kernel_cache.h -- the folder of compiled kernels: what it holds, and emptying it
//
// Kernels of GPUs take long to compile, so they are kept in files and found again by the next
// process. stats() counts how often (disk_hits and its neighbours); FLASH_CACHE_DIR and
// FLASH_CACHE_DIR_BYTES say where and how much.
#pragma once

#include <cstdint>
#include <string>

#include "export.h"

namespace flash {

struct KernelCacheInfo {
  std::string folder;         ///< empty when kernels are not kept …
  std::string off_because;    ///< … and then why: a sentence's end
  std::uint64_t entries = 0;  ///< kernels
  std::uint64_t bytes = 0;    ///< in all files of the cache
  std::uint64_t cap = 0;      ///< bytes beyond which those used longest ago are deleted
};

/// Walks the folder: some microseconds an entry. Throws IoError when it cannot be read, and
/// ValueError when a variable of the environment is not valid.
FLASH_API KernelCacheInfo kernel_cache_info();

/// Deletes every entry; of other files in that folder none, and nothing that symbolic links lead
/// to. Harmless while processes use the cache: they compile anew. Returns the entries and bytes
/// that were deleted. Throws IoError when some cannot be deleted.
FLASH_API KernelCacheInfo clear_kernel_cache();

}  // namespace flash
