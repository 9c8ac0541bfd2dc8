// jit/cache/key.h -- what two traces must share to run by one plan
#pragma once

#include "core/evaluator.h"
#include "jit/ir/kernel.h"

namespace flash::jit {

using PlanKey = ir::Key;

struct KeyHash {
  std::size_t operator()(const ir::Key& k) const { return static_cast<std::size_t>(k.lo); }
};

/// Hashes, for each node: op, dtype, rank, inputs as distances, size-1 flags, static attributes,
/// the stride classes of views, and whether it is live, soft-live or dying. Never sizes, strides,
/// scalars, seeds or labels: those are read when the plan is bound.
PlanKey plan_key(const EvaluationRequest& request);

}  // namespace flash::jit
