// core/scope.h -- what nodes are marked with while they are recorded: a label, and the pass of a
// training step
//
// Nodes recorded while a Scope lives carry its label; kernels, statistics and errors show it. One
// within another is a path: "encoder/softmax". Composite operations (softmax, norms, losses) open
// one, so that their region stays marked in the trace.
#pragma once

#include <cstdint>
#include <string_view>

#include "export.h"

namespace flash {

class FLASH_API Scope {
 public:
  explicit Scope(std::string_view label);
  ~Scope();
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

 private:
  std::uint16_t before_;
};

/// The part of a training step that a node belongs to.
enum class Pass : std::uint8_t {
  kForward,
  kBackward,
  kAgain  ///< in the backward pass, from what the forward pass kept instead of its result: computed
          ///< with that pass, it would have to be stored in between after all
};

/// Nodes recorded while one lives belong to this pass.
class PassScope {
 public:
  explicit PassScope(Pass pass);
  ~PassScope();
  PassScope(const PassScope&) = delete;
  PassScope& operator=(const PassScope&) = delete;

 private:
  Pass before_;
};

/// What this thread records at the moment.
struct NodeMarks {
  std::uint16_t scope = 0;  ///< id of the label; 0 when there is none
  Pass pass = Pass::kForward;
};
NodeMarks current_marks();
/// The text of a label id.
FLASH_API std::string_view scope_name(std::uint16_t id);

}  // namespace flash
