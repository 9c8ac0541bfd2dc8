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

  List() { std::atexit(stop_all); }
  static void stop_all();
};
// Made when a first thread is: by then the compilers are there, and what was registered for an exit
// last comes first.
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
    new std::vector<std::thread>(std::move(threads_));  // there is nobody to join
    return;
  }
  stop();
  if (!listed_) return;
  const std::lock_guard lock(list().mutex);
  std::erase(list().all, this);
}

void Background::stop() {
  if (!process_.here()) return;
  std::vector<std::thread> threads;
  std::deque<std::function<void()>> dropped;  // what they hold goes without the lock
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    threads.swap(threads_);
    dropped.swap(jobs_);
  }
  changed_.notify_all();
  for (std::thread& t : threads) t.join();
}

void Background::add(std::function<void()> job) {
  if (process_.here()) {
    const std::lock_guard lock(mutex_);
    const std::size_t busy = static_cast<std::size_t>(running_) + jobs_.size();
    try {
      if (!stopped_ && busy >= threads_.size() &&
          threads_.size() < static_cast<std::size_t>(most_)) {
        if (!std::exchange(listed_, true)) {
          const std::lock_guard lock_list(list().mutex);
          list().all.push_back(this);
        }
        threads_.emplace_back([this] { work(); });
      }
    } catch (const std::system_error&) {
      // Fewer threads are slower, that is all.
    }
    if (!threads_.empty()) {
      jobs_.push_back(std::move(job));
      changed_.notify_one();
      return;
    }
  }
  job();
}

void Background::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stopped_ || !jobs_.empty(); });
    if (stopped_) return;
    std::function<void()> job = std::move(jobs_.front());
    jobs_.pop_front();
    ++running_;
    lock.unlock();
    job();
    job = nullptr;  // what it holds may take a while to go
    lock.lock();
    --running_;
  }
}

}  // namespace flash::gpu
