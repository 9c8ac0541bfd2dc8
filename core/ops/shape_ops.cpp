// core/ops/shape_ops.cpp -- joining tensors: writes into views of one new storage
#include "core/ops/shape_ops.h"

#include <algorithm>

#include "core/autograd/autograd.h"
#include "core/autograd/hooks.h"
#include "core/autograd/tape.h"
#include "core/ops/checks.h"
#include "core/ops/create.h"
#include "core/ops/elementwise.h"
#include "core/ops/iota.h"

namespace flash {
namespace {

// Words: the dimension, then size along it and dtype of each input. One node for all of them: as
// writes into views, each would be told apart from all others in a gradient of the whole's size.
void cat_vjp(autograd::BackwardCall& c) {
  const int dim = static_cast<int>(c.word(0));
  std::int64_t at = 0;
  for (int i = 0; 2 * i + 1 < static_cast<int>(c.words().size()); ++i) {
    const std::int64_t size = c.word(2 * i + 1);
    if (c.needs(i))
      c.give(i, c.grad().narrow(dim, at, size).to(static_cast<DType>(c.word(2 * i + 2))));
    at += size;
  }
}
const autograd::Rule kCat{.name = "cat", .vjp = cat_vjp};

}  // namespace

Tensor cat(const std::vector<Tensor>& tensors, int dim) {
  if (tensors.empty()) throw ValueError("cat: no tensors given");
  for (const Tensor& t : tensors) check_defined(t, "cat");
  // As in PyTorch, a tensor of shape [0] fits all others: what a loop begins with that appends.
  const auto is_nothing = [](const Tensor& t) { return t.shape() == Shape{0}; };
  const auto given = std::find_if_not(tensors.begin(), tensors.end(), is_nothing);
  const Shape first = (given == tensors.end() ? tensors.front() : *given).shape();
  const int d = normalize_dim(dim, first.rank(), "cat");
  if (first.rank() == 0) throw ShapeError("cat: 0-d tensors cannot be joined; use stack()");
  Shape shape = first;
  shape[d] = 0;
  DType dtype = tensors[0].dtype();
  for (const Tensor& t : tensors) {
    if (t.device() != tensors[0].device()) refuse_devices(tensors[0], t, "cat");
    dtype = promote(dtype, t.dtype());
    if (is_nothing(t)) continue;
    if (t.dim() != first.rank())
      throw ShapeError("cat: shapes " + first.str() + " and " + t.shape().str() +
                       " differ in rank");
    Shape with = t.shape();
    with[d] = first[d];
    if (with != first)
      throw ShapeError("cat: shapes " + first.str() + " and " + t.shape().str() +
                       " differ outside of dimension " + std::to_string(d));
    if (__builtin_add_overflow(shape[d], t.size(d), &shape[d]))
      throw ShapeError("cat: the tensors have more elements than a 64-bit count holds");
  }
  if (tensors.size() > autograd::kMostJoined) {  // in two halves, which are joined then
    const auto middle = tensors.begin() + static_cast<std::ptrdiff_t>(tensors.size() / 2);
    return cat({cat({tensors.begin(), middle}, dim), cat({middle, tensors.end()}, dim)}, dim);
  }
  std::vector<std::int64_t> words{d};
  std::vector<Tensor> parts;
  bool on_tape = false;
  Tensor out;
  {
    const NoGrad guard;
    out = full(shape, 0, {.dtype = dtype, .device = tensors[0].device()});
    std::int64_t at = 0;
    for (const Tensor& t : tensors) {
      if (is_nothing(t)) continue;
      out.narrow(d, at, t.size(d)).copy_(t);
      at += t.size(d);
      words.insert(words.end(), {t.size(d), static_cast<std::int64_t>(t.dtype())});
      parts.push_back(t);
    }
  }
  for (const Tensor& t : parts) on_tape = on_tape || autograd::tracks(t);
  if (on_tape) autograd::record_join(kCat, parts, out, words);
  return out;
}

Tensor stack(const std::vector<Tensor>& tensors, int dim) {
  if (tensors.empty()) throw ValueError("stack: no tensors given");
  std::vector<Tensor> with;
  const int d = normalize_dim(dim, tensors[0].dim() + 1, "stack");
  for (const Tensor& t : tensors) {
    if (t.shape() != tensors[0].shape())
      throw ShapeError("stack: shapes " + tensors[0].shape().str() + " and " + t.shape().str() +
                       " differ; cat() joins along a dimension that is there");
    with.push_back(t.unsqueeze(d));
  }
  return cat(with, d);
}

std::vector<Tensor> split(const Tensor& x, std::int64_t size, int dim) {
  const int d = normalize_dim(dim, x.dim(), "split");
  if (size < 1)
    throw ValueError("split: the size of a piece must be at least 1, not " + std::to_string(size));
  std::vector<Tensor> out;
  for (std::int64_t at = 0; at < x.size(d); at += size) out.push_back(x.slice(d, at, at + size));
  if (out.empty()) out.push_back(x);
  return out;
}

std::vector<Tensor> chunk(const Tensor& x, int chunks, int dim) {
  if (chunks < 1)
    throw ValueError("chunk: at least one chunk is wanted, not " + std::to_string(chunks));
  const int d = normalize_dim(dim, x.dim(), "chunk");
  return split(x, std::max<std::int64_t>(1, (x.size(d) + chunks - 1) / chunks), d);
}

Tensor broadcast_to(const Tensor& x, const Shape& shape) { return x.expand(shape); }

Tensor pad(const Tensor& x, const Shape& widths, Scalar value) {
  if (widths.rank() % 2 != 0 || widths.rank() / 2 > x.dim())
    throw ShapeError("pad: " + widths.str() +
                     " must hold pairs {left, right} for the last dimensions of " +
                     x.shape().str());
  Shape shape = x.shape();
  for (int i = 0; i < widths.rank(); ++i) {
    if (widths[i] < 0) throw ValueError("pad: widths must not be negative: " + widths.str());
    std::int64_t& size = shape[x.dim() - 1 - i / 2];
    if (__builtin_add_overflow(size, widths[i], &size))
      throw ShapeError("pad: " + x.shape().str() + " with widths " + widths.str() +
                       " has more elements than a 64-bit count holds");
  }
  Tensor out = full(shape, value, {.dtype = x.dtype(), .device = x.device()});
  Tensor inner = out;
  for (int i = 0; i < widths.rank() / 2; ++i) {
    const int d = x.dim() - 1 - i;
    inner = inner.narrow(d, widths[2 * i], x.size(d));
  }
  inner.copy_(x);
  return out;
}

Tensor one_hot(const Tensor& index, std::int64_t classes, DType dtype) {
  if (!is_integral(check_defined(index, "one_hot").dtype()))
    throw DTypeError("one_hot: the index must be an integer tensor");
  if (classes < 1) throw ValueError("one_hot: at least one class is wanted");
  return eq(index.unsqueeze(-1), iota_on(classes, index.device())).to(dtype);
}

}  // namespace flash
