// kernels/vulkan/commands.cpp -- recording, submission, waiting
#include "kernels/vulkan/commands.h"

namespace flash::vulkan {
namespace {

constexpr VkPipelineStageFlags kStages =
    VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;

void barrier(const Api& vk, VkCommandBuffer buffer, VkPipelineStageFlags then,
             VkAccessFlags access) {
  VkMemoryBarrier b{};
  b.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER;
  b.srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT;
  b.dstAccessMask = access;
  vk.CmdPipelineBarrier(buffer, kStages, then, 0, 1, &b, 0, nullptr, 0, nullptr);
}

}  // namespace

void wait_for_all_before(const Gpu& gpu, VkCommandBuffer buffer) {
  barrier(gpu.vk(), buffer, kStages,
          VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_READ_BIT |
              VK_ACCESS_TRANSFER_WRITE_BIT);
}

Commands::Commands(std::shared_ptr<Gpu> gpu) : gpu_(std::move(gpu)) {
  VkCommandPoolCreateInfo pool{};
  pool.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO;
  pool.flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT;
  pool.queueFamilyIndex = gpu_->queue_family;
  const Api& vk = gpu_->vk();
  gpu_->check(vk.CreateCommandPool(gpu_->device, &pool, nullptr, &pool_), "making a command pool");
  VkCommandBufferAllocateInfo buffers{};
  buffers.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO;
  buffers.commandPool = pool_;
  buffers.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
  buffers.commandBufferCount = kBuffers;
  gpu_->check(vk.AllocateCommandBuffers(gpu_->device, &buffers, buffers_.data()),
              "making command buffers");
  VkSemaphoreTypeCreateInfo type{};
  type.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO;
  type.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE;
  VkSemaphoreCreateInfo semaphore{};
  semaphore.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO;
  semaphore.pNext = &type;
  gpu_->check(vk.CreateSemaphore(gpu_->device, &semaphore, nullptr, &timeline_),
              "making a semaphore");
}

Commands::~Commands() {
  const Api& vk = gpu_->vk();
  vk.DeviceWaitIdle(gpu_->device);
  vk.DestroySemaphore(gpu_->device, timeline_, nullptr);
  vk.DestroyCommandPool(gpu_->device, pool_, nullptr);
}

VkCommandBuffer Commands::open() {
  const VkCommandBuffer buffer = buffers_[open_batch() % kBuffers];
  if (!recording_) {
    if (open_batch() > kBuffers) wait(open_batch() - kBuffers);
    VkCommandBufferBeginInfo begin{};
    begin.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO;
    begin.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT;
    gpu_->check(gpu_->vk().BeginCommandBuffer(buffer, &begin), "beginning a command buffer");
    recording_ = true;
    recorded_ = 0;
  }
  return buffer;
}

VkCommandBuffer Commands::next() {
  const VkCommandBuffer buffer = open();
  wait_for_all_before(*gpu_, buffer);
  ++recorded_;
  return buffer;
}

VkCommandBuffer Commands::beside() {
  ++recorded_;
  return open();
}

void Commands::execute(VkCommandBuffer recorded, int commands) {
  gpu_->vk().CmdExecuteCommands(next(), 1, &recorded);
  recorded_ += commands - 1;
}

void Commands::show_to_host() {
  barrier(gpu_->vk(), open(), VK_PIPELINE_STAGE_HOST_BIT, VK_ACCESS_HOST_READ_BIT);
}

std::uint64_t Commands::submit() {
  if (!recording_) return submitted_;
  const VkCommandBuffer buffer = open();
  gpu_->check(gpu_->vk().EndCommandBuffer(buffer), "ending a command buffer");
  const std::uint64_t batch = open_batch();
  VkTimelineSemaphoreSubmitInfo values{};
  values.sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO;
  values.signalSemaphoreValueCount = 1;
  values.pSignalSemaphoreValues = &batch;
  VkSubmitInfo info{};
  info.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO;
  info.pNext = &values;
  info.commandBufferCount = 1;
  info.pCommandBuffers = &buffer;
  info.signalSemaphoreCount = 1;
  info.pSignalSemaphores = &timeline_;
  recording_ = false;
  gpu_->check(gpu_->vk().QueueSubmit(gpu_->queue, 1, &info, VK_NULL_HANDLE), "a submission");
  return ++submitted_;
}

void Commands::submit_if_due() {
  if (recorded_ >= kLarge || (recorded_ >= kWorthSubmitting && done() == submitted_)) submit();
}

void Commands::wait(std::uint64_t batch) const {
  if (batch == 0) return;
  VkSemaphoreWaitInfo info{};
  info.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO;
  info.semaphoreCount = 1;
  info.pSemaphores = &timeline_;
  info.pValues = &batch;
  gpu_->check(gpu_->vk().WaitSemaphores(gpu_->device, &info, UINT64_MAX), "waiting for the device");
}

std::uint64_t Commands::done() const {
  std::uint64_t value = 0;
  gpu_->check(gpu_->vk().GetSemaphoreCounterValue(gpu_->device, timeline_, &value),
              "asking how far the device is");
  return value;
}

}  // namespace flash::vulkan
