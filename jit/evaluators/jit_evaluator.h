// jit/evaluators/jit_evaluator.h -- the evaluators that plan and compile: fusing, eager,
// interpreting
#pragma once

#include <memory>

#include "core/evaluator.h"

namespace flash::jit {

/// "fuse": fused kernels, the device's best code.
std::unique_ptr<Evaluator> make_fusing_evaluator();
/// "eager": one kernel an operation, the device's best code.
std::unique_ptr<Evaluator> make_eager_evaluator();
/// "interpret": one kernel an operation, run by the portable interpreter: the semantic reference.
std::unique_ptr<Evaluator> make_interpreting_evaluator();

}  // namespace flash::jit
