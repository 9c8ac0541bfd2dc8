// kernels/gpu/scratch.cpp -- memory that the leaf kernels of a run borrow
#include "kernels/gpu/scratch.h"

#include <algorithm>

namespace flash::gpu {

void* Scratch::take(std::size_t bytes) {
  // What the kernels before left, if it fits well; else more of the device's.
  const auto fits = [&](const Block* b) {
    return b->capacity >= bytes && b->capacity / 2 <= bytes;
  };
  const auto spare = std::find_if(spare_.begin(), spare_.end(), fits);
  Block* block;
  if (spare != spare_.end()) {
    block = *spare;
    spare_.erase(spare);
  } else {
    block = allocator_.allocate(bytes, "scratch");
  }
  taken_.push_back(block);
  return block->data;
}

void Scratch::kernel_ends() {
  spare_.insert(spare_.end(), taken_.begin(), taken_.end());
  taken_.clear();
}

void Scratch::give_back() noexcept {
  for (std::vector<Block*>* blocks : {&taken_, &spare_}) {
    for (Block* b : *blocks) allocator_.free(b);
    blocks->clear();
  }
}

}  // namespace flash::gpu
