// kernels/vulkan/staging.cpp -- which page is free again
#include "kernels/vulkan/staging.h"

#include <algorithm>
#include <string>

#include "core/error.h"

namespace flash::vulkan {
namespace {

constexpr std::size_t kAlignment = 64;

}  // namespace

Staging::Staging(std::shared_ptr<Gpu> gpu, Commands& commands, MemoryWish wish, std::size_t page,
                 std::size_t most)
    : gpu_(std::move(gpu)), commands_(commands), wish_(wish), page_(page), most_(most) {}

Staging::~Staging() {
  for (const auto& page : pages_) gpu_->destroy(page->buffer);
}

bool Staging::fits(Page& page, std::size_t bytes, std::uint64_t done) const {
  if (page.holders == 0 && page.last <= done) page.used = 0;
  return page.used + bytes <= page.buffer.bytes;
}

Staging::Region Staging::take(std::size_t bytes) {
  bytes = std::max(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
  const auto part = [&](Page& page) {
    const Region r{&page, page.used, static_cast<char*>(page.buffer.host) + page.used,
                   page.buffer.address + page.used};
    page.used += bytes;
    page.last = commands_.open_batch();
    return r;
  };
  if (current_ < pages_.size() && pages_[current_]->used + bytes <= pages_[current_]->buffer.bytes)
    return part(*pages_[current_]);
  for (int attempt = 0; attempt < 2; ++attempt) {
    const std::uint64_t done = commands_.done();
    for (current_ = 0; current_ < pages_.size(); ++current_)
      if (fits(*pages_[current_], bytes, done)) return part(*pages_[current_]);
    if (bytes_ + bytes <= most_ || attempt == 1) break;
    commands_.wait(commands_.submit());
  }
  auto page = std::make_unique<Page>();
  page->buffer = gpu_->make_buffer(std::max(page_, bytes), wish_);
  if (page->buffer.address == 0)
    throw OutOfMemory(gpu_->label + ": no memory of " + std::to_string(std::max(page_, bytes)) +
                      " bytes is left for transfers; free tensors, or use smaller batches.");
  bytes_ += page->buffer.bytes;
  pages_.push_back(std::move(page));
  current_ = pages_.size() - 1;
  return part(*pages_[current_]);
}

}  // namespace flash::vulkan
