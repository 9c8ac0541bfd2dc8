// tests/emulation/checks.cpp -- finds races and accesses out of bounds in emulated kernels
#include "emulation/checks.h"

#include <algorithm>
#include <cstdio>

namespace flash::test::emulation {

Checks::Checks(std::size_t threads, const char* shared_begin, const char* shared_end,
               bool (*valid)(const void*, std::size_t))
    : shared_begin_(shared_begin), shared_end_(shared_end), valid_(valid), fenced_(threads) {}

void Checks::begin_block(unsigned block) {
  block_ = block;
  epoch_ = 0;
  std::fill(fenced_.begin(), fenced_.end(), 0);
  acquired_.clear();
  shared_made_.clear();  // each block has its own
}

void Checks::atomic(std::size_t thread, const void* at) {
  ++time_;
  for (const auto& [block, release] : released_[at])
    if (block != block_) acquired_[block] = &release;
  Release& mine = released_[at][block_];
  mine = {thread, epoch_, fenced_[thread] > epoch_began_, fenced_};
}

bool Checks::ordered(const Made& before, std::size_t thread, bool is_volatile) const {
  if (before.block == block_) return before.thread == thread || before.epoch < epoch_;
  const auto it = acquired_.find(before.block);
  if (it == acquired_.end() || !is_volatile) return false;
  const Release& r = *it->second;
  const bool same = before.thread == r.thread;
  const bool known = r.fences[before.thread] > before.time || (r.fenced && !same);
  return known && (same ? r.fences[before.thread] > before.time : before.epoch < r.epoch);
}

void Checks::access(std::size_t thread, const char* at, unsigned bytes, unsigned kind) {
  ++time_;
  const bool shared = at >= shared_begin_ && at + bytes <= shared_end_;
  if (!shared && valid_ && !valid_(at, bytes)) return found("out of bounds", thread, at);
  const auto first = reinterpret_cast<std::uintptr_t>(at);
  for (std::uintptr_t b = first; b < first + bytes;) {
    const std::uintptr_t word = b / 4, end = std::min(first + bytes, (word + 1) * 4);
    const auto mask = static_cast<std::uint8_t>(((1u << (end - b)) - 1) << b % 4);
    note((shared ? shared_made_ : made_)[word], mask, thread, kind, at);
    b = end;
  }
}

void Checks::note(std::array<Made, 4>& made, std::uint8_t bytes, std::size_t thread, unsigned kind,
                  const char* at) {
  const bool write = kind == kWrite || kind == kVolatileWrite;
  const bool is_volatile = kind == kVolatileRead || kind == kVolatileWrite;
  Made* place = nullptr;
  for (Made& m : made) {
    if (m.bytes == 0) {
      if (!place) place = &m;
      continue;
    }
    if ((m.bytes & bytes) && (m.write || write) && !ordered(m, thread, is_volatile))
      found(m.write ? (write ? "a race of two writes" : "a race of a read with a write before it")
                    : "a race of a write with a read before it",
            thread, at);
    // What this thread did before to the same bytes says no more than what it does now.
    if (m.block == block_ && m.thread == thread && m.bytes == bytes && (write || !m.write))
      place = &m;
  }
  if (!place)
    place = &*std::min_element(made.begin(), made.end(), [](const Made& a, const Made& b) {
      return a.write != b.write ? b.write : a.time < b.time;  // writes last
    });
  *place = {bytes, write, block_, epoch_, thread, time_};
}

void Checks::found(const std::string& what, std::size_t thread, const char* at) {
  if (!problem_.empty()) return;
  char where[120];
  std::snprintf(where, sizeof where, ", by thread %zu of block %u at %p", thread, block_,
                static_cast<const void*>(at));
  problem_ = what + where;
}

}  // namespace flash::test::emulation
