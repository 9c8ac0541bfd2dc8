// kernels/gpu/background.h -- compilations that nobody waits for
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "core/fork.h"

namespace flash::gpu {

/// Jobs that begin in the order they came in, on threads of their own. Thread-safe.
///
/// A process that exits stops them first, even those of runtimes that live as long as it: what a
/// compiler keeps is torn down then, and no thread may be in it.
class Background {
 public:
  /// Threads begin when there is something to do: `threads` of them, at the most.
  explicit Background(int threads) : most_(threads) {}
  ~Background();
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  /// A job lets no exception out. Where there can be no thread for it (in a child of a fork, whose
  /// these are not; after stop()) it is done here and now.
  void add(std::function<void()> job);
  /// Waits for jobs that have begun; the others are dropped.
  void stop();

 private:
  void work();

  const int most_;
  const ThisProcess process_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;
  int running_ = 0;
  bool stopped_ = false, listed_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace flash::gpu
