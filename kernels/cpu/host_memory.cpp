// kernels/cpu/host_memory.cpp -- host memory: heap blocks, and mappings for what is large
#include "kernels/cpu/host_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

namespace flash::cpu {
namespace {

constexpr std::size_t kMapFrom = std::size_t{1} << 20;
constexpr std::size_t kHugePage = std::size_t{2} << 20;

/// Mappings of at least two huge pages start on a huge page's boundary, so that they consist of
/// them: one page fault for 2 MiB, not 512 of them.
constexpr bool wants_huge_pages(std::size_t bytes) { return bytes >= 2 * kHugePage; }

std::size_t mapped_bytes(std::size_t bytes) {
  static const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

}  // namespace

void* HostMemory::allocate(std::size_t bytes) {
  if (bytes > PTRDIFF_MAX - 2 * kHugePage) return nullptr;
  if (bytes < kMapFrom) {
    void* data = nullptr;
    return posix_memalign(&data, 64, bytes) == 0 ? data : nullptr;
  }
  const bool huge = wants_huge_pages(bytes);
  const std::size_t size = mapped_bytes(bytes);
  const std::size_t slack = huge ? kHugePage : 0;
  void* mapped =
      mmap(nullptr, size + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  if (!huge) return mapped;
  char* const start = static_cast<char*>(mapped);
  const std::size_t before =
      (kHugePage - reinterpret_cast<std::uintptr_t>(start) % kHugePage) % kHugePage;
  if (before) munmap(start, before);
  if (slack - before) munmap(start + before + size, slack - before);
#ifdef MADV_HUGEPAGE
  madvise(start + before, size, MADV_HUGEPAGE);  // a hint: without it the memory is merely slower
#endif
  return start + before;
}

void HostMemory::free(void* data, std::size_t bytes) {
  if (bytes < kMapFrom) {
    std::free(data);
  } else {
    munmap(data, mapped_bytes(bytes));
  }
}

}  // namespace flash::cpu
