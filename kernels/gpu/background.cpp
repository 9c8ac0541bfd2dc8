// kernels/gpu/background.cpp -- the threads, and their queue
#include "kernels/gpu/background.h"

#include <cstdlib>
#include <system_error>
#include <utility>

namespace flash::gpu {

/// Those that have threads, for when the process exits.
struct Background::List {
  std::mutex mutex;
  std::vector<std::shared_ptr<State>> all;  // guarded by it
};
Background::List& Background::list() {
  static List& there = hold_at_fork(ForkOrder::kLast, *new List, &List::mutex);
  return there;
}

void Background::stop_all() {
  std::vector<std::shared_ptr<State>> all;
  {
    const std::lock_guard lock(list().mutex);
    all.swap(list().all);
  }
  for (auto& state : all) {
    if (state->process.here())
      stop(*state);
    else
      abandon(std::move(state));
  }
}

void Background::abandon(std::shared_ptr<State> state) {
  static_cast<void>(new std::shared_ptr<State>(std::move(state)));
}

Background::~Background() {
  if (!state_->process.here()) {
    abandon(std::move(state_));
    return;
  }
  stop(*state_);
  const std::lock_guard lock(list().mutex);
  std::erase(list().all, state_);
}

void Background::stop() {
  if (state_->process.here()) stop(*state_);
}

void Background::stop(State& s) {
  std::vector<std::thread> threads;
  std::deque<std::function<void()>> dropped;  // what they hold goes without the lock
  {
    std::unique_lock lock(s.mutex);
    s.stopped = true;
    threads.swap(s.threads);
    dropped.swap(s.jobs);
    s.changed.notify_all();
    // Whoever else stops it has the threads, perhaps.
    s.changed.wait(lock, [&] { return s.running == 0; });
  }
  for (std::thread& t : threads) t.join();
}

std::size_t Background::pending() const {
  if (!state_->process.here()) return 0;
  const std::lock_guard lock(state_->mutex);
  return state_->running + state_->jobs.size();
}

void Background::add(std::function<void()> job) {
  if (state_->process.here()) {
    State& s = *state_;
    const std::lock_guard lock(s.mutex);
    try {
      if (!s.stopped && s.running + s.jobs.size() >= s.threads.size() &&
          s.threads.size() < static_cast<std::size_t>(most_)) {
        if (!s.in_list) {
          const std::lock_guard lock_list(list().mutex);
          list().all.push_back(state_);
          s.in_list = true;
          // At exit, what was registered last comes first: these threads stop before what a
          // compiler registered when it was loaded …
          static std::once_flag registered;
          std::call_once(registered, [] { std::atexit(stop_all); });
        }
        s.threads.emplace_back([state = state_] { work(*state); });
      }
    } catch (const std::system_error&) {
      // Fewer threads are slower, that is all.
    }
    if (!s.threads.empty()) {
      s.jobs.push_back(std::move(job));
      s.changed.notify_all();
      return;
    }
  }
  job();
}

void Background::work(State& s) {
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
    // … and, from here on, before what it registers when it is used first.
    std::call_once(s.first_job, [] { std::atexit(stop_all); });
    lock.lock();
    --s.running;
    s.changed.notify_all();
  }
}

}  // namespace flash::gpu
