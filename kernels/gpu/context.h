// kernels/gpu/context.h -- one device of a vendor: its context, its one queue, and its errors
//
// Errors of a kernel show in a later call, and then the driver gives the same error to every call
// that follows: the device is lost for this process. The first such error is kept, with the names
// of the kernels that may have caused it, and every later call says so instead of asking the
// driver.
#pragma once

#include <array>
#include <atomic>
#include <mutex>
#include <string>

#include "core/fork.h"
#include "kernels/gpu/driver.h"

namespace flash::gpu {

class Context {
 public:
  /// Throws DeviceError when the driver refuses.
  Context(const Driver& driver, int ordinal);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  const Driver& driver() const { return driver_; }
  const DriverCalls& calls() const { return driver_.calls; }
  /// All work of a device goes into one queue, whatever stream it is given: that orders more than
  /// is asked for, and lets memory that was freed be used by what is enqueued next.
  Handle queue() const { return queue_; }
  /// A stream that never runs anything: graphs are recorded on it, one at a time.
  Handle recorder() const { return recorder_; }

  int device() const { return device_; }  ///< the driver's number of it
  /// By what calls for two devices name it: CUDA's context, HIP's number.
  Handle peer() const {
    return context_ ? context_ : reinterpret_cast<Handle>(static_cast<std::intptr_t>(device_));
  }
  /// True the first time that it is asked for this peer.
  bool first_copy_from(const Context& peer) {
    const unsigned bit = 1u << peer.ordinal_;
    return !(peers_.fetch_or(bit, std::memory_order_relaxed) & bit);
  }

  const std::string& name() const { return name_; }                  ///< "cuda:0"
  const std::string& hardware() const { return hardware_; }          ///< "NVIDIA H200"
  const std::string& architecture() const { return architecture_; }  ///< "sm_90a", "gfx90a"
  std::size_t memory() const { return memory_; }
  int processors() const { return processors_; }
  int max_threads() const { return max_threads_; }    ///< of a block
  int shared_bytes() const { return shared_bytes_; }  ///< memory that a block's threads share

  /// Makes this the calling thread's device. Throws DeviceError if it is lost, or its driver is not
  /// of this process. Every public call of a runtime begins with it.
  void enter();
  /// Throws DeviceError for an error of a call that was doing `what`: "cuda:0: what failed: …".
  void check(int error, const char* what);
  /// Remembers what was enqueued, for the message of an error that shows later.
  void launched(const std::string& kernel);
  /// Nothing of what was enqueued before is to blame for later errors.
  void finished();
  bool lost() const { return lost_.load(std::memory_order_acquire); }
  /// False where the driver cannot be called: the device is lost, or this is a child of a fork.
  bool usable() const { return !lost() && process_.here(); }
  /// Waits for all that is enqueued; throws what went wrong in it.
  void synchronize(const char* what);
  /// Frees memory, once what uses it is done. Errors are logged: there is nobody to tell. In a
  /// child of a fork, where the driver is no more, nothing is done.
  void free(Address at) noexcept;
  void unload(Handle module) noexcept;
  void destroy_graph(Handle executable) noexcept;

 private:
  int make_current() const;
  /// Waits for the queue, then releases something.
  void let_go(Handle handle, int (*release)(Handle), const char* what) noexcept;
  std::string suspects() const;
  /// The message of an error; from here on the device is lost where it is one of those.
  std::string note(int error, const char* what);

  const Driver& driver_;
  const int ordinal_;
  const ThisProcess process_;
  int device_ = 0;
  Handle context_ = nullptr, queue_ = nullptr, recorder_ = nullptr;
  std::string name_, hardware_, architecture_;
  std::size_t memory_ = 0;
  int processors_ = 0, max_threads_ = 0, shared_bytes_ = 0;

  std::atomic<unsigned> peers_{0};  // a bit for each that something was copied from
  bool opened_ = false;
  std::atomic<bool> lost_{false};
  mutable std::mutex mutex_;           // guards what follows
  std::string loss_;                   // the first error that lost the device
  std::array<std::string, 8> recent_;  // kernels, a ring
  std::size_t launches_ = 0;           // since nothing was running
};

}  // namespace flash::gpu
