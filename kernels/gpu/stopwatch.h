// kernels/gpu/stopwatch.h -- launches as the device times them
#pragma once

#include <utility>

#include "core/device.h"

namespace flash::gpu {

/// Starts in front of the first command that its thread enqueues, behind the words that are sent
/// for it. Timer: start() and stop() mark places in the device's queue, microseconds() waits.
template <class Timer>
class QueueStopwatch final : public Stopwatch {
 public:
  /// `next` points here until that command comes.
  QueueStopwatch(Timer timer, QueueStopwatch*& next) : timer_(std::move(timer)), next_(&next) {
    next = this;
  }
  ~QueueStopwatch() override { waits_no_more(); }
  QueueStopwatch(const QueueStopwatch&) = delete;
  QueueStopwatch& operator=(const QueueStopwatch&) = delete;

  void start() {
    waits_no_more();
    timer_.start();
  }
  void stop() override {
    if (next_) start();  // there was none
    timer_.stop();
  }
  double microseconds() override { return timer_.microseconds(); }

 private:
  void waits_no_more() {
    if (next_ && *next_ == this) *next_ = nullptr;
    next_ = nullptr;
  }
  Timer timer_;
  QueueStopwatch** next_;
};

}  // namespace flash::gpu
