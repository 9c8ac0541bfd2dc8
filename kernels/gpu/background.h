// kernels/gpu/background.h -- compilations that nobody waits for
#pragma once

#include <condition_variable>
#include <cstddef>
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

  /// A job lets no exception out. It is done here and now where no thread can do it: after stop(),
  /// and in a process that was forked off this object's, which has none of the threads.
  void add(std::function<void()> job);
  /// Waits for jobs that have begun; the others are dropped.
  void stop();
  /// Jobs that are not done; none in a child of a fork.
  std::size_t pending() const;

 private:
  /// What threads share, which the list of what an exit stops holds as well.
  struct State {
    const ThisProcess process;
    std::mutex mutex;  // guards what follows
    std::condition_variable changed;
    std::deque<std::function<void()>> jobs;
    std::size_t running = 0;
    bool stopped = false, in_list = false;
    std::vector<std::thread> threads;
    std::once_flag first_job;
  };
  struct List;
  static List& list();
  static void stop(State& state);
  static void stop_all();
  /// Of a parent: its threads wait for it forever, and it stays where it is.
  static void abandon(std::shared_ptr<State> state);
  static void work(State& state);

  const int most_;
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace flash::gpu
