// core/thread_traces.h -- the traces of this thread, and the lock that every use of a trace takes
#pragma once

#include "core/hot_tls.h"
#include "core/trace.h"

namespace flash {

/// This thread's traces, by Device::slot(); null: none yet.
extern constinit thread_local Trace* thread_traces[Device::kSlots] FLASH_HOT_TLS;
Trace& make_thread_trace(Device device);

/// This thread's trace for a device. Traces are never freed, only reused, so that a cell may always
/// lock the trace it is pending in.
inline Trace& this_trace(Device device) {
  Trace* t = thread_traces[device.slot()];
  return t ? *t : make_thread_trace(device);
}

inline bool Trace::is_own() const { return thread_traces[device_.slot()] == this; }

/// Holds a trace's mutex. The user's memory (from_blob) that nothing in the trace needs any more is
/// given back afterwards: who is told so may use Flash.
class TraceLock {
 public:
  explicit TraceLock(Trace& trace) : trace_(trace) {
    trace_.mutex_.lock();
    if (trace_.dead_cells_.load(std::memory_order_relaxed) && trace_.is_own())
      trace_.free_dropped();
  }
  ~TraceLock() {
    if (trace_.dead_buffers_.empty())
      trace_.mutex_.unlock();
    else
      trace_.unlock_and_give_back();
  }
  TraceLock(const TraceLock&) = delete;
  TraceLock& operator=(const TraceLock&) = delete;

 private:
  Trace& trace_;
};

/// Makes sure that the latest version of `cell` is in `cell.buffer`, whichever trace it is pending
/// in. Throws what the evaluation throws, or why an earlier one failed.
void materialize(Cell& cell, FlushReason reason);

/// The same, and the buffer: it stays what it is while other threads write to the tensor.
Ref<Buffer> buffer_of(Cell& cell, FlushReason reason);

/// Flushes this thread's traces, but for those on GPUs that only the parent of this process can
/// use.
void flush_all(FlushReason reason);

}  // namespace flash
