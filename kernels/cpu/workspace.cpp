// kernels/cpu/workspace.cpp -- scratch memory of one thread, kept from call to call
#include "kernels/cpu/workspace.h"

#include <array>
#include <cstdlib>
#include <memory>
#include <string>

#include "core/error.h"
#include "core/thread_object.h"

namespace flash::cpu {
namespace {

struct Region {
  std::unique_ptr<void, void (*)(void*)> data{nullptr, std::free};
  std::size_t bytes = 0;
};

using Regions = std::array<Region, static_cast<std::size_t>(Slot::kCount)>;

}  // namespace

void prepare_workspace() { thread_object<Regions>(); }

void* workspace_bytes(Slot slot, std::size_t bytes) {
  Region& region = thread_object<Regions>()[static_cast<std::size_t>(slot)];
  if (bytes > region.bytes || !region.data) {
    const std::size_t size = (bytes + bytes / 4 + 4095) / 4096 * 4096 + 4096;
    region.data.reset();  // first, so that the old and the new are never held together
    region.bytes = 0;
    region.data.reset(std::aligned_alloc(4096, size));
    if (!region.data)
      throw OutOfMemory("no memory for " + std::to_string(size) + " bytes of kernel scratch");
    region.bytes = size;
  }
  return region.data.get();
}

}  // namespace flash::cpu
