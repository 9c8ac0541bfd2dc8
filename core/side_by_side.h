// core/side_by_side.h -- a few long jobs, compilations most of all, on threads of their own
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <system_error>
#include <thread>
#include <vector>

#include "core/function_ref.h"

namespace flash {

/// Calls job(0) … job(count - 1) on up to `threads` threads, of which the caller's is one. Where
/// one throws no more begin, and the error of the first of them is thrown when those that run are
/// done.
inline void side_by_side(std::size_t count, int threads, FunctionRef<void(std::size_t)> job) {
  std::atomic<std::size_t> next{0};
  std::vector<std::exception_ptr> errors(count);
  const auto work = [&] {
    for (std::size_t i; (i = next.fetch_add(1)) < count;) {
      try {
        job(i);
      } catch (...) {
        errors[i] = std::current_exception();
        next.store(count);
      }
    }
  };
  {
    std::vector<std::jthread> others;
    const std::size_t most = std::min(count, static_cast<std::size_t>(std::max(threads, 1)));
    try {
      while (others.size() + 1 < most) others.emplace_back(work);
    } catch (const std::system_error&) {
      // Fewer threads are slower, that is all.
    }
    work();
  }
  for (const std::exception_ptr& e : errors)
    if (e) std::rethrow_exception(e);
}

}  // namespace flash
