// tests/files/memory.cpp -- the sanitizer's hooks, or else operators new and delete that count
#include "tests/files/memory.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#define FLASH_COUNT_BY_HOOKS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FLASH_COUNT_BY_HOOKS 1
#endif
#endif

#ifdef FLASH_COUNT_BY_HOOKS
// As in sanitizer/allocator_interface.h, which g++ does not bring along.
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*malloc_hook)(const volatile void*,
                                                                             std::size_t),
                                                         void (*free_hook)(const volatile void*));
extern "C" std::size_t __sanitizer_get_allocated_size(const volatile void* p);
#else
#include <malloc.h>
#endif

namespace flash::test {
namespace {

thread_local std::int64_t held = 0, most = 0;

void took(std::size_t bytes) {
  held += static_cast<std::int64_t>(bytes);
  most = std::max(most, held);
}
void gave(std::size_t bytes) { held -= static_cast<std::int64_t>(bytes); }

}  // namespace

PeakMemory::PeakMemory() {
#ifdef FLASH_COUNT_BY_HOOKS
  static const int hooks = __sanitizer_install_malloc_and_free_hooks(
      [](const volatile void*, std::size_t bytes) { took(bytes); },
      [](const volatile void* p) {
        if (p) gave(__sanitizer_get_allocated_size(p));
      });
  if (hooks == 0) std::abort();  // no room for them
#endif
  held = most = 0;
}

std::uint64_t PeakMemory::peak() const { return static_cast<std::uint64_t>(most); }

}  // namespace flash::test

#ifndef FLASH_COUNT_BY_HOOKS
void* operator new(std::size_t bytes) {
  void* p = std::malloc(bytes);
  if (!p) throw std::bad_alloc();
  flash::test::took(malloc_usable_size(p));
  return p;
}
void operator delete(void* p) noexcept {
  flash::test::gave(malloc_usable_size(p));
  std::free(p);
}
void operator delete(void* p, std::size_t) noexcept { operator delete(p); }
#endif
