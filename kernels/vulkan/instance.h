// kernels/vulkan/instance.h -- the process's Vulkan instance, its devices, and what the validation
// layer says
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "kernels/vulkan/api.h"

namespace flash::vulkan {

/// Complaints of the validation layer since the last take().
class Complaints {
 public:
  void add(std::string text);
  /// All of them as one text; empty if there is none.
  std::string take();

 private:
  std::atomic<int> count_{0};
  std::mutex mutex_;
  std::vector<std::string> texts_;
};

/// Lives as long as the process.
struct Instance {
  Api api;
  VkInstance handle = VK_NULL_HANDLE;
  bool validates = false;  ///< FLASH_VULKAN_VALIDATION is set, and the layer is there
  Complaints complaints;
};

/// A device that Flash can use: Vulkan 1.2, a compute queue and the features it needs.
struct Candidate {
  VkPhysicalDevice handle = VK_NULL_HANDLE;
  std::string name;
  std::uint32_t queue_family = 0;
  std::uint32_t clock_bits = 0;  ///< of a time that its queue writes down; 0: it cannot
  bool f64 = false;
};

/// Opened at the first call; null when that fails.
Instance* instance();
/// GPUs first, software last; empty when instance() is null.
const std::vector<Candidate>& candidates();
/// Why there are no candidates, for people.
const std::string& no_candidates_because();

}  // namespace flash::vulkan
