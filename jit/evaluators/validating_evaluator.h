// jit/evaluators/validating_evaluator.h -- an evaluator that is compared with all others
#pragma once

#include <memory>

#include "core/evaluator.h"

namespace flash::jit {

/// Evaluates with `checked`, and on the CPU also with the interpreter, with one kernel an operation
/// and with fused kernels that don't take the memory of inputs. Values whose bits differ (NaNs
/// being alike) are an InternalError that names the operation and the element; what was flushed is
/// lost then. Takes four times the memory of a flush, and the time of the interpreter.
std::unique_ptr<Evaluator> make_validating_evaluator(std::unique_ptr<Evaluator> checked);

}  // namespace flash::jit
