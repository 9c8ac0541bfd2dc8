// kernels/vulkan/command.h -- one dispatch or copy, and many of them recorded for many runs
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "kernels/vulkan/memory.h"
#include "kernels/vulkan/program.h"

namespace flash::vulkan {

/// A dispatch; without a program a copy on the device.
struct Command {
  Program* program = nullptr;
  int x = 1, y = 1;  ///< threads of a block
  std::uint32_t blocks = 0;
  std::int64_t tiles = 0;
  VkDeviceAddress args = 0;  ///< of its ArgBlock, counted from where those of its run lie
  bool beside = false;       ///< it need not wait for the command before
  Place to = {}, from = {};
  std::size_t bytes = 0;  ///< of a copy
  bool operator==(const Command&) const = default;
};

/// Records a command whose run has its ArgBlocks at `args`.
void append(const Gpu& gpu, VkCommandBuffer buffer, const Command& command, VkDeviceAddress args);

/// Commands in order, for Commands::execute(), which may be called again while the device is still
/// running them. Its constructor, its destructor and others of its pool: one at a time. May be
/// destroyed only when the device has run all that executes it.
class Recorded {
 public:
  Recorded(std::shared_ptr<Gpu> gpu, VkCommandPool pool, std::span<const Command> commands,
           VkDeviceAddress args);
  ~Recorded();
  Recorded(const Recorded&) = delete;
  Recorded& operator=(const Recorded&) = delete;

  VkCommandBuffer buffer() const { return buffer_; }
  int commands() const { return commands_; }

 private:
  const std::shared_ptr<Gpu> gpu_;
  const VkCommandPool pool_;
  const int commands_;
  VkCommandBuffer buffer_ = VK_NULL_HANDLE;
};

}  // namespace flash::vulkan
