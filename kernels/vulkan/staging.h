// kernels/vulkan/staging.h -- memory that host and device both see, used again batch after batch
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/vulkan/commands.h"

namespace flash::vulkan {

/// Pages of one kind, for one stream. Not thread-safe.
class Staging {
 public:
  struct Page {
    DeviceBuffer buffer;
    std::size_t used = 0;
    std::uint64_t last = 0;  ///< the last batch that uses it
    int holders = 0;         ///< who may still record commands that use it
  };
  /// A part of a page, to be used by the open batch.
  struct Region {
    Page* page = nullptr;
    std::size_t offset = 0;
    void* host = nullptr;
    VkDeviceAddress address = 0;
  };

  /// Pages of `page` bytes; beyond `most` bytes it is waited for one that is free.
  Staging(std::shared_ptr<Gpu> gpu, Commands& commands, MemoryWish wish, std::size_t page,
          std::size_t most);
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  /// Throws OutOfMemory.
  Region take(std::size_t bytes);
  /// As long as a page is held, what was taken from it stays, whatever batches are done.
  void hold(Page& page) { ++page.holders; }
  void release(Page& page) {
    --page.holders;
    page.last = commands_.open_batch();
  }

 private:
  bool fits(Page& page, std::size_t bytes, std::uint64_t done) const;

  const std::shared_ptr<Gpu> gpu_;
  Commands& commands_;
  const MemoryWish wish_;
  const std::size_t page_, most_;
  std::size_t bytes_ = 0;
  std::vector<std::unique_ptr<Page>> pages_;
  std::size_t current_ = 0;
};

}  // namespace flash::vulkan
