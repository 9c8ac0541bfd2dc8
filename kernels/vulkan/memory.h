// kernels/vulkan/memory.h -- device memory for the caching allocator: pieces of large buffers
//
// A driver may allow no more than 4,096 allocations, and an address alone does not say which buffer
// it lies in, as copies want to know. So requests are cut from chunks, and a map finds the chunk of
// an address.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>

#include "core/allocator.h"
#include "kernels/vulkan/gpu.h"

namespace flash::vulkan {

/// Part of a buffer.
struct Place {
  VkBuffer buffer = VK_NULL_HANDLE;
  VkDeviceSize offset = 0;
  std::uint64_t serial = 0;  ///< the buffer's: handles are used again
  bool operator==(const Place&) const = default;
};

/// Thread-safe.
class DeviceMemory final : public RawMemory {
 public:
  /// `drain` waits until the device does nothing: memory is given back only then.
  DeviceMemory(std::shared_ptr<Gpu> gpu, std::function<void()> drain);
  ~DeviceMemory() override;

  void* allocate(std::size_t bytes) override;
  void free(void* data, std::size_t bytes) override;

  /// The buffer that holds `address`; throws InternalError if none does.
  Place place_of(const void* address) const;

 private:
  struct Chunk {
    DeviceBuffer buffer;
    std::uint64_t serial = 0;
    std::map<std::size_t, std::size_t> free;  // offset → bytes, never two that touch
  };
  void* take(Chunk& chunk, std::size_t bytes);

  const std::shared_ptr<Gpu> gpu_;
  const std::function<void()> drain_;
  mutable std::mutex mutex_;                 // guards what follows; not held while draining
  std::map<VkDeviceAddress, Chunk> chunks_;  // by first address
  std::uint64_t made_ = 0;                   // chunks so far
};

}  // namespace flash::vulkan
