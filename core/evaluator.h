// core/evaluator.h -- seam 1: a recorded trace goes in, values come out
//
// An Evaluator makes the values of a trace's live nodes. The fusing one is the default; the eager
// one runs one operation at a time; the interpreting one is the portable reference. Others may ship
// the trace elsewhere. None of them is seen by user code.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "export.h"
#include "trace.h"

namespace flash {

/// A node whose value must exist after the flush.
struct LiveOut {
  NodeId node = kNoNode;
  bool soft = false;   ///< only the tape keeps it
  Ref<Buffer> result;  ///< to be filled in by the evaluator
};

struct EvaluationRequest {
  const Trace& trace;
  std::size_t count;        ///< nodes [0, count) take part
  std::span<LiveOut> live;  ///< in order of node
  std::span<const char>
      dying;  ///< by node: a kInput whose buffer nobody needs afterwards; may be reused
  FlushReason reason;
};

/// How far an evaluation came, for what to do about one that throws.
struct Progress {
  bool started = false;  ///< false: nothing has been launched, and it may be tried again as it is
  /// Nodes that cannot be evaluated, for an index is out of range. If there are any, no value that
  /// was there before has been overwritten.
  std::vector<NodeId> failed;
};

class FLASH_API Evaluator {
 public:
  virtual ~Evaluator() = default;
  virtual std::string_view name() const = 0;
  /// Fills in every result, or throws; `progress` says what is lost then.
  virtual void evaluate(const EvaluationRequest& request, Progress& progress) = 0;
  /// Called on a thread before it records anything. Thread-local objects that an evaluation uses
  /// are made here: what a thread leaves pending is evaluated when it ends, and so they must be
  /// destroyed after its traces, that is, made before them.
  virtual void prepare_thread() {}

  // For people who look inside; an evaluator may leave them out.
  /// For each node the kernel that it would run in, -1: computed or read where it is needed, -2:
  /// not needed. Empty if it cannot say.
  virtual std::vector<std::int32_t> kernels_of(const EvaluationRequest&) { return {}; }
  /// What flash::explain_last_compile() says.
  virtual std::string explain_last_compile() {
    return "the evaluator '" + std::string(name()) + "' compiles nothing";
  }
};

/// The evaluator of this process: FLASH_EVALUATOR's choice among those installed, by default
/// "fuse".
FLASH_API Evaluator& evaluator();
FLASH_API void install_evaluator(std::unique_ptr<Evaluator> e);
/// Chooses by name ("fuse", "eager", "interpret"); throws ValueError naming those installed.
FLASH_API void set_evaluator(std::string_view name);

/// Defined by flash.cpp, which alone knows all folders: installs every device and evaluator there
/// is.
void install_all();
/// Prepares this thread for every evaluator and device; see Evaluator::prepare_thread.
void prepare_thread();
/// Calls install_all() once, on first use.
void ensure_installed();

}  // namespace flash
