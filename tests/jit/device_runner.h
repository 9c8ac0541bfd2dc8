// tests/jit/device_runner.h -- runs the tests' kernels on a device with memory of its own
#pragma once

#include <span>
#include <vector>

#include "core/device.h"
#include "run_kernel.h"

namespace flash::test {

/// Loads and launches by `device`, with `memory` copied there and back; pointers in the ArgBlock
/// that lead into it are replaced. `as_run`: as a plan of one launch.
Nest::Runner on_device(DeviceRuntime& device, std::vector<std::span<unsigned char>> memory,
                       bool as_run = false);

}  // namespace flash::test
