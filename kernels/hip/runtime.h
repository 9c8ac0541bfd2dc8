// kernels/hip/runtime.h -- AMD GPUs: HIP and hiprtc, opened at run time
#pragma once

#include <string>

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

/// Opens the driver; 0 when there is none.
int count_devices();
/// Why there is none, and how to get one; empty when there is one.
std::string what_is_missing();

}  // namespace flash::hip
