// kernels/hip/runtime.h -- AMD GPUs: HIP and hiprtc, opened at run time
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/gpu/driver_runtime.h"

namespace flash::hip {

/// See kernels/gpu/driver_runtime.h.
class HipRuntime final : public gpu::DriverRuntime {
 public:
  /// Throws DeviceError when the driver is missing or refuses.
  explicit HipRuntime(int index);
};

const gpu::Vendor& vendor();
gpu::Compiler& compiler();

/// One for every device; empty when there is no driver. Opens the driver.
std::vector<std::unique_ptr<DeviceRuntime>> make_runtimes();
/// Why there is none, and how to get one; empty when there is one.
std::string what_is_missing();

}  // namespace flash::hip
