// kernels/vulkan/gpu.cpp -- opens a device with the features that kernels use
#include "kernels/vulkan/gpu.h"

#include <algorithm>

#include "core/error.h"

namespace flash::vulkan {

Gpu::Gpu(Instance& instance, const Candidate& candidate, int index)
    : physical(candidate.handle),
      queue_family(candidate.queue_family),
      name(candidate.name),
      label("vulkan:" + std::to_string(index)),
      clock_bits(candidate.clock_bits),
      instance_(instance),
      api_(instance.api) {
  VkPhysicalDeviceVulkan12Properties p12{};
  p12.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_PROPERTIES;
  VkPhysicalDeviceVulkan11Properties p11{};
  p11.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_PROPERTIES;
  p11.pNext = &p12;
  VkPhysicalDeviceProperties2 p{};
  p.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2;
  p.pNext = &p11;
  api_.GetPhysicalDeviceProperties2(physical, &p);
  const VkPhysicalDeviceLimits& limits = p.properties.limits;
  software_ = p.properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
  driver = name + ", " + p12.driverName + " " + p12.driverInfo + ", version " +
           std::to_string(p.properties.driverVersion);
  shared_bytes = limits.maxComputeSharedMemorySize;
  most_blocks = std::min(limits.maxComputeWorkGroupCount[0], (1u << 16) - 1);
  block_threads_ = static_cast<int>(
      std::min({limits.maxComputeWorkGroupInvocations, limits.maxComputeWorkGroupSize[0], 256u}));
  largest_buffer_ = p11.maxMemoryAllocationSize;
  clock_ns = static_cast<double>(limits.timestampPeriod);
  emit::GlslTraits traits;
  traits.has_f64 = candidate.f64;
  const auto both = [](VkBool32 f32, VkBool32 f64) {
    return (f32 == VK_TRUE ? 1 : 0) | (f64 == VK_TRUE ? 2 : 0);
  };
  traits.keeps_specials =
      both(p12.shaderSignedZeroInfNanPreserveFloat32, p12.shaderSignedZeroInfNanPreserveFloat64);
  traits.keeps_subnormals = both(p12.shaderDenormPreserveFloat32, p12.shaderDenormPreserveFloat64);
  traits.rounds_to_even = both(p12.shaderRoundingModeRTEFloat32, p12.shaderRoundingModeRTEFloat64);
  if (p12.denormBehaviorIndependence == VK_SHADER_FLOAT_CONTROLS_INDEPENDENCE_NONE &&
      traits.keeps_subnormals != 3)
    traits.keeps_subnormals = 0;
  if (p12.roundingModeIndependence == VK_SHADER_FLOAT_CONTROLS_INDEPENDENCE_NONE &&
      traits.rounds_to_even != 3)
    traits.rounds_to_even = 0;
  const bool can_shuffle = (p11.subgroupSupportedStages & VK_SHADER_STAGE_COMPUTE_BIT) != 0 &&
                           (p11.subgroupSupportedOperations & VK_SUBGROUP_FEATURE_SHUFFLE_BIT) != 0;
  traits.shuffles = can_shuffle && p11.subgroupSize >= 32;
  traits.wide = !is_software();
  set_traits(traits);

  const float priority = 1;
  VkDeviceQueueCreateInfo queues{};
  queues.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO;
  queues.queueFamilyIndex = queue_family;
  queues.queueCount = 1;
  queues.pQueuePriorities = &priority;
  VkPhysicalDeviceVulkan12Features f12{};
  f12.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES;
  f12.bufferDeviceAddress = f12.scalarBlockLayout = f12.timelineSemaphore = VK_TRUE;
  f12.storageBuffer8BitAccess = VK_TRUE;
  VkPhysicalDeviceVulkan11Features f11{};
  f11.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES;
  f11.storageBuffer16BitAccess = VK_TRUE;
  f11.pNext = &f12;
  VkPhysicalDeviceFeatures2 features{};
  features.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
  features.pNext = &f11;
  features.features.shaderInt64 = VK_TRUE;
  features.features.shaderFloat64 = candidate.f64 ? VK_TRUE : VK_FALSE;
  VkDeviceCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO;
  info.pNext = &features;
  info.queueCreateInfoCount = 1;
  info.pQueueCreateInfos = &queues;
  check(api_.CreateDevice(physical, &info, nullptr, &device), "opening the device");
  api_.load_device(device);
  api_.GetDeviceQueue(device, queue_family, 0, &queue);
  api_.GetPhysicalDeviceMemoryProperties(physical, &memory_);

  VkPushConstantRange range{VK_SHADER_STAGE_COMPUTE_BIT, 0, 16};
  VkPipelineLayoutCreateInfo l{};
  l.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO;
  l.pushConstantRangeCount = 1;
  l.pPushConstantRanges = &range;
  check(api_.CreatePipelineLayout(device, &l, nullptr, &layout), "creating a pipeline layout");
}

Gpu::~Gpu() {
  if (layout != VK_NULL_HANDLE) api_.DestroyPipelineLayout(device, layout, nullptr);
  if (device != VK_NULL_HANDLE) api_.DestroyDevice(device, nullptr);
}

std::size_t Gpu::memory() const {
  VkDeviceSize most = 0;
  for (std::uint32_t i = 0; i < memory_.memoryHeapCount; ++i)
    if ((memory_.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) != 0)
      most = std::max(most, memory_.memoryHeaps[i].size);
  return most;
}

void Gpu::set_traits(const emit::GlslTraits& traits) {
  traits_ = traits;
  prelude_.emplace(emit::glsl_prelude(traits));
}

void Gpu::check(VkResult r, const char* what) const {
  if (r >= 0) return;
  const std::string where = label + " (" + name + "): " + what;
  if (r == VK_ERROR_OUT_OF_DEVICE_MEMORY || r == VK_ERROR_OUT_OF_HOST_MEMORY)
    throw OutOfMemory(where + " needs more memory than the " +
                      (r == VK_ERROR_OUT_OF_HOST_MEMORY ? "host" : "device") +
                      " has left; free tensors, or use smaller batches.");
  if (r == VK_ERROR_DEVICE_LOST)
    throw DeviceError(where +
                      " failed because the device was lost: its driver stopped or reset it. What "
                      "it held is gone; restart the program.");
  throw DeviceError(where + " failed with VkResult " + std::to_string(r) + ".");
}

void Gpu::throw_complaints() const {
  const std::string text = instance_.complaints.take();
  if (!text.empty()) throw InternalError(label + ": the validation layer says: " + text);
}

int Gpu::memory_type(std::uint32_t allowed, MemoryWish wish) const {
  int best = -1;
  for (std::uint32_t i = 0; i < memory_.memoryTypeCount; ++i) {
    const VkMemoryPropertyFlags flags = memory_.memoryTypes[i].propertyFlags;
    if ((allowed >> i & 1u) == 0 || (flags & wish.must) != wish.must) continue;
    if ((flags & wish.better) == wish.better) return static_cast<int>(i);
    if (best < 0) best = static_cast<int>(i);
  }
  return best;
}

DeviceBuffer Gpu::make_buffer(std::size_t bytes, MemoryWish wish) const {
  DeviceBuffer b;
  if (bytes > largest_buffer_) return b;
  VkBufferCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO;
  info.size = bytes;
  info.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT |
               VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT;
  if (api_.CreateBuffer(device, &info, nullptr, &b.handle) != VK_SUCCESS) return {};
  VkMemoryRequirements needs;
  api_.GetBufferMemoryRequirements(device, b.handle, &needs);
  VkMemoryAllocateFlagsInfo flags{};
  flags.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO;
  flags.flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT;
  VkMemoryAllocateInfo memory{};
  memory.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO;
  memory.pNext = &flags;
  memory.allocationSize = needs.size;
  const int type = memory_type(needs.memoryTypeBits, wish);
  memory.memoryTypeIndex = static_cast<std::uint32_t>(type);
  if (type < 0 || api_.AllocateMemory(device, &memory, nullptr, &b.memory) != VK_SUCCESS) {
    destroy(b);
    return b;
  }
  b.bytes = bytes;
  check(api_.BindBufferMemory(device, b.handle, b.memory, 0), "binding memory to a buffer");
  if ((wish.must & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT) != 0)
    check(api_.MapMemory(device, b.memory, 0, VK_WHOLE_SIZE, 0, &b.host), "mapping memory");
  VkBufferDeviceAddressInfo address{};
  address.sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO;
  address.buffer = b.handle;
  b.address = api_.GetBufferDeviceAddress(device, &address);
  return b;
}

void Gpu::destroy(DeviceBuffer& b) const {
  if (b.handle != VK_NULL_HANDLE) api_.DestroyBuffer(device, b.handle, nullptr);
  if (b.memory != VK_NULL_HANDLE) api_.FreeMemory(device, b.memory, nullptr);
  b = {};
}

}  // namespace flash::vulkan
