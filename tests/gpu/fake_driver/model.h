// tests/gpu/fake_driver/model.h -- what a fake GPU is made of: memory that only its queues may
// touch, and queues that are late
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace flash::test::fake {

/// Memory of the device between pages that nobody may touch. Where the processor has protection
/// keys only the queues' threads may touch it: a host that follows a device's address crashes, as
/// it would with a real one.
void* allocate(std::size_t bytes);
/// False if `at` is no block. Says how large it was, and whether bytes around it were written.
bool release(void* at, bool* spoiled, std::size_t* bytes);
bool is_device_memory(const void* at, std::size_t bytes);

/// Work in order, on a thread of its own that begins only when somebody waits or much is waiting:
/// so whoever forgets to wait, or reuses memory too early, is found out every time.
class Queue {
 public:
  Queue();
  ~Queue();
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;
  std::uint64_t submit(std::function<void()> work);  ///< gives its number
  std::uint64_t submitted();
  void wait(std::uint64_t number);  ///< until that and all before it are done

 private:
  void run();
  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::deque<std::function<void()>> work_;
  std::uint64_t submitted_ = 0, done_ = 0, wanted_ = 0;
  bool ends_ = false;
  std::thread thread_;
};

}  // namespace flash::test::fake
