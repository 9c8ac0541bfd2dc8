// core/allocator.cpp -- free lists by size class, statistics, and what happens without memory
#include "core/allocator.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <map>
#include <string_view>
#include <utility>

#include "core/env.h"
#include "core/error.h"
#include "core/fork.h"
#include "core/log.h"

namespace flash {
namespace {

constexpr std::size_t kFine = 4096;  // below: steps of 64 bytes; above: eighths of a power of two
constexpr std::size_t kLarge = std::size_t{16} << 20;  // above: thirty-seconds

std::string_view label_text(const char* label) { return label ? label : "(unlabelled)"; }

void unlink(Block* block) {
  block->previous->next = block->next;
  block->next->previous = block->previous;
}

void push_front(Block* list, Block* block) {
  block->previous = list;
  block->next = list->next;
  list->next->previous = block;
  list->next = block;
}

}  // namespace

std::size_t size_class_bytes(std::size_t bytes) {
  if (bytes <= kFine) return std::max<std::size_t>((bytes + 63) & ~std::size_t{63}, 64);
  if (bytes > std::size_t{1} << 62) return bytes;
  const std::size_t step = std::bit_floor(bytes - 1) / (bytes <= kLarge ? 8 : 32);
  return (bytes + step - 1) & ~(step - 1);
}

std::size_t AllocationPolicy::round(std::size_t bytes) const { return size_class_bytes(bytes); }

AllocationPolicy::AllocationPolicy()
    : cap_(static_cast<std::size_t>(env::get_int(Env::kCacheBytes))),
      limit_(env::is_set(Env::kMemoryLimit)
                 ? static_cast<std::size_t>(env::get_int(Env::kMemoryLimit))
                 : SIZE_MAX) {}

std::string format_bytes(std::size_t bytes) {
  const char* const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  auto value = static_cast<double>(bytes);
  int unit = 0;
  while (value >= 1023.95 && unit < 6) value /= 1024, ++unit;
  char text[32];
  std::snprintf(
      text, sizeof text,
      unit && value != static_cast<double>(static_cast<int>(value)) ? "%.1f %s" : "%.0f %s", value,
      units[unit]);
  return text;
}

Allocator::Allocator(std::unique_ptr<RawMemory> raw, std::unique_ptr<AllocationPolicy> policy,
                     const char* device)
    : raw_(std::move(raw)),
      device_(device),
      policy_(policy ? std::move(policy) : std::make_unique<AllocationPolicy>()),
      classes_(kNumClasses, nullptr) {
  hold_at_fork(ForkOrder::kLast, mutex_);
}

Allocator::~Allocator() {
  forget_at_fork(&mutex_);
  trim();
}

// Class whose every member is at least as large as the class's name: blocks of odd capacities (a
// policy of another's making) go into the class below, and take_cached compares capacities.
int Allocator::class_of(std::size_t capacity) {
  if (capacity <= kFine) return static_cast<int>(std::max<std::size_t>(capacity / 64, 1)) - 1;
  const int power = static_cast<int>(std::bit_width(capacity)) - 1;  // 12 and up
  const auto eighth = static_cast<int>(capacity >> (power - 3) & 7);
  return std::min(63 + (power - 12) * 8 + eighth, kNumClasses - 1);
}

Block* Allocator::take_cached(std::size_t capacity) {
  int tries = 8;  // by the default policy blocks of a class are equal, or at least near
  for (Block* b = classes_[static_cast<std::size_t>(class_of(capacity))]; b && tries; --tries) {
    if (b->capacity >= capacity) {
      remove_cached(b);
      return b;
    }
    b = b->class_next;
  }
  return nullptr;
}

void Allocator::remove_cached(Block* b) {
  unlink(b);
  if (b->class_next) b->class_next->class_previous = b->class_previous;
  if (b->class_previous) {
    b->class_previous->class_next = b->class_next;
  } else {
    classes_[static_cast<std::size_t>(class_of(b->capacity))] = b->class_next;
  }
  numbers_.cached -= b->capacity;
}

void Allocator::push_live(Block* b) {
  push_front(&live_.end, b);
  ++numbers_.live_blocks;
  ++numbers_.allocations;
  numbers_.live += b->capacity;
  numbers_.peak = std::max(numbers_.peak, numbers_.live);
  numbers_.peak_reserved = std::max(numbers_.peak_reserved, numbers_.live + numbers_.cached);
}

Block* Allocator::allocate(std::size_t bytes, const char* label) {
  std::size_t capacity = 0;
  bool admitted = false;
  std::vector<Block> evicted;
  {
    std::lock_guard lock(mutex_);
    capacity = policy_->round(bytes);
    if (capacity < bytes) throw InternalError("AllocationPolicy::round made a request smaller");
    const std::size_t live = numbers_.live + promised_;
    admitted = policy_->admits(capacity, live);
    if (Block* b = admitted ? take_cached(capacity) : nullptr) {
      b->bytes = bytes;
      b->label = label;
      ++numbers_.cache_hits;
      push_live(b);
      return b;
    }
    if (admitted) promised_ += capacity;
    const std::size_t limit = policy_->limit(), wanted = live + capacity;
    if (admitted && numbers_.cached > limit - std::min(wanted, limit))
      evicted = evict(limit - std::min(wanted, limit));
  }
  give_back(evicted);
  void* data = admitted ? raw_->allocate(capacity) : nullptr;
  if (admitted && !data) {
    const std::size_t freed = trim();
    logging::info("allocator: out of memory on " + device_ + ", " + format_bytes(freed) +
                  " of cache given back");
    data = raw_->allocate(capacity);
  }
  if (!data) {
    if (admitted) {
      std::lock_guard lock(mutex_);
      promised_ -= capacity;
    }
    throw OutOfMemory(out_of_memory_text(bytes, label, admitted));
  }
  std::lock_guard lock(mutex_);
  promised_ -= capacity;
  Block* b;
  if (spare_.empty()) {
    b = &descriptors_.emplace_back();
  } else {
    b = spare_.back();
    spare_.pop_back();
  }
  *b = {data, capacity, bytes, label, nullptr, nullptr, nullptr, nullptr};
  push_live(b);
  return b;
}

void Allocator::free(Block* b) {
  if (!b) return;
  std::vector<Block> evicted;
  {
    std::lock_guard lock(mutex_);
    unlink(b);
    --numbers_.live_blocks;
    numbers_.live -= b->capacity;
    if (policy_->keep(b->capacity)) {
      push_front(&cached_.end, b);
      Block*& head = classes_[static_cast<std::size_t>(class_of(b->capacity))];
      b->class_previous = nullptr;
      b->class_next = head;
      if (head) head->class_previous = b;
      head = b;
      numbers_.cached += b->capacity;
      if (numbers_.cached <= policy_->cap()) [[likely]]
        return;
      evicted = evict(policy_->cap());
    } else {
      evicted.push_back(*b);
      spare_.push_back(b);
    }
  }
  give_back(evicted);
}

// Takes the longest unused blocks out of the cache until it holds at most `cached_limit` bytes.
std::vector<Block> Allocator::evict(std::size_t cached_limit) {
  std::vector<Block> out;
  while (numbers_.cached > cached_limit) {
    Block* oldest = cached_.end.previous;
    remove_cached(oldest);
    out.push_back(*oldest);
    spare_.push_back(oldest);
  }
  return out;
}

void Allocator::give_back(const std::vector<Block>& blocks) {
  for (const Block& b : blocks) raw_->free(b.data, b.capacity);
}

std::size_t Allocator::trim() {
  std::vector<Block> all;
  {
    std::lock_guard lock(mutex_);
    all = evict(0);
  }
  give_back(all);
  std::size_t bytes = 0;
  for (const Block& b : all) bytes += b.capacity;
  return bytes;
}

std::unique_ptr<AllocationPolicy> Allocator::set_policy(std::unique_ptr<AllocationPolicy> policy) {
  if (!policy) policy = std::make_unique<AllocationPolicy>();
  trim();  // sizes of another policy's making
  std::lock_guard lock(mutex_);
  std::swap(policy, policy_);
  return policy;
}

void Allocator::set_label(Block* block, const char* label) {
  std::lock_guard lock(mutex_);
  block->label = label;
}

MemoryStats Allocator::stats() const {
  MemoryStats out;
  std::map<std::string_view, MemoryStats::Label> labels;
  {
    std::lock_guard lock(mutex_);
    out = numbers_;
    for (const Block* b = live_.end.next; b != &live_.end; b = b->next) {
      MemoryStats::Label& sum = labels[label_text(b->label)];
      sum.bytes += b->capacity;
      ++sum.blocks;
    }
    for (auto& [label, sum] : labels) sum.label = label;  // while the labels live for sure
  }
  for (auto& [label, sum] : labels) out.by_label.push_back(std::move(sum));
  std::stable_sort(out.by_label.begin(), out.by_label.end(),
                   [](const auto& a, const auto& b) { return a.bytes > b.bytes; });
  return out;
}

void Allocator::reset_peak() {
  std::lock_guard lock(mutex_);
  numbers_.peak = numbers_.live;
  numbers_.peak_reserved = numbers_.live + numbers_.cached;
}

std::string Allocator::out_of_memory_text(std::size_t bytes, const char* label,
                                          bool admitted) const {
  std::string text = "out of memory on " + device_ + ": " + format_bytes(bytes) + " for " +
                     std::string(label_text(label)) + " could not be had, ";
  std::lock_guard lock(mutex_);
  if (admitted)
    text += "with the cache trimmed";
  else if (policy_->limit() < SIZE_MAX)
    text += "the limit is " + format_bytes(policy_->limit());
  else
    text += "the allocation policy refused";
  text += "; " + format_bytes(numbers_.live) + " are live in " +
          std::to_string(numbers_.live_blocks) + " blocks";
  std::vector<const Block*> largest;
  for (const Block* b = live_.end.next; b != &live_.end; b = b->next) largest.push_back(b);
  const std::size_t shown = std::min<std::size_t>(largest.size(), 5);
  std::partial_sort(largest.begin(), largest.begin() + static_cast<std::ptrdiff_t>(shown),
                    largest.end(),
                    [](const Block* a, const Block* b) { return a->capacity > b->capacity; });
  for (std::size_t i = 0; i < shown; ++i) {
    text += (i ? ", " : ", the largest: ") + format_bytes(largest[i]->bytes) + " " +
            std::string(label_text(largest[i]->label));
  }
  return text + ". Use a smaller batch, or free tensors that are no longer needed.";
}

}  // namespace flash
