// kernels/gpu/limits.h -- what a GPU can do at best: memory bandwidth and FMA throughput
//
// Plain loops, nothing of Flash's own: a limit must not depend on what it judges. Bandwidth counts
// algorithmic bytes (a copy of n floats moves 8 n), over arrays that no cache holds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/allocator.h"
#include "core/device.h"
#include "core/function_ref.h"
#include "kernels/gpu/leaf.h"

namespace flash::gpu {

/// What measure_limits() asks of a device.
struct Measured {
  const Capabilities& capabilities;
  std::size_t bytes;  ///< of all its memory
  RawMemory& memory;
  FunctionRef<void(void* to, std::span<const std::int64_t> words)> upload;
  /// Enqueues a launch whose ArgBlock lies at `args` on the device.
  FunctionRef<void(const LeafLaunch& launch, const void* args)> launch;
  /// Microseconds that the device works on what `enqueue` enqueues.
  FunctionRef<double(FunctionRef<void()> enqueue)> time;
};

/// Takes some milliseconds, and a 64th of the device's memory three times, 768 MiB at most, or less
/// where that is not free. Zeros where there is nearly none.
MachineLimits measure_limits(const Measured& device);

/// The loops' texts: to see whether they compile.
std::span<const LeafSource> limit_sources();

}  // namespace flash::gpu
