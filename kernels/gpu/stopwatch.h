// kernels/gpu/stopwatch.h -- launches as the device times them
#pragma once

#include <memory>
#include <utility>

#include "core/device.h"
#include "kernels/gpu/timer.h"

namespace flash::gpu {

/// Starts in front of the first command that its thread enqueues, behind the words that are sent
/// for it. The context must be current.
class QueueStopwatch final : public Stopwatch {
 public:
  /// `next` points here until that command comes.
  QueueStopwatch(std::shared_ptr<Context> context, QueueStopwatch*& next)
      : context_(std::move(context)), timer_(*context_), next_(&next) {
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
  double microseconds() override {
    context_->enter();
    return timer_.microseconds();
  }

 private:
  void waits_no_more() {
    if (next_ && *next_ == this) *next_ = nullptr;
    next_ = nullptr;
  }
  const std::shared_ptr<Context> context_;
  Timer timer_;
  QueueStopwatch** next_;
};

}  // namespace flash::gpu
