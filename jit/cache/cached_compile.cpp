// jit/cache/cached_compile.cpp -- the cache of this process, and what users see of it
#include "jit/cache/cached_compile.h"

#include <cstdlib>
#include <utility>

#include "core/env.h"
#include "core/kernel_cache.h"
#include "core/log.h"

namespace flash::jit {
namespace {

DiskCache::Options options_in(std::string folder) {
  DiskCache::Options options;
  options.folder = std::move(folder);
  options.cap = static_cast<std::uint64_t>(env::get_int(Env::kCacheDirBytes));
  return options;
}

/// XDG Base Directory Specification: a relative path is invalid and to be ignored.
bool is_absolute(const char* path) { return path != nullptr && path[0] == '/'; }

}  // namespace

CachePlace cache_place() {
  CachePlace place;
  place.folder = env::get_folder(Env::kCacheDir);
  if (place.folder == "off") return {"", "FLASH_CACHE_DIR is off", true};
  if (!place.folder.empty()) return place;
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); is_absolute(cache)) {
    place.folder = std::string(cache) + "/flash";
  } else if (const char* home = std::getenv("HOME"); is_absolute(home)) {
    place.folder = std::string(home) + "/.cache/flash";
  } else {
    place.off_because =
        "there is no folder for them: HOME and XDG_CACHE_HOME are no absolute paths";
  }
  return place;
}

DiskCache* disk_cache() {
  static DiskCache* const cache = []() -> DiskCache* {
    CachePlace place = cache_place();
    if (!place.folder.empty()) return new DiskCache(options_in(std::move(place.folder)));
    if (!place.asked_for)
      logging::warn("kernel cache: compiled kernels are not kept, because " + place.off_because +
                    ". Set FLASH_CACHE_DIR to a folder, or to off.");
    return nullptr;
  }();
  return cache;  // never destroyed: threads may still compile while the process exits
}

io::Bytes cached_compile(DiskCache* cache, const KeyParts& parts, CompileCall compile) {
  if (cache == nullptr) return compile();
  const DiskKey key = make_key(parts);
  if (std::optional<io::Bytes> found = cache->find(key)) return *std::move(found);
  io::Bytes made = compile();
  cache->store(key, made);
  return made;
}

io::Bytes cached_compile(const KeyParts& parts, CompileCall compile) {
  return cached_compile(disk_cache(), parts, compile);
}

std::optional<io::Bytes> find_compiled(const KeyParts& parts) {
  DiskCache* const cache = disk_cache();
  return cache ? cache->find(make_key(parts)) : std::nullopt;
}

void keep_compiled(const KeyParts& parts, io::ByteSpan bytes) {
  if (DiskCache* cache = disk_cache()) cache->store(make_key(parts), bytes);
}

void reject_compiled(const KeyParts& parts) {
  if (DiskCache* cache = disk_cache()) cache->reject(make_key(parts));
}

}  // namespace flash::jit

namespace flash {
namespace {

KernelCacheInfo info(const jit::DiskCache& cache, const jit::DiskCache::Contents& contents) {
  return {cache.options().folder, "", contents.entries, contents.bytes, cache.options().cap};
}

}  // namespace

KernelCacheInfo kernel_cache_info() {
  const jit::CachePlace place = jit::cache_place();
  if (place.folder.empty()) return {"", place.off_because, 0, 0, 0};
  const jit::DiskCache cache(jit::options_in(place.folder));
  return info(cache, cache.contents());
}

KernelCacheInfo clear_kernel_cache() {
  const jit::CachePlace place = jit::cache_place();
  if (place.folder.empty()) return {"", place.off_because, 0, 0, 0};
  jit::DiskCache cache(jit::options_in(place.folder));
  return info(cache, cache.clear());
}

}  // namespace flash
