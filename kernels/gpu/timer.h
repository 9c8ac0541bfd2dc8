// kernels/gpu/timer.h -- how long a device worked on what was enqueued, by its own clock
#pragma once

#include <memory>
#include <utility>

#include "kernels/gpu/event.h"

namespace flash::gpu {

/// start() and stop() mark places in the queue; the context must be current.
class Timer {
 public:
  explicit Timer(std::shared_ptr<Context> context)
      : context_(std::move(context)),
        started_(*context_, kEventWithTiming),
        stopped_(*context_, kEventWithTiming) {}
  void start() { started_.record(); }
  void stop() { stopped_.record(); }
  /// Between the two; waits until the device has come there.
  double microseconds() {
    context_->enter();
    stopped_.wait("waiting for what is timed");
    return stopped_.since(started_);
  }

 private:
  const std::shared_ptr<Context> context_;
  Event started_, stopped_;
};

}  // namespace flash::gpu
