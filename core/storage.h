// core/storage.h -- buffers (materialised memory) and cells (what tensors and their views share)
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <utility>

#include "callback.h"
#include "device.h"
#include "owner_lock.h"
#include "ref.h"

namespace flash {

class Trace;
struct Block;
using NodeId = std::uint32_t;
inline constexpr NodeId kNoNode = ~0u;
inline constexpr NodeId kInMemory = kNoNode - 1;  ///< see Cell::former

/// Remembers a node of one trace at one epoch (unique among all traces), in one atomic word.
class NodeNote {
 public:
  NodeId get(std::uint64_t epoch) const {  ///< kNoNode if the note is another epoch's
    const std::uint64_t w = word_.load(std::memory_order_relaxed);
    return w >> kNodeBits == epoch ? static_cast<NodeId>(w & ((1u << kNodeBits) - 1)) : kNoNode;
  }
  void set(std::uint64_t epoch, NodeId node) {
    if (node < 1u << kNodeBits) word_.store(epoch << kNodeBits | node, std::memory_order_relaxed);
  }
  void clear() { word_.store(0, std::memory_order_relaxed); }
  void copy(const NodeNote& o) {
    word_.store(o.word_.load(std::memory_order_relaxed), std::memory_order_relaxed);
  }

 private:
  static constexpr int kNodeBits = 24;  // leaves 40 bits to count epochs: 10^12 flushes
  std::atomic<std::uint64_t> word_{0};
};

/// Memory on a device. Either the allocator's or the user's (from_blob).
class Buffer {
 public:
  /// Allocates from the device's caching allocator; throws OutOfMemory.
  static Ref<Buffer> allocate(DeviceRuntime& device, std::size_t bytes,
                              const char* label = nullptr);
  /// Wraps memory of the user's; `release` (may be empty) runs when the last tensor lets go.
  static Ref<Buffer> wrap(DeviceRuntime& device, void* data, std::size_t bytes,
                          Callback<void()> release);

  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  DeviceRuntime& device() const { return *device_; }
  bool external() const { return external_; }
  /// Of wrapped memory: these elements of `size` bytes are Flash's, and what lies between them
  /// stays the user's. all_ours() takes that back.
  void set_ours(const Shape& shape, const Strides& strides, int size);
  void all_ours() { ours_.reset(); }
  /// Copies a value of so many bytes in here, or from here to where `to` points; of wrapped memory
  /// the elements that are ours.
  void take_value(const Buffer& from) { copy_value(data_, from.data_, from.bytes_); }
  void give_value(void* to, std::size_t bytes) const { copy_value(to, data_, bytes); }

  void retain() { refs_.retain(); }
  void release() {
    if (refs_.release()) destroy();
  }
  int refs() const { return refs_.get(); }

  static void* operator new(std::size_t size);
  static void operator delete(void* p);

 private:
  Buffer() = default;
  ~Buffer() = default;
  void destroy();
  void copy_value(void* to, const void* from, std::size_t bytes) const;
  RefCount refs_;
  bool external_ = false;
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
  DeviceRuntime* device_ = nullptr;
  Block* block_ = nullptr;  ///< the allocator's; null for wrapped memory
  struct Elements {
    Shape shape;
    Strides strides;
    int size;
  };
  std::unique_ptr<const Elements> ours_;  ///< null: all
  Callback<void()> release_;
};

/// The storage that a tensor and its views share: the latest version of a value, which is a node of
/// some trace until that is flushed, and a buffer afterwards. In-place operations append versions.
///
/// Threads: `trace` is set and cleared under that trace's mutex; readers that find it non-null
/// flush through the mutex first. Threads may read one tensor, and write disjoint views of it, at
/// the same time. So whoever takes the buffer while `trace` is null, and whoever makes `trace` not
/// null, holds `lock`: see Trace::claim() and buffer_of(). Everything else belongs to whoever may
/// use the tensor.
class Cell {
 public:
  static Ref<Cell> make(Device device, DType dtype, const Shape& shape);

  Shape shape;  ///< the row-major layout of the storage
  DType dtype = DType::kF32;
  Device device;
  bool pinned = false;  ///< someone holds a raw pointer: new versions must land in `buffer`
  /// Held for the few instructions that take the buffer or set the trace, together with the mutex
  /// of the thread's own trace, which a fork waits for.
  OwnerLock lock;
  std::atomic<std::uint32_t> version{0};
  std::uint32_t taped = 0;    ///< the version that the last change on the tape made
  std::uint32_t undone = 0;   ///< changes that failed: the value went back to the one before
  bool history_lost = false;  ///< one of them was on the tape, which cannot go back

  std::atomic<Trace*> trace{nullptr};  ///< where the latest version is pending
  NodeId pending = kNoNode;
  Ref<Buffer> buffer;  ///< the newest materialised version
  /// While a version is pending: the input node that holds the version before it. kInMemory: the
  /// pinned buffer does. kNoNode: there was none, or it is not kept, for nothing else needs it, or
  /// several versions are pending.
  NodeId former = kNoNode;

  /// The node that stands for `buffer`, so that a value enters a trace once. Threads that share a
  /// tensor overwrite each other's note; a lost one costs a node.
  NodeNote input;

  std::exception_ptr poison;  ///< why the value never came to be; reading it throws that

  void retain() { refs_.retain(); }
  void release() {
    if (refs_.release()) destroy();
  }
  /// Handles that only the tape keeps: when there are no others the value is soft-live.
  std::atomic<int> soft{0};
  int refs() const { return refs_.get(); }
  bool soft_live() const { return refs() == soft.load(std::memory_order_relaxed); }

  // A dead cell that its trace still points to waits for its end; see Trace::drop_later.
  Cell* next_dead = nullptr;
  void end() { refs_.end(); }
  void free() { delete this; }

  static void* operator new(std::size_t size);
  static void operator delete(void* p);

 private:
  Cell() = default;
  ~Cell() = default;
  void destroy();
  RefCount refs_;
};

}  // namespace flash
