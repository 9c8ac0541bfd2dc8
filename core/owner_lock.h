// core/owner_lock.h -- a mutex whose uncontended path is two instructions in line
#pragma once

#include <atomic>
#include <cstdint>

namespace flash {

/// As std::mutex (use it with std::lock_guard; not recursive, not fair), for locks that every
/// recorded operation takes and hardly anybody else wants: the calls alone would cost as much.
class OwnerLock {
 public:
  void lock() {
    std::uint32_t seen = kFree;
    if (!state_.compare_exchange_strong(seen, kTaken, std::memory_order_acquire,
                                        std::memory_order_relaxed))
      wait();
  }
  void unlock() {
    if (state_.exchange(kFree, std::memory_order_release) == kAwaited) state_.notify_one();
  }

 private:
  enum : std::uint32_t { kFree, kTaken, kAwaited };

  void wait() {
    // Who waited may not be the last to: it takes the lock as one that others await.
    while (state_.exchange(kAwaited, std::memory_order_acquire) != kFree)
      state_.wait(kAwaited, std::memory_order_relaxed);
  }

  std::atomic<std::uint32_t> state_{kFree};
};

}  // namespace flash
