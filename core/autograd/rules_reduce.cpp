// core/autograd/rules_reduce.cpp -- gradients of reductions
#include "core/autograd/rules.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"

namespace flash::autograd::vjp {
namespace {

// Attributes of a reduction: [mask of axes, keepdim].
Shape reduced_dims(BackwardCall& c) {
  Shape dims;
  for (int d = 0; d < kMaxRank; ++d)
    if ((c.word(0) >> d) & 1) dims.push_back(d);
  return dims;
}

/// A result of the reduction, with the reduced dimensions as size 1.
Tensor kept(BackwardCall& c, const Tensor& t) {
  if (c.word(1)) return t;
  Shape s = c.input_shape(0);
  for (std::int64_t d : reduced_dims(c)) s[static_cast<int>(d)] = 1;
  return t.reshape(s);
}

}  // namespace

void sum(BackwardCall& c) { c.give(0, kept(c, c.grad()).expand(c.input_shape(0))); }

// The product of the other factors; a zero's is the product of all non-zeros if it is the only one.
void prod(BackwardCall& c) {
  const Tensor x = c.saved(0);
  const Shape dims = reduced_dims(c);
  const Tensor is_zero = eq(x, 0);
  const Tensor safe = flash::where(is_zero, 1.0, x);
  const Tensor rest = flash::prod(safe, dims, true);
  const Tensor zeros = flash::sum(is_zero.to(x.dtype()), dims, true);
  const Tensor at_zero = flash::where(logical_and(is_zero, eq(zeros, 1)), rest, 0.0);
  c.give(0, kept(c, c.grad()) * flash::where(eq(zeros, 0), rest / safe, at_zero));
}

// amax, amin: equal extremes share the gradient.
void extreme(BackwardCall& c) {
  const Tensor x = c.saved(0);
  const Tensor hit = eq(x, kept(c, c.saved(kOutputSlot))).to(x.dtype());
  c.give(0, hit * (kept(c, c.grad()) / flash::sum(hit, reduced_dims(c), true)));
}

}  // namespace flash::autograd::vjp
