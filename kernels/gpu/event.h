// kernels/gpu/event.h -- marks places in a device's queue, for the host and other queues to wait at
#pragma once

#include "kernels/gpu/context.h"

namespace flash::gpu {

class Event {
 public:
  explicit Event(Context& context, unsigned flags = kEventWithoutTiming);
  ~Event();
  Event(Event&& other) noexcept : context_(other.context_), handle_(other.handle_) {
    other.handle_ = nullptr;
  }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record();
  void wait(const char* what);  ///< until what was enqueued before record() is done
  /// Microseconds from an earlier one to this; both with kEventWithTiming, and done.
  double since(const Event& earlier);
  /// What `other` is given from now on waits for that. Its context must be current.
  void hold_back(Context& other);

 private:
  Context& context_;
  Handle handle_ = nullptr;
};

}  // namespace flash::gpu
