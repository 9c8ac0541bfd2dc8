// jit/cache/cached_compile.h -- how runtimes compile: from disk if it was done before
//
//   const io::Bytes code = jit::cached_compile({source, "sm_90", "NVRTC 12.4", options}, [&] {
//     return compile(source);
//   });
#pragma once

#include <optional>
#include <string>

#include "core/function_ref.h"
#include "jit/cache/disk.h"

namespace flash::jit {

using CompileCall = FunctionRef<io::Bytes()>;

/// The bytes of a former compilation of the very same parts, by any process; else `compile()` is
/// called and its bytes are kept. What it throws gets through, and nothing is kept. Thread-safe.
io::Bytes cached_compile(const KeyParts& parts, CompileCall compile);
/// The same through a cache of one's own; null: always compiles.
io::Bytes cached_compile(DiskCache* cache, const KeyParts& parts, CompileCall compile);

/// The two halves of it, for who does not compile at once: what is on disk, and putting it there.
std::optional<io::Bytes> find_compiled(const KeyParts& parts);
void keep_compiled(const KeyParts& parts, io::ByteSpan bytes);

/// To be called when a driver refuses to load what came from there: the entry is deleted, so that
/// the next call compiles.
void reject_compiled(const KeyParts& parts);

/// Where the environment puts the cache: FLASH_CACHE_DIR, else $XDG_CACHE_HOME/flash, else
/// ~/.cache/flash. Reads it at each call.
struct CachePlace {
  std::string folder;       ///< empty: nowhere …
  std::string off_because;  ///< … for this reason
  bool asked_for = false;   ///< it is off because the user wants it off
};
CachePlace cache_place();

/// The cache of this process, there from the first call on; null when it is off.
DiskCache* disk_cache();

}  // namespace flash::jit
