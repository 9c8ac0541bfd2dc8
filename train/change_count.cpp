// train/change_count.cpp -- counts that forget a change which failed
#include "train/change_count.h"

#include "core/tensor_impl.h"

namespace flash {
namespace {

std::uint32_t undone(const Tensor& t) { return t.defined() ? t.impl()->cell->undone : 0; }

}  // namespace

// One change waits at most: of several, of which one fails, the tensor has no value any more.
std::int64_t ChangeCount::value(const Tensor& t) const {
  return undone(t) == undone_ ? count_ : count_ - last_;
}
void ChangeCount::add(const Tensor& t, std::int64_t by) {
  count_ = value(t) + by;
  last_ = by;
  undone_ = undone(t);
}
void ChangeCount::set(const Tensor& t, std::int64_t count) {
  count_ = count;
  last_ = 0;
  undone_ = undone(t);
}

}  // namespace flash
