// kernels/gpu/background.cpp -- the threads, and their queue
#include "kernels/gpu/background.h"

#include <cstddef>
#include <new>
#include <system_error>
#include <utility>

namespace flash::gpu {

Background::~Background() {
  if (!process_.here()) {  // the threads are the parent's: there is nobody to join
    new std::vector<std::thread>(std::move(threads_));
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    jobs_.clear();
  }
  changed_.notify_all();
  for (std::thread& t : threads_) t.join();
}

void Background::add(std::function<void()> job) {
  if (process_.here()) {
    const std::lock_guard lock(mutex_);
    const std::size_t busy = static_cast<std::size_t>(running_) + jobs_.size();
    try {
      if (busy >= threads_.size() && threads_.size() < static_cast<std::size_t>(most_))
        threads_.emplace_back([this] { work(); });
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
