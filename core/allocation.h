// core/allocation.h -- how device memory is rounded, kept and limited, and the numbers about it
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "export.h"

namespace flash {

/// How blocks are rounded, which freed ones are kept, and how much there may be. Derive from it to
/// try another strategy (set_allocation_policy). Called under the allocator's lock, from any
/// thread: it must not call Flash.
class FLASH_API AllocationPolicy {
 public:
  virtual ~AllocationPolicy() = default;
  /// Size of the block that serves a request; at least `bytes`. Called at every request.
  /// Default: size_class_bytes, which wastes an eighth at most, a thirty-second of large blocks.
  virtual std::size_t round(std::size_t bytes) const;
  /// Whether a freed block of `bytes` goes into the cache. Default: when it fits under the cap.
  virtual bool keep(std::size_t bytes) const { return bytes <= cap(); }
  /// Bytes the cache may hold; beyond it the longest unused blocks are given back.
  /// Default: FLASH_CACHE_BYTES, read when the policy is made.
  virtual std::size_t cap() const { return cap_; }
  /// Bytes that may be reserved, live and cached together. Default: FLASH_MEMORY_LIMIT, read when
  /// the policy is made.
  virtual std::size_t limit() const { return limit_; }
  /// Whether a block of `capacity` may be had beside `live` bytes that are in use; where it may
  /// not, allocate() throws OutOfMemory. Called at every request. Default: when it stays in the
  /// limit.
  virtual bool admits(std::size_t capacity, std::size_t live) {
    return live <= limit() && capacity <= limit() - live;
  }

  AllocationPolicy();
  explicit AllocationPolicy(std::size_t cap, std::size_t limit = SIZE_MAX)
      : cap_(cap), limit_(limit) {}

 private:
  std::size_t cap_, limit_;
};

/// Least size class that holds `bytes`: multiples of 64 bytes up to 4 KiB, then eight classes for
/// each power of two up to 16 MiB, then 32. 0 gives 64. Sizes above 2^62 are returned as they are.
FLASH_API std::size_t size_class_bytes(std::size_t bytes);

/// What an allocator did and holds. Sizes are capacities in bytes.
struct MemoryStats {
  std::size_t live = 0;           ///< in use
  std::size_t cached = 0;         ///< freed and kept for reuse
  std::size_t peak = 0;           ///< most that was live since the start or reset_peak()
  std::size_t peak_reserved = 0;  ///< most that was live and cached together
  std::uint64_t live_blocks = 0;
  std::uint64_t allocations = 0;  ///< requests served
  std::uint64_t cache_hits = 0;   ///< of these, from the cache
  struct Label {
    std::string label;  ///< "(unlabelled)" where none was given
    std::size_t bytes = 0;
    std::uint64_t blocks = 0;
  };
  std::vector<Label> by_label;  ///< what is live, largest first
};

/// "1.5 GiB", "64 B": sizes in messages.
FLASH_API std::string format_bytes(std::size_t bytes);

}  // namespace flash
