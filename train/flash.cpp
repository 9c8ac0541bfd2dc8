// train/flash.cpp -- the one place that knows all folders: installs devices and evaluators
#include "core/device.h"
#include "core/env.h"
#include "core/evaluator.h"
#include "jit/evaluators/jit_evaluator.h"
#include "jit/evaluators/validating_evaluator.h"
#include "kernels/cpu/runtime.h"
#include "kernels/cuda/runtime.h"
#include "kernels/hip/runtime.h"
#include "kernels/null/runtime.h"
#if FLASH_WITH_VULKAN
#include "kernels/vulkan/runtime.h"
#endif

namespace flash {
namespace {

int one() { return 1; }
template <class Runtime>
std::unique_ptr<DeviceRuntime> make(int) {
  return std::make_unique<Runtime>();
}
template <class Runtime>
std::unique_ptr<DeviceRuntime> make_at(int index) {
  return std::make_unique<Runtime>(index);
}

}  // namespace

void install_all() {
  install_devices(DeviceType::kCpu, {.count = one, .open = make<cpu::CpuRuntime>});
  install_devices(DeviceType::kNull, {.count = one, .open = make<null::NullRuntime>});
  install_devices(DeviceType::kCuda,
                  {cuda::count_devices, make_at<cuda::CudaRuntime>, cuda::what_is_missing});
  install_devices(DeviceType::kHip,
                  {hip::count_devices, make_at<hip::HipRuntime>, hip::what_is_missing});
#if FLASH_WITH_VULKAN
  install_devices(DeviceType::kVulkan,
                  {vulkan::count_devices, make_at<vulkan::VulkanRuntime>, vulkan::what_is_missing});
#endif
  const bool validate = env::get_int(Env::kValidate) != 0;
  for (const auto make :
       {jit::make_fusing_evaluator, jit::make_eager_evaluator, jit::make_interpreting_evaluator})
    install_evaluator(validate ? jit::make_validating_evaluator(make()) : make());
}

}  // namespace flash
