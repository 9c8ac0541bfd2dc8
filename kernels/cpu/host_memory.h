// kernels/cpu/host_memory.h -- the host's memory, as the caching allocator takes it
#pragma once

#include <cstddef>

#include "core/allocator.h"

namespace flash::cpu {

/// Blocks below 1 MiB come from the C library's heap; larger ones are mappings of their own, with
/// huge pages where they pay. All are aligned to 64 bytes.
class HostMemory final : public RawMemory {
 public:
  void* allocate(std::size_t bytes) override;
  void free(void* data, std::size_t bytes) override;
};

}  // namespace flash::cpu
