// kernels/gpu/scratch.h -- memory that the leaf kernels of a run borrow
#pragma once

#include <cstddef>
#include <vector>

#include "core/allocator.h"

namespace flash::gpu {

/// Of one thread's run. What a kernel borrowed the next kernel may have, for it runs behind it; the
/// allocator gets all back when the launches are enqueued: who has it next enqueues behind them.
class Scratch {
 public:
  explicit Scratch(Allocator& allocator) : allocator_(allocator) {}

  /// For the kernel at hand. Throws OutOfMemory.
  void* take(std::size_t bytes);
  /// The kernel at hand is enqueued, or gathered.
  void kernel_ends();
  /// The run is enqueued.
  void give_back() noexcept;

 private:
  Allocator& allocator_;
  std::vector<Block*> taken_, spare_;  // by the kernel at hand, by those before it
};

}  // namespace flash::gpu
