// train/flash.cpp -- the one place that knows all folders: installs devices and evaluators
#include "core/device.h"
#include "core/evaluator.h"
#include "jit/evaluators/jit_evaluator.h"
#include "kernels/cpu/runtime.h"
#include "kernels/null/runtime.h"

namespace flash {

void install_all() {
  install_runtime(std::make_unique<cpu::CpuRuntime>());
  install_runtime(std::make_unique<null::NullRuntime>());
  install_evaluator(jit::make_fusing_evaluator());
  install_evaluator(jit::make_eager_evaluator());
  install_evaluator(jit::make_interpreting_evaluator());
}

}  // namespace flash
