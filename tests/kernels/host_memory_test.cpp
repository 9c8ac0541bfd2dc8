// tests/kernels/host_memory_test.cpp -- host memory is aligned, writable and refuses the impossible
#include "kernels/cpu/host_memory.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>

using namespace flash;

TEST_CASE("host blocks of all sizes are aligned to 64 bytes and can be written whole") {
  cpu::HostMemory memory;
  for (const std::size_t bytes :
       {std::size_t{64}, std::size_t{4096}, std::size_t{1} << 20, (std::size_t{1} << 20) + 64,
        (std::size_t{4} << 20) + 12352, std::size_t{9} << 20}) {
    void* data = memory.allocate(bytes);
    REQUIRE(data != nullptr);
    CHECK(reinterpret_cast<std::uintptr_t>(data) % 64 == 0);
    std::memset(data, 0xa5, bytes);
    CHECK(static_cast<unsigned char*>(data)[bytes - 1] == 0xa5);
    memory.free(data, bytes);
  }
}

TEST_CASE("more than the address space gives nullptr, not a crash") {
  cpu::HostMemory memory;
  CHECK(memory.allocate(SIZE_MAX) == nullptr);
  CHECK(memory.allocate(SIZE_MAX / 4) == nullptr);
}
