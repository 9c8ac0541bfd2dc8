// core/autograd/rules_reduce.cpp -- gradients of reductions
#include <algorithm>
#include <vector>

#include "core/autograd/autograd.h"
#include "core/autograd/rules.h"
#include "core/ops/create.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"
#include "core/ops/shape_ops.h"

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

/// For each element of x [rows, n] the product of the others in its row: pairs are multiplied up a
/// tree, and down it everything is multiplied by what its sibling holds. Nothing is divided, so
/// derivatives of every order are right at zeros as well.
Tensor others_in_rows(const Tensor& x) {
  std::vector<Tensor> levels;  // [rows, pairs, 2]
  Tensor products = x;
  while (products.size(1) > 1) {
    const std::int64_t n = products.size(1);
    const Tensor even = n % 2 ? pad(products, {0, 1}, 1) : products;
    levels.push_back(even.unflatten(1, {(n + 1) / 2, 2}));
    products = levels.back().select(2, 0) * levels.back().select(2, 1);
  }
  Tensor others = ones_like(products);
  for (std::size_t i = levels.size(); i-- > 0;) {
    const Tensor above = others.slice(1, 0, levels[i].size(1)).unsqueeze(2);
    others = (above * levels[i].flip(2)).flatten(1);
  }
  return others.slice(1, 0, x.size(1));
}

/// The same for the elements that are reduced together.
Tensor differentiable_others(const Tensor& x, const Shape& dims) {
  std::vector<int> order, back(static_cast<std::size_t>(x.dim()));
  std::int64_t n = 1;
  for (int d = 0; d < x.dim(); ++d)
    if (std::find(dims.begin(), dims.end(), d) == dims.end()) order.push_back(d);
  for (const std::int64_t d : dims) {
    order.push_back(static_cast<int>(d));
    n *= x.size(static_cast<int>(d));
  }
  for (std::size_t i = 0; i < order.size(); ++i)
    back[static_cast<std::size_t>(order[i])] = static_cast<int>(i);
  if (x.numel() == 0) return x;
  const Tensor wide = is_half(x.dtype()) ? x.to(DType::kF32) : x;
  const Tensor rows = wide.permute(order);
  return others_in_rows(rows.reshape({x.numel() / n, n}))
      .reshape(rows.shape())
      .permute(back)
      .to(x.dtype());
}

}  // namespace

void sum(BackwardCall& c) { c.give(0, kept(c, c.grad()).expand(c.input_shape(0))); }

// The product of the other factors; a zero's is the product of all non-zeros if it is the only one.
// That takes one reduction and a division, but as a function of x it is not right at zeros: where
// it is differentiated itself, another way is taken.
void prod(BackwardCall& c) {
  const Tensor x = c.saved(0);
  const Shape dims = reduced_dims(c);
  if (grad_enabled() && x.requires_grad()) {
    c.give(0, kept(c, c.grad()) * differentiable_others(x, dims));
    return;
  }
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
