// kernels/gpu/limits.h -- what a GPU can do at best: memory bandwidth and FMA throughput
//
// Plain loops, nothing of Flash's own: a limit must not depend on what it judges. Bandwidth counts
// algorithmic bytes (a copy of n floats moves 8 n), over arrays that no cache holds.
#pragma once

#include <span>

#include "core/allocator.h"
#include "core/device.h"
#include "core/function_ref.h"
#include "kernels/gpu/leaf.h"
#include "kernels/gpu/staging.h"

namespace flash::gpu {

/// Enqueues a launch whose ArgBlock lies at `args` on the device.
using LaunchLeaf = FunctionRef<void(const LeafLaunch& launch, Address args)>;

/// Takes some milliseconds, and a 64th of the device's memory three times, 768 MiB at most, or less
/// where that is not free. Zeros where there is nearly none. The context must be current.
MachineLimits measure_limits(Context& context, RawMemory& memory, Staging& staging,
                             LaunchLeaf launch);

/// The loops' texts: to see whether they compile.
std::span<const LeafSource> limit_sources();

}  // namespace flash::gpu
