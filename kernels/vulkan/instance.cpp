// kernels/vulkan/instance.cpp -- finds the devices that have what Flash needs
#include "kernels/vulkan/instance.h"

#include <algorithm>
#include <cstring>

#include "core/env.h"
#include "core/error.h"

namespace flash::vulkan {

void Complaints::add(std::string text) {
  const std::lock_guard lock(mutex_);
  texts_.push_back(std::move(text));
  ++count_;
}

std::string Complaints::take() {
  if (count_.load(std::memory_order_acquire) == 0) return {};
  const std::lock_guard lock(mutex_);
  std::string all;
  for (const std::string& s : texts_) all += (all.empty() ? "" : "\n") + s;
  texts_.clear();
  count_ = 0;
  return all;
}

namespace {

constexpr const char* kLayer = "VK_LAYER_KHRONOS_validation";

VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT,
                                          VkDebugUtilsMessageTypeFlagsEXT,
                                          const VkDebugUtilsMessengerCallbackDataEXT* data,
                                          void* complaints) {
  static_cast<Complaints*>(complaints)->add(data->pMessage);
  return VK_FALSE;
}

bool has_layer(const Api& api) {
  std::uint32_t n = 0;
  api.EnumerateInstanceLayerProperties(&n, nullptr);
  std::vector<VkLayerProperties> all(n);
  api.EnumerateInstanceLayerProperties(&n, all.data());
  return std::any_of(all.begin(), all.end(), [](const VkLayerProperties& p) {
    return std::strcmp(p.layerName, kLayer) == 0;
  });
}

struct Opened {
  std::unique_ptr<Instance> instance;
  std::vector<Candidate> candidates;
  std::string because;
};

// The first feature that a device lacks; empty if it has all of them.
std::string lacks(const Api& api, VkPhysicalDevice device, Candidate& c) {
  VkPhysicalDeviceVulkan12Features f12{};
  f12.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES;
  VkPhysicalDeviceVulkan11Features f11{};
  f11.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES;
  f11.pNext = &f12;
  VkPhysicalDeviceFeatures2 f{};
  f.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
  f.pNext = &f11;
  api.GetPhysicalDeviceFeatures2(device, &f);
  c.f64 = f.features.shaderFloat64 == VK_TRUE;
  const struct {
    VkBool32 there;
    const char* name;
  } needed[] = {
      {f.features.shaderInt64, "shaderInt64"},
      {f12.bufferDeviceAddress, "bufferDeviceAddress"},
      {f12.scalarBlockLayout, "scalarBlockLayout"},
      {f12.timelineSemaphore, "timelineSemaphore"},
      {f12.storageBuffer8BitAccess, "storageBuffer8BitAccess"},
      {f11.storageBuffer16BitAccess, "storageBuffer16BitAccess"},
  };
  for (const auto& n : needed)
    if (n.there != VK_TRUE) return n.name;

  std::uint32_t families = 0;
  api.GetPhysicalDeviceQueueFamilyProperties(device, &families, nullptr);
  std::vector<VkQueueFamilyProperties> all(families);
  api.GetPhysicalDeviceQueueFamilyProperties(device, &families, all.data());
  int best = -1;
  for (std::uint32_t i = 0; i < families; ++i) {  // one for computing alone, if there is one
    if ((all[i].queueFlags & VK_QUEUE_COMPUTE_BIT) == 0) continue;
    if (best < 0 || (all[i].queueFlags & VK_QUEUE_GRAPHICS_BIT) == 0) best = static_cast<int>(i);
  }
  if (best < 0) return "a compute queue";
  c.queue_family = static_cast<std::uint32_t>(best);
  c.clock_bits = all[c.queue_family].timestampValidBits;
  return {};
}

int rank(VkPhysicalDeviceType type) {
  switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
      return 0;
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
      return 1;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
      return 2;
    default:
      return 3;
  }
}

void find_candidates(Opened& o) {
  const Api& api = o.instance->api;
  std::uint32_t n = 0;
  api.EnumeratePhysicalDevices(o.instance->handle, &n, nullptr);
  std::vector<VkPhysicalDevice> all(n);
  api.EnumeratePhysicalDevices(o.instance->handle, &n, all.data());
  std::vector<std::pair<int, Candidate>> ranked;
  for (const VkPhysicalDevice device : all) {
    VkPhysicalDeviceProperties2 p{};
    p.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2;
    api.GetPhysicalDeviceProperties2(device, &p);
    Candidate c;
    c.handle = device;
    c.name = p.properties.deviceName;
    const std::string missing =
        p.properties.apiVersion < VK_API_VERSION_1_2 ? "Vulkan 1.2" : lacks(api, device, c);
    if (missing.empty())
      ranked.emplace_back(rank(p.properties.deviceType), c);
    else
      o.because += (o.because.empty() ? "" : "; ") + c.name + " lacks " + missing;
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (auto& [r, c] : ranked) o.candidates.push_back(std::move(c));
  if (o.candidates.empty() && o.because.empty())
    o.because =
        "no Vulkan driver is installed (on Debian: mesa-vulkan-drivers, which also runs on CPUs)";
}

Opened& opened() {
  static Opened& all = *new Opened([] {
    Opened o;
    auto made = std::make_unique<Instance>();
    o.because = made->api.open();
    if (!o.because.empty()) return o;

    VkApplicationInfo app{};
    app.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO;
    app.pApplicationName = app.pEngineName = "Flash";
    app.apiVersion = VK_API_VERSION_1_2;
    VkInstanceCreateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO;
    info.pApplicationInfo = &app;
    VkDebugUtilsMessengerCreateInfoEXT messages{};
    messages.sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT;
    messages.messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT |
                               VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT;
    messages.messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT |
                           VK_DEBUG_UTILS_MESSAGE_TYPE_PERFORMANCE_BIT_EXT;
    messages.pfnUserCallback = on_message;
    messages.pUserData = &made->complaints;
    const char* extension = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
    if (env::get_int(Env::kVulkanValidation) != 0) {
      if (!has_layer(made->api)) {
        o.because = std::string("FLASH_VULKAN_VALIDATION is set, and ") + kLayer +
                    " is not installed (on Debian: vulkan-validationlayers)";
        return o;
      }
      made->validates = true;
      info.enabledLayerCount = info.enabledExtensionCount = 1;
      info.ppEnabledLayerNames = &kLayer;
      info.ppEnabledExtensionNames = &extension;
      info.pNext = &messages;
    }
    const VkResult r = made->api.CreateInstance(&info, nullptr, &made->handle);
    if (r != VK_SUCCESS) {
      o.because = r == VK_ERROR_INCOMPATIBLE_DRIVER
                      ? "no Vulkan driver is installed (on Debian: mesa-vulkan-drivers, which also "
                        "runs on CPUs)"
                      : "vkCreateInstance failed with VkResult " + std::to_string(r);
      return o;
    }
    made->api.load_instance(made->handle);
    if (made->validates) {
      VkDebugUtilsMessengerEXT messenger = VK_NULL_HANDLE;
      made->api.CreateDebugUtilsMessengerEXT(made->handle, &messages, nullptr, &messenger);
    }
    o.instance = std::move(made);
    find_candidates(o);
    return o;
  }());
  return all;
}

}  // namespace

Instance* instance() { return opened().instance.get(); }
const std::vector<Candidate>& candidates() { return opened().candidates; }
const std::string& no_candidates_because() { return opened().because; }

}  // namespace flash::vulkan
