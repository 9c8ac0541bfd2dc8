// tests/fuzz/guard.cpp -- a device whose every block is a mapping between two guard pages
#include "fuzz/guard.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>

#include "core/allocator.h"
#include "core/stats.h"
#include "kernels/cpu/runtime.h"

namespace fuzz {
namespace {

using namespace flash;

bool on = false;

class GuardedMemory final : public RawMemory {
 public:
  /// At every dtype's alignment, which costs at most seven bytes behind the block: it may hold
  /// temporaries of any dtype.
  void* allocate(std::size_t bytes) override { return allocate(bytes, 8); }
  void* allocate(std::size_t bytes, std::size_t alignment) {
    const std::size_t inside = pages(bytes);
    void* mapped = mmap(nullptr, inside + 2 * page_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) return nullptr;
    std::uint8_t* const begin = static_cast<std::uint8_t*>(mapped) + page_;
    if (mprotect(begin, inside, PROT_READ | PROT_WRITE) != 0) {
      munmap(mapped, inside + 2 * page_);
      return nullptr;
    }
    std::memset(begin, 0xFF, inside);  // NaN, -1
    const bool behind = turn_.fetch_add(1, std::memory_order_relaxed) % 4 != 0;
    return behind ? begin + (inside - bytes) / alignment * alignment : begin;
  }
  void free(void* data, std::size_t bytes) override {
    const auto at = reinterpret_cast<std::uintptr_t>(data) / page_ * page_;
    munmap(reinterpret_cast<void*>(at - page_), pages(bytes) + 2 * page_);
  }

 private:
  std::size_t pages(std::size_t bytes) const {
    return std::max<std::size_t>((bytes + page_ - 1) / page_, 1) * page_;
  }
  const std::size_t page_ = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  std::atomic<unsigned> turn_{0};
};

/// Blocks end where the request does, and none is kept.
class ExactPolicy final : public AllocationPolicy {
 public:
  ExactPolicy() : AllocationPolicy(0) {}
  std::size_t round(std::size_t bytes) const override { return std::max<std::size_t>(bytes, 1); }
};

}  // namespace

void install_guards() {
  on = true;
  // Before the one that install_all() brings.
  install_devices(DeviceType::kCpu,
                  {.count = [] { return 1; },
                   .open = [](int) -> std::unique_ptr<DeviceRuntime> {
                     return std::make_unique<cpu::CpuRuntime>(std::make_unique<GuardedMemory>());
                   }});
  set_allocation_policy(std::make_unique<ExactPolicy>());
}

bool guarded() { return on; }

std::shared_ptr<std::uint8_t> user_memory(std::size_t bytes, std::size_t shift) {
  if (on) {
    static GuardedMemory& memory = *new GuardedMemory;
    const std::size_t size = std::max<std::size_t>(bytes, 1);
    // Of one dtype: right up to the guard.
    void* data = memory.allocate(size, std::min<std::size_t>(size & -size, 8));
    if (!data) throw std::bad_alloc();
    return {static_cast<std::uint8_t*>(data), [size](std::uint8_t* p) { memory.free(p, size); }};
  }
  const std::size_t size = (bytes + shift + 127) / 64 * 64;
  auto* data = static_cast<std::uint8_t*>(::operator new(size, std::align_val_t(64)));
  return {data + shift, [data](std::uint8_t*) { ::operator delete(data, std::align_val_t(64)); }};
}

}  // namespace fuzz
