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

#include "allocation.h"
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

}  // namespace flash
