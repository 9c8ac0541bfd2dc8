// core/autograd/meta.h -- the autograd state of a tensor: which node of the tape made it
//
// A tensor that takes part in the tape names a node and one of its outputs. Leaves have a node of
// their own, where their gradient is gathered, so that any handle to a leaf finds the same grad().
// A view also names the tensor that owns the storage: when that is changed in place, the view's
// history is made again from it (see record_inplace).
#pragma once

#include "core/tensor_impl.h"
#include "tape.h"

namespace flash {

struct AutogradMeta {
  Ref<autograd::TapeNode> node;  ///< null: has no history
  std::uint32_t output = 0;
  /// Of the owner of a storage: counts changes of its history. Of a view: the owner's count when
  /// `node` was taken from it.
  std::uint32_t generation = 0;
  Ref<TensorImpl> owner;  ///< for views

  static void* operator new(std::size_t size);
  static void operator delete(void* p);
};

namespace autograd {

/// Which output of which node a tensor is. The node is null for tensors outside of the tape.
struct History {
  TapeNode* node = nullptr;
  std::uint32_t output = 0;
};

/// Brings a view's history up to date and returns it, also that of a leaf that wants no gradient.
History any_history_of(const TensorImpl& t);
inline History history_of(const Tensor& t) {
  if (!t.defined() || !t.impl()->grad) return {};
  const History h = any_history_of(*t.impl());
  return h.node && h.node->active() ? h : History{};
}

/// The tensor's state, made when there is none.
AutogradMeta& meta_of(TensorImpl& t);
void set_history(TensorImpl& t, Ref<TapeNode> node, std::uint32_t output);

/// Makes the history of a view again from that of the storage's owner (inplace.cpp).
void refresh_view(const TensorImpl& view, AutogradMeta& meta);

/// Another handle to the same values, outside of the tape.
TensorImpl* alias(const TensorImpl& t);

}  // namespace autograd
}  // namespace flash
