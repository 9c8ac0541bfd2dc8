// jit/plan/plan.h -- a plan: steps, buffers and how to bind them to a trace with the plan's key
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/evaluator.h"
#include "jit/cache/key.h"
#include "jit/fuse/build.h"

namespace flash::jit {

/// A compiled kernel and how to call it. `split` is there if its reductions can be cut in parts.
struct PlannedKernel {
  std::shared_ptr<LoadedKernel> whole, split;
  BindSpec spec;
  ir::Form form = ir::Form::kRow;
  std::vector<ir::Role> roles;
  bool reduces = false;
  ir::Key code;  ///< equal for kernels that are the same code
};

/// A strided operand of a leaf kernel.
struct LeafOperand {
  NodeId node = kNoNode;  ///< the value in memory
  NodeId view = kNoNode;  ///< the view it is read through
};

struct Step {
  NodeId leaf = kNoNode;  ///< the leaf node, or kNoNode for a fused kernel
  /// Not a kernel: the leaf nodes whose indices, the one operand, are checked here. All of them
  /// read rows of as many.
  std::vector<NodeId> checked;
  std::vector<LeafOperand> operands;  ///< of the leaf
  std::unique_ptr<PlannedKernel>
      kernel;                    ///< the fused kernel, or the leaf's epilogue (may be null)
  NodeId update_base = kNoNode;  ///< copied into the update's buffer before the kernel runs
  NodeId update = kNoNode;
  int batch = -1;  ///< consecutive steps of one batch are one launch
};

/// Where a stored value lies. Values that share memory (an update in place, a leaf's raw output
/// under its epilogue) share a slot.
struct Slot {
  std::vector<NodeId> nodes;
  int live = -1;            ///< index of the live value, or -1: a temporary in the arena
  NodeId donor = kNoNode;   ///< a dying input whose buffer is reused
  int first = 0, last = 0;  ///< steps
};

struct Plan {
  std::string label;  ///< for messages
  std::vector<Step> steps;
  std::vector<Slot> slots;
  std::vector<int> slot_of;  ///< node → slot, -1: not stored

  // Where temporaries lie for the sizes seen last; another size makes a new layout.
  struct Layout {
    std::vector<std::int64_t> sizes;    ///< by slot; 0 in a donor's memory
    std::vector<std::int64_t> offsets;  ///< of temporaries in the arena
    std::vector<int> hosts;             ///< the result's slot that a temporary lies in; -1: none
    std::int64_t bytes = 0;             ///< of the arena
  };
  std::mutex mutex;  // guards layout
  std::shared_ptr<const Layout> layout;
  std::unique_ptr<Recording> recording;  // the device's own; it may name kernels of the steps
};

/// A kernel of a plan, and where its code goes.
struct WantedKernel {
  ir::Kernel kernel;
  std::shared_ptr<LoadedKernel>* into;
};
/// Looks kernels up by their code, or loads them.
class KernelSource {
 public:
  virtual ~KernelSource() = default;
  /// All of a plan's at once: what is new may be compiled side by side. Throws what loading does.
  virtual void load(std::vector<WantedKernel> wanted) = 0;
};

/// Normalises, fuses, schedules and compiles. Nothing is allocated or run.
std::shared_ptr<Plan> make_plan(const EvaluationRequest& request, bool fuse, DeviceRuntime& device,
                                KernelSource& kernels);

/// Makes what run_plan() keeps for a thread.
void prepare_run();

/// Allocates and binds everything, then runs. Fills the live results, or throws and leaves none.
void run_plan(Plan& plan, const EvaluationRequest& request, DeviceRuntime& device,
              Progress& progress);

}  // namespace flash::jit
