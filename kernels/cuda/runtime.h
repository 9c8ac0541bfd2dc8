// kernels/cuda/runtime.h -- NVIDIA GPUs: the driver's own interface and NVRTC, opened at run time
#pragma once

#include <string>
#include <vector>

#include "kernels/gpu/driver_runtime.h"

namespace flash::cuda {

/// See kernels/gpu/driver_runtime.h.
class CudaRuntime final : public gpu::DriverRuntime {
 public:
  /// Throws DeviceError when the driver is missing or refuses.
  explicit CudaRuntime(int index);
};

const gpu::Vendor& vendor();
gpu::Compiler& compiler();
/// Where CUDA's libraries may lie.
std::vector<std::string> toolkit_folders();

/// Opens the driver; 0 when there is none.
int count_devices();
/// Why there is none, and how to get one; empty when there is one.
std::string what_is_missing();

}  // namespace flash::cuda
