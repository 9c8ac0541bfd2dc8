// jit/evaluators/jit_evaluator.h -- the evaluators that plan and compile: fusing, eager,
// interpreting
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "core/evaluator.h"

namespace flash::jit {

/// How a trace is planned, compiled and remembered.
struct EvaluatorOptions {
  std::string_view name = "fuse";  ///< a literal: it is not copied
  bool fuse = true;                ///< false: one operation a kernel
  CodeKind code = CodeKind::kBest;
  std::size_t plans = 1024;    ///< kept at most
  std::size_t kernels = 8192;  ///< kept at most
};
std::unique_ptr<Evaluator> make_evaluator(const EvaluatorOptions& options);

/// "fuse": fused kernels, the device's best code.
std::unique_ptr<Evaluator> make_fusing_evaluator();
/// "eager": one kernel an operation, the device's best code.
std::unique_ptr<Evaluator> make_eager_evaluator();
/// "interpret": one kernel an operation, run by the portable interpreter: the semantic reference.
std::unique_ptr<Evaluator> make_interpreting_evaluator();

}  // namespace flash::jit
