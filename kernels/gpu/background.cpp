// kernels/gpu/background.cpp -- the threads, and their queue
#include "kernels/gpu/background.h"

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <system_error>
#include <utility>

namespace flash::gpu {
namespace {

/// Those that have threads, for when the process exits.
struct List {
  std::mutex mutex;
  std::vector<Background*> all;  // guarded by it
  std::once_flag registered, used;

  static void stop_all();
};
List& list() {
  static List& there = hold_at_fork(ForkOrder::kLast, *new List, &List::mutex);
  return there;
}

void List::stop_all() {
  std::vector<Background*> all;
  {
    const std::lock_guard lock(list().mutex);
    all = list().all;
  }
  for (Background* b : all) b->stop();
}

}  // namespace

Background::~Background() {
  if (!process_.here()) {
    static_cast<void>(state_.release());  // there is nobody to join
    return;
  }
  stop();
  const std::lock_guard lock(list().mutex);
  std::erase(list().all, this);
}

void Background::stop() {
  if (!process_.here()) return;
  std::vector<std::thread> threads;
  std::deque<std::function<void()>> dropped;  // what they hold goes without the lock
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopped = true;
    threads.swap(state_->threads);
    dropped.swap(state_->jobs);
  }
  state_->changed.notify_all();
  for (std::thread& t : threads) t.join();
}

void Background::add(std::function<void()> job) {
  if (process_.here()) {
    State& s = *state_;
    const std::lock_guard lock(s.mutex);
    const std::size_t busy = static_cast<std::size_t>(s.running) + s.jobs.size();
    try {
      if (!s.stopped && busy >= s.threads.size() &&
          s.threads.size() < static_cast<std::size_t>(most_)) {
        if (!std::exchange(s.listed, true)) {
          const std::lock_guard lock_list(list().mutex);
          list().all.push_back(this);
          // At exit what was registered last comes first: before what a compiler has registered.
          std::call_once(list().registered, [] { std::atexit(List::stop_all); });
        }
        s.threads.emplace_back([this] { work(); });
      }
    } catch (const std::system_error&) {
      // Fewer threads are slower, that is all.
    }
    if (!s.threads.empty()) {
      s.jobs.push_back(std::move(job));
      s.changed.notify_one();
      return;
    }
  }
  job();
}

void Background::work() {
  State& s = *state_;
  std::unique_lock lock(s.mutex);
  for (;;) {
    s.changed.wait(lock, [&] { return s.stopped || !s.jobs.empty(); });
    if (s.stopped) return;
    std::function<void()> job = std::move(s.jobs.front());
    s.jobs.pop_front();
    ++s.running;
    lock.unlock();
    job();
    job = nullptr;  // what it holds may take a while to go
    // Again, for what a compiler registers when it is used first.
    std::call_once(list().used, [] { std::atexit(List::stop_all); });
    lock.lock();
    --s.running;
  }
}

}  // namespace flash::gpu
