// kernels/gpu/staging.cpp -- pinned memory that copies between host and device go through
#include "kernels/gpu/staging.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/log.h"

namespace flash::gpu {

PinnedMemory::~PinnedMemory() {
  if (!data_ || context_.lost()) return;
  if (const int error = context_.calls().free_host(data_))
    logging::error(context_.name() +
                   ": freeing pinned memory failed: " + context_.driver().describe(error));
}

std::byte* PinnedMemory::data() {
  if (!data_)
    context_.check(context_.calls().allocate_host(&data_, bytes_, 0), "allocating pinned memory");
  return static_cast<std::byte*>(data_);
}

Staging::~Staging() {
  // The memory goes away: what is still copied out of it has to arrive.
  if (!in_use_.empty() && !context_.lost()) context_.calls().synchronize(context_.queue());
}

void Staging::retire_oldest() {
  in_use_.front().event.wait("waiting for a copy to the device");
  spare_.push_back(std::move(in_use_.front().event));
  in_use_.pop_front();
}

// A free piece of the ring. Pieces lie in the order they were made, so that the oldest one is the
// next behind the head.
std::size_t Staging::reserve(std::size_t bytes) {
  if (head_ + bytes > ring_.size()) {
    while (!in_use_.empty() && in_use_.front().begin >= head_) retire_oldest();
    head_ = 0;
  }
  const auto overlaps = [&](const Piece& p) { return p.begin < head_ + bytes && head_ < p.end; };
  while (!in_use_.empty() && overlaps(in_use_.front())) retire_oldest();
  // Small pieces would otherwise have some 10^5 events before the ring is full. Who waits for one
  // has waited for all before it.
  if (spare_.empty() && in_use_.size() >= kMostPieces) {
    in_use_[kMostPieces / 2].event.wait("waiting for copies to the device");
    while (in_use_.size() > kMostPieces / 2) {
      spare_.push_back(std::move(in_use_.front().event));
      in_use_.pop_front();
    }
  }
  if (spare_.empty()) spare_.emplace_back(context_);
  return head_;
}

void Staging::upload(Address to, const void* from, std::size_t bytes) {
  constexpr std::size_t kAlign = 64;
  const std::lock_guard lock(up_mutex_);
  for (std::size_t done = 0; done < bytes;) {
    const std::size_t n = std::min(bytes - done, kUpPiece);
    std::byte* ring = ring_.data();
    const std::size_t at = reserve(n);
    std::memcpy(ring + at, static_cast<const std::byte*>(from) + done, n);
    context_.check(context_.calls().to_device(to + done, ring + at, n, context_.queue()),
                   "copying to the device");
    try {
      spare_.back().record();
    } catch (...) {
      // Nothing will say when this piece is free: wait for it now.
      context_.calls().synchronize(context_.queue());
      throw;
    }
    in_use_.push_back({at, at + n, std::move(spare_.back())});
    spare_.pop_back();
    head_ = (at + n + kAlign - 1) / kAlign * kAlign;
    done += n;
  }
}

void Staging::download(void* to, Address from, std::size_t bytes) {
  const std::lock_guard lock(down_mutex_);
  std::byte* pinned = down_.data();
  while (arrived_.size() < 2) arrived_.emplace_back(context_);
  const std::size_t pieces = (bytes + kDownPiece - 1) / kDownPiece;
  const auto size = [&](std::size_t p) { return std::min(kDownPiece, bytes - p * kDownPiece); };
  const auto fetch = [&](std::size_t p) {
    context_.check(context_.calls().to_host(pinned + p % 2 * kDownPiece, from + p * kDownPiece,
                                            size(p), context_.queue()),
                   "copying to the host");
    arrived_[p % 2].record();
  };
  try {
    for (std::size_t p = 0; p < pieces; ++p) {
      if (p == 0) fetch(0);
      if (p + 1 < pieces) fetch(p + 1);
      arrived_[p % 2].wait("waiting for values of the device");
      std::memcpy(static_cast<std::byte*>(to) + p * kDownPiece, pinned + p % 2 * kDownPiece,
                  size(p));
    }
  } catch (...) {
    if (!context_.lost()) context_.calls().synchronize(context_.queue());  // none may arrive later
    throw;
  }
}

}  // namespace flash::gpu
