// tests/gpu/fake_driver/model.h -- what a fake GPU is made of: memory that only its queues may
// touch, and queues that are late
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

namespace flash::test::fake {

inline constexpr int kDevices = 8;  ///< at most

/// Memory of a device between pages that nobody may touch. Where the processor has protection keys
/// only that device's queues may touch it: a host that follows a device's address crashes, as it
/// would with a real one, and a kernel that follows another device's has an error.
void* allocate(std::size_t bytes, int device);
/// False if `at` is no block. Says how large it was, and whether bytes around it were written.
bool release(void* at, bool* spoiled, std::size_t* bytes);
bool is_device_memory(const void* at, std::size_t bytes, int device);
/// The same for the device whose queue asks.
bool is_memory_here(const void* at, std::size_t bytes);

/// How far a queue is. Outlives it: all that was submitted is done when it ends.
class Progress {
 public:
  void wait(std::uint64_t number);  ///< until that and all before it are done

 private:
  friend class Queue;
  std::mutex mutex_;  // guards what follows, and the queue's
  std::condition_variable changed_;
  std::uint64_t submitted_ = 0, done_ = 0, wanted_ = 0;
};

/// Work in order, on a thread of its own that begins only when somebody waits or much is waiting:
/// so whoever forgets to wait, or reuses memory too early, is found out every time.
class Queue {
 public:
  explicit Queue(int device);
  ~Queue();
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;
  /// Gives its number. `peer`: a second device whose memory it may touch.
  std::uint64_t submit(std::function<void()> work, int peer = -1);
  std::uint64_t submitted();
  void wait(std::uint64_t number) { progress_->wait(number); }
  const std::shared_ptr<Progress>& progress() const { return progress_; }

 private:
  struct Work {
    std::function<void()> run;
    int peer;
  };
  void run();
  const int device_;
  const std::shared_ptr<Progress> progress_ = std::make_shared<Progress>();
  std::deque<Work> work_;
  bool ends_ = false;
  std::thread thread_;
};

}  // namespace flash::test::fake
