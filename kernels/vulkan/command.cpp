// kernels/vulkan/command.cpp -- commands into batches, or into a buffer that batches execute
#include "kernels/vulkan/command.h"

#include "kernels/vulkan/commands.h"

namespace flash::vulkan {

void append(const Gpu& gpu, VkCommandBuffer buffer, const Command& c, VkDeviceAddress args) {
  if (c.program != nullptr) {
    dispatch(gpu, buffer, c.program->pipeline(c.x, c.y), args + c.args, c.tiles, c.blocks);
    return;
  }
  const VkBufferCopy region{c.from.offset, c.to.offset, c.bytes};
  gpu.vk().CmdCopyBuffer(buffer, c.from.buffer, c.to.buffer, 1, &region);
}

Recorded::Recorded(std::shared_ptr<Gpu> gpu, VkCommandPool pool, std::span<const Command> commands,
                   VkDeviceAddress args)
    : gpu_(std::move(gpu)), pool_(pool), commands_(static_cast<int>(commands.size())) {
  VkCommandBufferAllocateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO;
  info.commandPool = pool_;
  info.level = VK_COMMAND_BUFFER_LEVEL_SECONDARY;
  info.commandBufferCount = 1;
  const Api& vk = gpu_->vk();
  gpu_->check(vk.AllocateCommandBuffers(gpu_->device, &info, &buffer_),
              "making a command buffer to replay");
  try {
    VkCommandBufferInheritanceInfo inherited{};
    inherited.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_INHERITANCE_INFO;
    VkCommandBufferBeginInfo begin{};
    begin.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO;
    begin.flags = VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT;
    begin.pInheritanceInfo = &inherited;
    gpu_->check(vk.BeginCommandBuffer(buffer_, &begin), "recording commands to replay");
    bool first = true;  // waits where it is executed
    for (const Command& c : commands) {
      if (!first && !c.beside) wait_for_all_before(*gpu_, buffer_);
      append(*gpu_, buffer_, c, args);
      first = false;
    }
    gpu_->check(vk.EndCommandBuffer(buffer_), "recording commands to replay");
  } catch (...) {
    vk.FreeCommandBuffers(gpu_->device, pool_, 1, &buffer_);
    throw;
  }
}

Recorded::~Recorded() {
  if (!gpu_->process.here()) return;  // the driver is the parent's
  gpu_->vk().FreeCommandBuffers(gpu_->device, pool_, 1, &buffer_);
}

}  // namespace flash::vulkan
