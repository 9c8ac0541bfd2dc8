// kernels/vulkan/timer.h -- how long a device worked on what was enqueued, by its own clock
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>

#include "core/device.h"
#include "kernels/vulkan/gpu.h"

namespace flash::vulkan {

class Engine;

/// Two places in a stream, with the times at which the device came there.
struct Marks {
  explicit Marks(std::shared_ptr<Gpu> gpu);
  ~Marks();
  Marks(const Marks&) = delete;
  Marks& operator=(const Marks&) = delete;
  /// Both have been written.
  double microseconds() const;

  const std::shared_ptr<Gpu> gpu;
  VkQueryPool pool = VK_NULL_HANDLE;                          ///< none where the queue has no clock
  std::uint64_t batch = 0;                                    ///< of the second
  std::array<std::chrono::steady_clock::time_point, 2> host;  ///< instead of a pool
};

/// start() and stop() mark places. A queue without a clock is waited for at both.
class Timer {
 public:
  Timer(std::shared_ptr<Engine> engine, Stream stream);
  ~Timer();
  Timer(Timer&&) = default;
  Timer& operator=(Timer&&) = delete;
  void start();
  void stop();
  /// Between the two; waits until the device has come there.
  double microseconds();

 private:
  std::shared_ptr<Engine> engine_;
  Stream stream_;
  std::unique_ptr<Marks> marks_;
};

}  // namespace flash::vulkan
