// core/owner_lock.h -- a mutex for what one thread uses all the time and others hardly ever
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

namespace flash {

/// As std::mutex (use it with std::lock_guard; not recursive, not fair), for locks that every
/// recorded operation takes: one locked instruction, because unlocking is a plain store. So nobody
/// is woken: who finds it taken, a thread that asks for another's values, looks again after a nap.
class OwnerLock {
 public:
  void lock() {
    if (taken_.exchange(true, std::memory_order_acquire)) wait();
  }
  void unlock() { taken_.store(false, std::memory_order_release); }

 private:
  void wait() {
    using namespace std::chrono_literals;
    constexpr int kYields = 100;
    constexpr std::chrono::microseconds kLongestNap = 200us;
    std::chrono::microseconds nap = 1us;
    for (int i = 0;
         taken_.load(std::memory_order_relaxed) || taken_.exchange(true, std::memory_order_acquire);
         ++i) {
      if (i < kYields) {
        std::this_thread::yield();
        continue;
      }
      std::this_thread::sleep_for(nap);
      nap = std::min(nap * 2, kLongestNap);
    }
  }

  std::atomic<bool> taken_{false};
};

}  // namespace flash
