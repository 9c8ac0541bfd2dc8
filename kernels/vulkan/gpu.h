// kernels/vulkan/gpu.h -- one opened device: its handles, its memory types, its errors
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "core/fork.h"
#include "jit/emit/clike/glsl.h"
#include "jit/emit/clike/prelude.h"
#include "kernels/vulkan/instance.h"

namespace flash::vulkan {

/// A buffer with memory of its own, and an address for kernels.
struct DeviceBuffer {
  VkBuffer handle = VK_NULL_HANDLE;
  VkDeviceMemory memory = VK_NULL_HANDLE;
  VkDeviceAddress address = 0;
  std::size_t bytes = 0;
  void* host = nullptr;  ///< mapped, where it was asked for
};

/// Where a buffer's memory should be: properties that it must have, and those it better has.
struct MemoryWish {
  VkMemoryPropertyFlags must = 0, better = 0;
};

class Gpu {
 public:
  /// Throws DeviceError if the driver refuses.
  Gpu(Instance& instance, const Candidate& candidate, int index);
  ~Gpu();
  Gpu(const Gpu&) = delete;
  Gpu& operator=(const Gpu&) = delete;

  /// Throws OutOfMemory or DeviceError saying what was tried, unless `r` is success.
  void check(VkResult r, const char* what) const;
  /// Throws InternalError with what the validation layer has said since the last call, if anything.
  void throw_complaints() const;

  /// No buffer when there is no memory left.
  DeviceBuffer make_buffer(std::size_t bytes, MemoryWish wish) const;
  void destroy(DeviceBuffer& buffer) const;

  const Api& vk() const { return api_; }
  bool is_software() const { return software_; }
  /// Of a block: the least of what the device has and 256.
  int block_threads() const { return block_threads_; }
  std::size_t largest_buffer() const { return largest_buffer_; }
  std::size_t memory() const;  ///< bytes of its largest heap

  VkPhysicalDevice physical = VK_NULL_HANDLE;
  VkDevice device = VK_NULL_HANDLE;
  VkQueue queue = VK_NULL_HANDLE;
  std::uint32_t queue_family = 0;
  VkPipelineLayout layout = VK_NULL_HANDLE;  ///< args and tiles as push constants, nothing else
  const ThisProcess process;
  std::string name, label;  ///< "llvmpipe (…)", "vulkan:0"
  std::string driver;       ///< name and version, for keys
  std::int64_t shared_bytes = 0;
  std::uint32_t most_blocks = 0;
  std::uint32_t clock_bits = 0;  ///< of a time that its queue writes down; 0: it cannot
  double clock_ns = 0;           ///< nanoseconds of one step of that clock
  /// What it computes as the IR defines it, and what therefore stands in front of kernels.
  const emit::GlslTraits& traits() const { return traits_; }
  const emit::Prelude& prelude() const { return *prelude_; }
  void set_traits(const emit::GlslTraits& traits);

 private:
  int memory_type(std::uint32_t allowed, MemoryWish wish) const;

  Instance& instance_;
  Api api_;  // with this device's functions
  VkPhysicalDeviceMemoryProperties memory_{};
  bool software_ = false;
  int block_threads_ = 0;
  std::size_t largest_buffer_ = 0;
  emit::GlslTraits traits_;
  std::optional<emit::Prelude> prelude_;
};

}  // namespace flash::vulkan
