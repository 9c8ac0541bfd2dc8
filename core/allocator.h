// core/allocator.h -- a caching allocator for the memory of one device
//
// Freed blocks are kept by size class and handed out again, their pages already touched: a fresh
// 64 MiB buffer costs ten times the arithmetic on it. Every block has a descriptor on the host, so
// the same code serves memory that the host cannot read.
//
//   Allocator allocator(std::make_unique<cpu::HostMemory>());
//   Block* block = allocator.allocate(bytes, "conv1.weight");
//   use(block->data);
//   allocator.free(block);
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "export.h"

namespace flash {

/// Where a device's memory comes from. Called without the allocator's lock, from any thread; it
/// must not call Flash.
class FLASH_API RawMemory {
 public:
  virtual ~RawMemory() = default;
  /// `bytes` of fresh memory aligned to 64 bytes, or nullptr when there is none left.
  virtual void* allocate(std::size_t bytes) = 0;
  /// Gives back what allocate(bytes) returned.
  virtual void free(void* data, std::size_t bytes) = 0;
};

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

/// Descriptor of one block; owned by its allocator.
struct Block {
  void* data;                          ///< aligned to 64 bytes
  std::size_t capacity;                ///< bytes that may be used
  std::size_t bytes;                   ///< bytes that were asked for
  const char* label;                   ///< what it is for, or nullptr; must outlive the block
  Block *previous, *next;              // neighbours among the live blocks, or among the cached
  Block *class_previous, *class_next;  // neighbours in the free list of a size class
};
static_assert(sizeof(Block) == 64, "one cache line a block");

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

/// Thread-safe: every member may be called from any thread. Must outlive its blocks.
class FLASH_API Allocator {
 public:
  explicit Allocator(std::unique_ptr<RawMemory> raw,
                     std::unique_ptr<AllocationPolicy> policy = nullptr,
                     const char* device = "cpu");
  ~Allocator();
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;

  /// A block of at least `bytes` (0 is fine), contents unspecified. `label` shows in statistics
  /// and in the error, and must live as long as the block. About 30 ns from the cache.
  /// Throws OutOfMemory, naming the largest live blocks, when also trimming did not help or the
  /// policy does not admit it.
  Block* allocate(std::size_t bytes, const char* label = nullptr);

  /// Takes a block back. nullptr is ignored.
  void free(Block* block);

  /// Changes what a live block is said to be for.
  void set_label(Block* block, const char* label);

  /// Gives the cache's memory back to the device. Returns the bytes given back.
  std::size_t trim();

  /// Replaces the policy and returns the former one. Blocks that live stay as they are; the cache
  /// is given back.
  std::unique_ptr<AllocationPolicy> set_policy(std::unique_ptr<AllocationPolicy> policy);

  /// Numbers now. `by_label` walks all live blocks.
  MemoryStats stats() const;
  /// Lets `peak` and `peak_reserved` start again from what is held now.
  void reset_peak();

 private:
  static constexpr int kNumClasses = 64 + 8 * 50 + 1;  // the last is for all that is larger

  struct List {  // circular, with the sentinel inside
    Block end{};
    List() { end.previous = end.next = &end; }
  };

  static int class_of(std::size_t capacity);
  Block* take_cached(std::size_t capacity);
  void push_live(Block* block);
  void remove_cached(Block* block);
  std::vector<Block> evict(std::size_t cached_limit);
  void give_back(const std::vector<Block>& blocks);
  std::string out_of_memory_text(std::size_t bytes, const char* label, bool admitted) const;

  const std::unique_ptr<RawMemory> raw_;
  const std::string device_;

  mutable std::mutex mutex_;  // guards all that follows; never held while raw_ is called
  std::unique_ptr<AllocationPolicy> policy_;
  std::size_t promised_ = 0;       // admitted, and not live yet
  std::vector<Block*> classes_;    // heads of the free lists, newest first
  List live_, cached_;             // newest first
  std::deque<Block> descriptors_;  // never shrinks; addresses stay
  std::vector<Block*> spare_;      // descriptors without memory
  MemoryStats numbers_;            // without by_label
};

/// "1.5 GiB", "64 B": sizes in messages.
FLASH_API std::string format_bytes(std::size_t bytes);

}  // namespace flash
