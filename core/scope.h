// core/scope.h -- labels: which part of a program, or which composite region, an operation belongs
// to
//
// Nodes recorded while a Scope lives carry its label; kernels, statistics and errors show it.
// Composite operations (softmax, norms, losses) open one, so that their region stays marked in the
// trace.
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

/// Id of this thread's current label; 0 when there is none.
std::uint16_t current_scope();
/// The text of a label id.
FLASH_API std::string_view scope_name(std::uint16_t id);

}  // namespace flash
