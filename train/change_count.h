// train/change_count.h -- a number on the host that goes with a tensor which is changed in place
#pragma once

#include <cstdint>

#include "../core/export.h"
#include "../core/tensor.h"

namespace flash {

/// A change can fail after it was recorded, for an index out of range; the tensor then has the
/// value of before, and what was counted with the change does not count.
class FLASH_API ChangeCount {
 public:
  /// Counts `by` for the change of `t` that was just recorded. `t` may be undefined: then all
  /// count.
  void add(const Tensor& t, std::int64_t by = 1);
  void set(const Tensor& t, std::int64_t count);
  /// Final once the last change has been computed.
  std::int64_t value(const Tensor& t) const;

 private:
  std::int64_t count_ = 0, last_ = 0;
  std::uint32_t undone_ = 0;  // of the tensor's changes, when the last one was counted
};

}  // namespace flash
