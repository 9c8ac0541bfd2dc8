// kernels/gpu/timer.h -- how long a device worked on what was enqueued, by its own clock
#pragma once

#include "kernels/gpu/event.h"

namespace flash::gpu {

/// start() and stop() mark places in the queue; the context must be current.
class Timer {
 public:
  explicit Timer(Context& context)
      : started_(context, kEventWithTiming), stopped_(context, kEventWithTiming) {}
  void start() { started_.record(); }
  void stop() { stopped_.record(); }
  /// Between the two; waits until the device has come there.
  double microseconds() {
    stopped_.wait("waiting for what is timed");
    return stopped_.since(started_);
  }

 private:
  Event started_, stopped_;
};

}  // namespace flash::gpu
