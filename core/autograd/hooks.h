// core/autograd/hooks.h -- the calls by which core reaches the tape
#pragma once

#include <span>

#include "core/ops/bind.h"

namespace flash::autograd {

/// Called by bind() after recording when the tape is on and an input requires a gradient: puts the
/// primitive's VJP (from the rule table) on the tape and makes `output` its result.
void record(Prim op, std::span<const Tensor* const> inputs, Attrs attrs, Tensor& output);

/// What a view method did to its base; enough to write its gradient with public operations.
struct ViewOp {
  enum Kind : std::uint8_t {
    kReshape,    // same row-major order (view, flatten, squeeze, unsqueeze …)
    kPermute,    // a: the dimensions of base, in the view's order
    kExpand,     // broadcast to the view's shape
    kSlice,      // dim, start, step (negative: flipped); length is the view's
    kSelect,     // dim, start = index
    kUnfold,     // dim, size, step
    kAsStrided,  // a: strides, start: offset, both relative to the storage
    kDetach,     // no gradient
  } kind;
  int dim = 0;
  std::int64_t start = 0, step = 1, size = 0;
  Shape a;
};

/// Called after a view of `base` was made.
void record_view(const Tensor& base, Tensor& view, const ViewOp& op);

/// Called by in-place operations before they change anything: throws AutogradError if `target` is a
/// leaf that requires a gradient, or a view of one, while the tape is on.
void check_writable(const Tensor& target, const char* op);

/// Called by in-place operations: `target` (maybe a view) now holds `value`, the result of an
/// out-of-place operation that is on the tape already. Rebases the history of target and of its
/// base.
void record_inplace(Tensor& target, const Tensor& value);

/// True if the tape is on and `t`, or one of several, takes part in it.
bool tracks(const Tensor& t);
bool tracks_any(std::span<const Tensor* const> tensors);
inline bool tracks_any(std::initializer_list<const Tensor*> tensors) {
  return tracks_any(std::span(tensors.begin(), tensors.size()));
}

}  // namespace flash::autograd
