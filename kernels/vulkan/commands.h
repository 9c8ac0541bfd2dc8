// kernels/vulkan/commands.h -- one stream: commands gathered in batches, batches numbered by a
// timeline
//
// A submission costs tens of microseconds, a command far less than one. So commands are recorded
// into an open batch, which is submitted when someone waits for it, or when it is large. Batch n is
// done when the timeline semaphore has reached n.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "kernels/vulkan/gpu.h"

namespace flash::vulkan {

/// What is recorded behind it waits for all before it, and sees what that wrote.
void wait_for_all_before(const Gpu& gpu, VkCommandBuffer buffer);

/// Not thread-safe, but for wait().
class Commands {
 public:
  explicit Commands(std::shared_ptr<Gpu> gpu);
  ~Commands();  ///< waits for what was submitted
  Commands(const Commands&) = delete;
  Commands& operator=(const Commands&) = delete;

  /// The open batch, to record one command that comes after all before it.
  VkCommandBuffer next();
  /// The same for a command that need not wait for the one before.
  VkCommandBuffer beside();
  /// Commands that were recorded before, which come after all before them: so many of them.
  void execute(VkCommandBuffer recorded, int commands);
  /// What the host may read once the batch is done.
  void show_to_host();

  /// Number of the batch that next() records into.
  std::uint64_t open_batch() const { return submitted_ + 1; }
  /// Submits the open batch, if there is anything in it. Returns the last submitted one.
  std::uint64_t submit();
  /// Submits a batch that has become large, or that finds the device idle.
  void submit_if_due();
  /// Waits for a batch that was submitted. Any thread.
  void wait(std::uint64_t batch) const;
  /// The last batch that is done.
  std::uint64_t done() const;

 private:
  static constexpr std::size_t kBuffers = 8;
  static constexpr int kLarge = 64, kWorthSubmitting = 8;
  VkCommandBuffer open();

  const std::shared_ptr<Gpu> gpu_;
  VkCommandPool pool_ = VK_NULL_HANDLE;
  VkSemaphore timeline_ = VK_NULL_HANDLE;
  std::array<VkCommandBuffer, kBuffers> buffers_{};
  bool recording_ = false;
  int recorded_ = 0;  // commands in the open batch
  std::uint64_t submitted_ = 0;
};

}  // namespace flash::vulkan
