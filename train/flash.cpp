// train/flash.cpp -- the one place that knows all folders: installs devices and evaluators
#include "core/device.h"
#include "core/env.h"
#include "core/evaluator.h"
#include "jit/evaluators/jit_evaluator.h"
#include "jit/evaluators/validating_evaluator.h"
#include "kernels/cpu/runtime.h"
#include "kernels/null/runtime.h"

namespace flash {

void install_all() {
  install_runtime(std::make_unique<cpu::CpuRuntime>());
  install_runtime(std::make_unique<null::NullRuntime>());
  const bool validate = env::get_int(Env::kValidate) != 0;
  for (const auto make :
       {jit::make_fusing_evaluator, jit::make_eager_evaluator, jit::make_interpreting_evaluator})
    install_evaluator(validate ? jit::make_validating_evaluator(make()) : make());
}

}  // namespace flash
