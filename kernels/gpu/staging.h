// kernels/gpu/staging.h -- pinned memory that copies between host and device go through
//
// A driver copies from and to ordinary memory only while the caller waits. So what goes to the
// device is first copied into a ring of pinned memory, and the caller may go on and change its own;
// a piece of the ring is used again when the copy out of it is done. What comes back is fetched in
// pieces, so that the next one travels while the last one is copied out.
#pragma once

#include <cstddef>
#include <deque>
#include <mutex>
#include <vector>

#include "kernels/gpu/context.h"
#include "kernels/gpu/event.h"

namespace flash::gpu {

/// Pinned memory, allocated at first use.
class PinnedMemory {
 public:
  PinnedMemory(Context& context, std::size_t bytes) : context_(context), bytes_(bytes) {}
  ~PinnedMemory();
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;
  std::byte* data();
  std::size_t size() const { return bytes_; }

 private:
  Context& context_;
  const std::size_t bytes_;
  void* data_ = nullptr;
};

/// Thread-safe. The context must be current. A device's runtime has one.
class Staging {
 public:
  explicit Staging(Context& context)
      : context_(context), ring_(context, kRing), down_(context, 2 * kDownPiece) {}
  ~Staging();

  /// Enqueues a copy to the device; `from` may be changed when this returns.
  void upload(Address to, const void* from, std::size_t bytes);
  /// Copies from the device when all that is enqueued is done, and waits for it.
  void download(void* to, Address from, std::size_t bytes);

 private:
  static constexpr std::size_t kRing = 16 << 20, kUpPiece = 4 << 20, kDownPiece = 2 << 20;
  static constexpr std::size_t kMostPieces = 4096;
  struct Piece {
    std::size_t begin, end;
    Event event;  ///< behind the copy out of it
  };
  std::size_t reserve(std::size_t bytes);
  void retire_oldest();

  Context& context_;
  std::mutex up_mutex_;  // guards the next four
  PinnedMemory ring_;
  std::size_t head_ = 0;
  std::deque<Piece> in_use_;  // oldest first
  std::vector<Event> spare_;
  std::mutex down_mutex_;  // guards the next two
  PinnedMemory down_;
  std::vector<Event> arrived_;
};

}  // namespace flash::gpu
