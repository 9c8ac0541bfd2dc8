// kernels/vulkan/memory.cpp -- chunks, their free pieces, first fit
#include "kernels/vulkan/memory.h"

#include <algorithm>
#include <iterator>

#include "core/error.h"

namespace flash::vulkan {
namespace {

constexpr std::size_t kChunk = std::size_t{64} << 20, kAlignment = 256;

std::size_t rounded(std::size_t bytes) {
  return std::max(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
}

void* pointer(VkDeviceAddress address) {
  return reinterpret_cast<void*>(static_cast<std::uintptr_t>(address));
}
VkDeviceAddress address_of(const void* data) {
  return static_cast<VkDeviceAddress>(reinterpret_cast<std::uintptr_t>(data));
}

}  // namespace

DeviceMemory::DeviceMemory(std::shared_ptr<Gpu> gpu, std::function<void()> drain)
    : gpu_(std::move(gpu)), drain_(std::move(drain)) {}

DeviceMemory::~DeviceMemory() {
  for (auto& [address, chunk] : chunks_) gpu_->destroy(chunk.buffer);
}

void* DeviceMemory::take(Chunk& chunk, std::size_t bytes) {
  for (auto piece = chunk.free.begin(); piece != chunk.free.end(); ++piece) {
    if (piece->second < bytes) continue;
    const auto [offset, size] = *piece;
    chunk.free.erase(piece);
    if (size > bytes) chunk.free[offset + bytes] = size - bytes;
    return pointer(chunk.buffer.address + offset);
  }
  return nullptr;
}

void* DeviceMemory::allocate(std::size_t bytes) {
  gpu_->process.check(gpu_->label);
  bytes = rounded(bytes);
  const std::lock_guard lock(mutex_);
  for (auto& [address, chunk] : chunks_)
    if (void* data = take(chunk, bytes)) return data;
  // What is larger than half a chunk has one of its own, as large as itself.
  Chunk chunk;
  const MemoryWish wish{.must = 0, .better = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT};
  const std::size_t wanted = bytes > kChunk / 2 ? bytes : kChunk;
  chunk.buffer = gpu_->make_buffer(wanted, wish);
  if (chunk.buffer.address == 0 && wanted > bytes) chunk.buffer = gpu_->make_buffer(bytes, wish);
  if (chunk.buffer.address == 0) return nullptr;
  chunk.serial = ++made_;
  chunk.free[0] = chunk.buffer.bytes;
  Chunk& kept = chunks_[chunk.buffer.address] = std::move(chunk);
  return take(kept, bytes);
}

void DeviceMemory::free(void* data, std::size_t bytes) {
  if (!gpu_->process.here()) return;
  bytes = rounded(bytes);
  drain_();
  const std::lock_guard lock(mutex_);
  const VkDeviceAddress address = address_of(data);
  const auto at = std::prev(chunks_.upper_bound(address));
  Chunk& chunk = at->second;
  auto offset = static_cast<std::size_t>(address - at->first);
  const auto next = chunk.free.lower_bound(offset);
  if (next != chunk.free.end() && next->first == offset + bytes) {
    bytes += next->second;
    chunk.free.erase(next);
  }
  const auto after = chunk.free.lower_bound(offset);
  if (after != chunk.free.begin()) {
    const auto before = std::prev(after);
    if (before->first + before->second == offset) {
      offset = before->first;
      bytes += before->second;
    }
  }
  chunk.free[offset] = bytes;
  if (bytes == chunk.buffer.bytes) {
    gpu_->destroy(chunk.buffer);
    chunks_.erase(at);
  }
}

Place DeviceMemory::place_of(const void* data) const {
  const VkDeviceAddress address = address_of(data);
  const std::lock_guard lock(mutex_);
  auto at = chunks_.upper_bound(address);
  if (at != chunks_.begin()) {
    --at;
    if (address - at->first < at->second.buffer.bytes)
      return {at->second.buffer.handle, address - at->first, at->second.serial};
  }
  throw InternalError(gpu_->label +
                      ": a copy was asked for at an address that is not this "
                      "device's memory");
}

}  // namespace flash::vulkan
