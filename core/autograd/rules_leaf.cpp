// core/autograd/rules_leaf.cpp -- gradients of contractions, pools and row gathers
#include <algorithm>
#include <limits>

#include "core/autograd/rules.h"
#include "core/ops/create.h"
#include "core/ops/elementwise.h"
#include "core/ops/iota.h"
#include "core/ops/linalg.h"
#include "core/ops/reduce.h"
#include "core/ops/shape_ops.h"

namespace flash::autograd::vjp {
namespace {

Tensor swapped(const Tensor& t) { return t.transpose(-2, -1); }

bool one_batch(const Shape& s) {
  for (int i = 0; i + 2 < s.rank(); ++i)
    if (s[i] != 1) return false;
  return true;
}

/// All rows of a stack of matrices.
Tensor rows(const Tensor& t) {
  if (t.dim() == 2) return t;
  std::int64_t n = 1;
  for (int i = 0; i + 1 < t.dim(); ++i) n *= t.size(i);
  return t.reshape({n, t.size(-1)});
}

/// a·b, laid out in memory as its transpose if `column_major`: when the operand was a transposed
/// view, the view's own gradient then gives the stored matrix's without a copy.
Tensor product(const Tensor& a, const Tensor& b, bool column_major) {
  return column_major ? swapped(flash::matmul(swapped(b), swapped(a))) : flash::matmul(a, b);
}

Tensor bind_leaf(Prim op, const Tensor& a, const Tensor& b, Attrs attrs, const Shape& shape) {
  const Tensor* in[] = {&a, &b};
  return bind(op, in, attrs, &shape, a.dtype(), a.device());
}

/// The leading attributes, followed by sizes 2 and 3 of `shape`.
std::vector<std::int64_t> with_sizes(BackwardCall& c, int leading, const Shape& shape) {
  std::vector<std::int64_t> a(c.words().begin(), c.words().begin() + leading);
  a.push_back(shape[2]);
  a.push_back(shape[3]);
  return a;
}

Conv2dOptions conv_options(BackwardCall& c) {
  return {c.word(0), c.word(1), c.word(2), c.word(3), c.word(4), c.word(5), c.word(6)};
}
Pool2dOptions pool_options(BackwardCall& c) {
  return {c.word(0), c.word(1), c.word(2), c.word(3), c.word(4), c.word(5), c.word(6) != 0};
}
Attrs leading(BackwardCall& c, int n) { return c.words().first(static_cast<std::size_t>(n)); }

}  // namespace

void matmul(BackwardCall& c) {
  const Tensor& g = c.grad();
  if (c.needs(0))
    c.give(0, sum_to(product(g, swapped(c.saved(1)), c.input_transposed(0)), c.input_shape(0)));
  if (c.needs(1)) {
    const Tensor a = c.saved(0);
    const Shape shape = c.input_shape(1);
    if (one_batch(shape))
      c.give(1, product(swapped(rows(a.expand([&] {
                          Shape s = g.shape();
                          s[s.rank() - 1] = a.size(-1);
                          return s;
                        }()))),
                        rows(g), c.input_transposed(1))
                    .reshape(shape));
    else
      c.give(1, sum_to(product(swapped(a), g, c.input_transposed(1)), shape));
  }
  if (c.node().edges().size() > 2 && c.needs(2)) c.give(2, sum_to(g, c.input_shape(2)));
}

void conv2d(BackwardCall& c) {
  const Tensor& g = c.grad();
  if (c.needs(0)) {
    const Shape s = c.input_shape(0);
    c.give(0, bind_leaf(Prim::kConv2dDx, g, c.saved(1), with_sizes(c, kConvAttrs, s), s));
  }
  if (c.needs(1)) {
    const Shape s = c.input_shape(1);
    c.give(1, bind_leaf(Prim::kConv2dDw, g, c.saved(0), with_sizes(c, kConvAttrs, s), s));
  }
  if (c.node().edges().size() > 2 && c.needs(2)) c.give(2, flash::sum(g, {0, 2, 3}));
}
// (dy, w) → dx: linear in both.
void conv2d_dx(BackwardCall& c) {
  const Tensor& h = c.grad();
  if (c.needs(0)) c.give(0, flash::conv2d(h, c.saved(1), {}, conv_options(c)));
  if (c.needs(1)) {
    const Shape s = c.input_shape(1);
    c.give(1, bind_leaf(Prim::kConv2dDw, c.saved(0), h, with_sizes(c, kConvAttrs, s), s));
  }
}
// (dy, x) → dw: linear in both.
void conv2d_dw(BackwardCall& c) {
  const Tensor& h = c.grad();
  if (c.needs(0)) c.give(0, flash::conv2d(c.saved(1), h, {}, conv_options(c)));
  if (c.needs(1)) {
    const Shape s = c.input_shape(1);
    c.give(1, bind_leaf(Prim::kConv2dDx, c.saved(0), h, with_sizes(c, kConvAttrs, s), s));
  }
}

void max_pool2d(BackwardCall& c) {
  c.give(0, bind_leaf(Prim::kMaxPool2dDx, c.grad(), c.saved(0), leading(c, kPoolAttrs),
                      c.input_shape(0)));
}
// (dy, x) → dx. Linear in dy: its gradient picks h where each window's first maximum is. x only
// chooses, and gets none.
void max_pool2d_dx(BackwardCall& c) {
  if (c.needs(0)) {
    const Pool2dOptions o = pool_options(c);
    const auto windows = [&](const Tensor& t, double outside) {
      const Tensor w = flash::pad(t, {o.padding_w, o.padding_w, o.padding_h, o.padding_h}, outside)
                           .unfold(2, o.kernel_h, o.stride_h)
                           .unfold(3, o.kernel_w, o.stride_w);
      return w.reshape({w.size(0), w.size(1), w.size(2), w.size(3), o.kernel_h * o.kernel_w});
    };
    const Tensor first =
        argmax(windows(c.saved(1), -std::numeric_limits<double>::infinity()), -1, true);
    const Tensor hit = eq(first, iota_on(o.kernel_h * o.kernel_w, first.device()));
    c.give(0, flash::sum(flash::where(hit, windows(c.grad(), 0.0), 0.0), {-1}));
  }
  if (c.needs(1)) c.give(1, zeros_like(c.grad()));
}

void avg_pool2d(BackwardCall& c) {
  const Shape s = c.input_shape(0);
  const Tensor* in[] = {&c.grad()};
  c.give(0, bind(Prim::kAvgPool2dDx, in, with_sizes(c, kPoolAttrs, s), &s, c.grad().dtype(),
                 c.grad().device()));
}
void avg_pool2d_dx(BackwardCall& c) { c.give(0, flash::avg_pool2d(c.grad(), pool_options(c))); }

void gather_rows(BackwardCall& c) {
  const Shape s = c.input_shape(0);
  const std::int64_t rows = s[0];
  c.give(0, bind_leaf(Prim::kScatterAddRows, c.grad(), c.saved(1), {&rows, 1}, s));
}
void scatter_add_rows(BackwardCall& c) { c.give(0, embedding(c.saved(1), c.grad())); }

}  // namespace flash::autograd::vjp
