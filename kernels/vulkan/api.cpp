// kernels/vulkan/api.cpp -- opening the Vulkan loader
#include "kernels/vulkan/api.h"

#include <dlfcn.h>

namespace flash::vulkan {

std::string Api::open() {
  void* library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);  // stays open
  if (library == nullptr) return "the Vulkan loader (libvulkan.so.1) is not installed";
  GetInstanceProcAddr =
      reinterpret_cast<PFN_vkGetInstanceProcAddr>(dlsym(library, "vkGetInstanceProcAddr"));
  if (GetInstanceProcAddr == nullptr) return "libvulkan.so.1 has no vkGetInstanceProcAddr";
#define FLASH_VK_LOAD(name) \
  name = reinterpret_cast<PFN_vk##name>(GetInstanceProcAddr(nullptr, "vk" #name));
  FLASH_VK_GLOBAL(FLASH_VK_LOAD)
#undef FLASH_VK_LOAD
  return EnumerateInstanceVersion == nullptr ? "libvulkan.so.1 is one of Vulkan 1.0" : "";
}

void Api::load_instance(VkInstance instance) {
#define FLASH_VK_LOAD(name) \
  name = reinterpret_cast<PFN_vk##name>(GetInstanceProcAddr(instance, "vk" #name));
  FLASH_VK_INSTANCE(FLASH_VK_LOAD)
  FLASH_VK_LOAD(CreateDebugUtilsMessengerEXT)
#undef FLASH_VK_LOAD
}

void Api::load_device(VkDevice device) {
#define FLASH_VK_LOAD(name) \
  name = reinterpret_cast<PFN_vk##name>(GetDeviceProcAddr(device, "vk" #name));
  FLASH_VK_DEVICE(FLASH_VK_LOAD)
#undef FLASH_VK_LOAD
}

}  // namespace flash::vulkan
