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

template <class Runtime>
std::vector<std::unique_ptr<DeviceRuntime>> one() {
  std::vector<std::unique_ptr<DeviceRuntime>> all;
  all.push_back(std::make_unique<Runtime>());
  return all;
}

}  // namespace

void install_all() {
  install_devices(DeviceType::kCpu, {.open = one<cpu::CpuRuntime>});
  install_devices(DeviceType::kNull, {.open = one<null::NullRuntime>});
  install_devices(DeviceType::kCuda, {cuda::make_runtimes, cuda::what_is_missing});
  install_devices(DeviceType::kHip, {hip::make_runtimes, hip::what_is_missing});
#if FLASH_WITH_VULKAN
  install_devices(DeviceType::kVulkan,
                  {.open = vulkan::make_runtimes, .missing = vulkan::what_is_missing});
#endif
  const bool validate = env::get_int(Env::kValidate) != 0;
  for (const auto make :
       {jit::make_fusing_evaluator, jit::make_eager_evaluator, jit::make_interpreting_evaluator})
    install_evaluator(validate ? jit::make_validating_evaluator(make()) : make());
}

}  // namespace flash
