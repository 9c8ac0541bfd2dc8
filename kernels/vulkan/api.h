// kernels/vulkan/api.h -- Vulkan's functions, found in libvulkan.so.1 at run time
#pragma once

#define VK_NO_PROTOTYPES 1
#include <vulkan/vulkan_core.h>

#include <string>

namespace flash::vulkan {

// clang-format off
#define FLASH_VK_GLOBAL(X) X(CreateInstance) X(EnumerateInstanceLayerProperties) \
  X(EnumerateInstanceVersion)
#define FLASH_VK_INSTANCE(X) X(DestroyInstance) X(EnumeratePhysicalDevices) \
  X(GetPhysicalDeviceProperties2) X(GetPhysicalDeviceFeatures2) \
  X(GetPhysicalDeviceQueueFamilyProperties) X(GetPhysicalDeviceMemoryProperties) X(CreateDevice) \
  X(GetDeviceProcAddr)
#define FLASH_VK_DEVICE(X) X(GetDeviceQueue) X(DestroyDevice) X(CreateBuffer) X(DestroyBuffer) \
  X(GetBufferMemoryRequirements) X(AllocateMemory) X(FreeMemory) X(BindBufferMemory) X(MapMemory) \
  X(GetBufferDeviceAddress) X(CreateShaderModule) X(DestroyShaderModule) \
  X(CreatePipelineLayout) X(DestroyPipelineLayout) X(CreateComputePipelines) X(DestroyPipeline) \
  X(CreateCommandPool) X(DestroyCommandPool) X(AllocateCommandBuffers) X(FreeCommandBuffers) \
  X(BeginCommandBuffer) X(EndCommandBuffer) X(CmdBindPipeline) X(CmdPushConstants) X(CmdDispatch) \
  X(CmdPipelineBarrier) X(CmdCopyBuffer) X(CmdFillBuffer) X(CmdExecuteCommands) X(QueueSubmit) \
  X(CreateSemaphore) X(DestroySemaphore) X(WaitSemaphores) X(GetSemaphoreCounterValue) \
  X(DeviceWaitIdle) X(CreateQueryPool) X(DestroyQueryPool) X(GetQueryPoolResults) \
  X(CmdResetQueryPool) X(CmdWriteTimestamp)
// clang-format on

/// Named as in the specification, without the "vk".
struct Api {
#define FLASH_VK_MEMBER(name) PFN_vk##name name = nullptr;
  FLASH_VK_GLOBAL(FLASH_VK_MEMBER)
  FLASH_VK_INSTANCE(FLASH_VK_MEMBER)
  FLASH_VK_DEVICE(FLASH_VK_MEMBER)
#undef FLASH_VK_MEMBER
  PFN_vkGetInstanceProcAddr GetInstanceProcAddr = nullptr;
  PFN_vkCreateDebugUtilsMessengerEXT CreateDebugUtilsMessengerEXT = nullptr;

  /// Opens the loader. Returns why it cannot; empty if it can.
  std::string open();
  void load_instance(VkInstance instance);
  void load_device(VkDevice device);
};

}  // namespace flash::vulkan
