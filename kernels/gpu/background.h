// kernels/gpu/background.h -- compilations that nobody waits for
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
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
  /// What threads share: on the heap, for a child of a fork, where their parent's wait for it
  /// forever, to leave it there.
  struct State {
    std::mutex mutex;  // guards what follows
    std::condition_variable changed;
    std::deque<std::function<void()>> jobs;
    int running = 0;
    bool stopped = false, listed = false;
    std::vector<std::thread> threads;
  };
  void work();

  const int most_;
  const ThisProcess process_;
  std::unique_ptr<State> state_ = std::make_unique<State>();
};

}  // namespace flash::gpu
