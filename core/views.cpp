// core/views.cpp -- views: new index maps over the same storage; nothing is computed or copied
#include <algorithm>

#include "core/autograd/hooks.h"
#include "core/ops/bind.h"
#include "core/tensor_impl.h"
#include "core/thread_traces.h"

namespace flash {
namespace {

using autograd::ViewOp;

Tensor make(const Tensor& base, const Shape& shape, const Strides& strides, std::int64_t offset,
            ViewKind kind, std::uint64_t dims, const ViewOp& op) {
  Tensor v = Tensor::adopt(TensorImpl::make_view(*base.impl(), shape, strides, offset, kind, dims));
  autograd::record_view(base, v, op);
  return v;
}

/// Strides that walk `shape` over the elements of (from, strides) in the same row-major order, if
/// strides can: the rule of torch.Tensor.view.
bool view_strides(const Shape& from, const Strides& strides, const Shape& shape, Strides& out) {
  out = shape;
  if (from.numel() == 0) {
    out = contiguous_strides(shape);
    return true;
  }
  int to = shape.rank() - 1;
  std::int64_t base = from.empty() ? 1 : strides.back();
  std::int64_t chunk = 1,
               covered = 1;  // elements of the current memory run; of them, already in `out`
  for (int i = from.rank() - 1; i >= 0; --i) {
    chunk *= from[i];
    const bool run_ends = i == 0 || (from[i - 1] != 1 && strides[i - 1] != chunk * base);
    if (!run_ends) continue;
    while (to >= 0 && (covered < chunk || shape[to] == 1)) {
      out[to] = covered * base;
      covered *= shape[to];
      --to;
    }
    if (covered != chunk) return false;
    if (i > 0) {
      base = strides[i - 1];
      chunk = covered = 1;
    }
  }
  for (; to >= 0; --to) {
    if (shape[to] != 1) return false;
    out[to] = base;
  }
  return true;
}

Shape resolve(const Tensor& t, const Shape& shape, const char* op) {
  Shape s = shape, rest = shape;
  int unknown = -1;
  for (int i = 0; i < s.rank(); ++i) {
    if (s[i] == -1 && unknown < 0) {
      unknown = i;
      rest[i] = 1;
    } else if (s[i] < 0) {
      throw ShapeError(std::string(op) + ": shape " + shape.str() +
                       " has a negative size (one -1 is allowed)");
    }
  }
  check_shape(rest, op);
  const std::int64_t known = rest.numel();
  if (unknown >= 0 && known > 0 && t.numel() % known == 0) s[unknown] = t.numel() / known;
  if (unknown >= 0 && s[unknown] == -1 && known == 0 && t.numel() == 0)
    throw ShapeError(std::string(op) + ": the -1 of shape " + shape.str() +
                     " may be anything for no elements");
  if (s.numel() != t.numel() || (unknown >= 0 && s[unknown] < 0))
    throw ShapeError(std::string(op) + ": shape " + shape.str() + " does not hold the " +
                     std::to_string(t.numel()) + " elements of " + t.shape().str());
  return s;
}

/// The dims map of a reshape that only adds and drops dimensions of size 1; false for any other.
bool reshape_dims(const TensorImpl& t, const Shape& shape, std::uint64_t& dims) {
  if (t.view != ViewKind::kDims) return false;
  dims = 0;
  int from = 0;
  for (int i = 0; i < shape.rank(); ++i) {
    std::uint64_t d = kDimNone;
    if (shape[i] != 1) {
      while (from < t.shape.rank() && t.shape[from] == 1) ++from;
      if (from == t.shape.rank() || t.shape[from] != shape[i]) return false;
      d = static_cast<std::uint64_t>(dim_of(t.dims, from++));
    }
    dims |= d << (4 * i);
  }
  return true;
}

}  // namespace

Tensor Tensor::view(const Shape& want) const& {
  need(impl_);
  const Shape s = resolve(*this, want, "view");
  Strides st;
  if (!view_strides(impl_->shape, impl_->strides, s, st))
    throw ShapeError("view: shape " + s.str() + " cannot be laid over strides " + strides().str() +
                     " of shape " + shape().str() + "; use reshape() or contiguous()");
  std::uint64_t dims = 0;
  ViewKind kind = ViewKind::kStrided;
  if (s.numel() == 0)
    kind = ViewKind::kFlat;
  else if (reshape_dims(*impl_, s, dims))
    kind = ViewKind::kDims;
  else if (impl_->offset == 0 && impl_->numel() == impl_->cell->shape.numel() &&
           flash::is_contiguous(impl_->shape, impl_->strides))
    kind = ViewKind::kFlat;
  if (kind == ViewKind::kFlat && s == impl_->cell->shape && impl_->offset == 0) {
    kind = ViewKind::kDims;
    dims = dims_identity(s.rank());
  }
  return make(*this, s, st, impl_->offset, kind, dims, {.kind = ViewOp::kReshape, .a = {}});
}

Tensor Tensor::reshape(const Shape& want) const& {
  need(impl_);
  const Shape s = resolve(*this, want, "reshape");
  Strides st;
  if (!view_strides(impl_->shape, impl_->strides, s, st)) return contiguous().view(s);
  return view(s);
}

Tensor Tensor::flatten(int start, int end) const& {
  const int r = dim();
  if (r == 0) return reshape({1});
  start = normalize_dim(start, r, "flatten");
  end = normalize_dim(end, r, "flatten");
  if (start > end)
    throw ShapeError("flatten: start dimension " + std::to_string(start) + " is behind the end " +
                     std::to_string(end));
  Shape s;
  std::int64_t product = 1;
  for (int i = 0; i < r; ++i) {
    if (i < start || i > end) {
      s.push_back(impl_->shape[i]);
    } else {
      product *= impl_->shape[i];
      if (i == end) s.push_back(product);
    }
  }
  return reshape(s);
}

Tensor Tensor::unflatten(int d, const Shape& sizes) const& {
  d = normalize_dim(d, dim(), "unflatten");
  Shape s;
  for (int i = 0; i < dim(); ++i) {
    if (i != d) {
      s.push_back(impl_->shape[i]);
      continue;
    }
    Shape rest = sizes;
    for (int j = 0; j < rest.rank(); ++j)
      if (rest[j] == -1) rest[j] = 1;
    check_shape(rest, "unflatten");
    const std::int64_t known = rest.numel(), n = impl_->shape[i];
    const auto left_out = std::count(sizes.begin(), sizes.end(), -1);
    if (left_out > 1 || (left_out == 1 ? known == 0 || n % known != 0 : known != n))
      throw ShapeError("unflatten: dimension " + std::to_string(d) + " of size " +
                       std::to_string(n) + " cannot become " + sizes.str());
    for (std::int64_t x : sizes) s.push_back(x == -1 && known > 0 ? impl_->shape[i] / known : x);
  }
  return view(s);
}

Tensor Tensor::permute(std::span<const int> order) const& {
  const int r = dim();
  if (static_cast<int>(order.size()) != r)
    throw ShapeError("permute: " + std::to_string(order.size()) +
                     " dimensions given for a tensor of rank " + std::to_string(r));
  Shape s, a;
  Strides st;
  std::uint64_t dims = 0;
  unsigned seen = 0;
  for (int i = 0; i < r; ++i) {
    const int d = normalize_dim(order[static_cast<std::size_t>(i)], r, "permute");
    if (seen & (1u << d))
      throw ShapeError("permute: dimension " + std::to_string(d) + " is given twice");
    seen |= 1u << d;
    s.push_back(impl_->shape[d]);
    st.push_back(impl_->strides[d]);
    a.push_back(d);
    if (impl_->view == ViewKind::kDims)
      dims |= static_cast<std::uint64_t>(dim_of(impl_->dims, d)) << (4 * i);
  }
  const ViewKind kind = impl_->view == ViewKind::kDims ? ViewKind::kDims : ViewKind::kStrided;
  return make(*this, s, st, impl_->offset, kind, dims, {.kind = ViewOp::kPermute, .a = a});
}

Tensor Tensor::permute(std::initializer_list<int> d) const& {
  return permute(std::span<const int>(d.begin(), d.size()));
}

Tensor Tensor::transpose(int a, int b) const& {
  const int r = dim();
  a = normalize_dim(a, r, "transpose");
  b = normalize_dim(b, r, "transpose");
  if (r == 0) return permute(std::span<const int>());
  int order[kMaxRank];
  for (int i = 0; i < r; ++i) order[i] = i;
  std::swap(order[a], order[b]);
  return permute(std::span<const int>(order, static_cast<std::size_t>(r)));
}

Tensor Tensor::t() const& {
  if (dim() > 2)
    throw ShapeError("t: takes a matrix, not shape " + shape().str() + "; use transpose()");
  return dim() < 2 ? view(shape()) : transpose(0, 1);
}

Tensor Tensor::squeeze(int d) const& {
  d = normalize_dim(d, dim(), "squeeze");
  Shape s = shape();
  if (!s.empty() && s[d] == 1) s.erase(d);
  return view(s);
}

Tensor Tensor::squeeze() const& {
  Shape s;
  for (std::int64_t d : shape())
    if (d != 1) s.push_back(d);
  return view(s);
}

Tensor Tensor::unsqueeze(int d) const& {
  if (d < -dim() - 1 || d > dim())
    throw IndexError("unsqueeze: dim " + std::to_string(d) +
                     " is out of range for a tensor of rank " + std::to_string(dim()) + " (want " +
                     std::to_string(-dim() - 1) + " to " + std::to_string(dim()) + ")");
  if (d < 0) d += dim() + 1;
  Shape s = shape();
  s.insert(d, 1);
  return view(s);
}

Tensor Tensor::expand(const Shape& want) const& {
  const int r = dim(), n = want.rank();
  if (n < r)
    throw ShapeError("expand: shape " + want.str() + " has fewer dimensions than " + shape().str());
  Shape s = want;
  Strides st = want;
  std::uint64_t dims = 0;
  for (int i = 0; i < n; ++i) {
    const int d = i - (n - r);
    const std::int64_t have = d < 0 ? 1 : impl_->shape[d];
    if (s[i] == -1 && d >= 0) s[i] = have;
    if (s[i] < 0 || (have != 1 && s[i] != have))
      throw ShapeError("expand: shape " + shape().str() + " does not expand to " + want.str() +
                       " (dim " + std::to_string(i) + ": " + std::to_string(have) + " vs " +
                       std::to_string(want[i]) + ")");
    const bool grown = d < 0 || (have == 1 && s[i] != 1);
    st[i] = grown ? 0 : impl_->strides[d];
    const std::uint64_t from = grown || impl_->view != ViewKind::kDims
                                   ? kDimNone
                                   : static_cast<std::uint64_t>(dim_of(impl_->dims, d));
    dims |= from << (4 * i);
  }
  check_shape(s, "expand");
  const ViewKind kind = impl_->view == ViewKind::kDims ? ViewKind::kDims : ViewKind::kStrided;
  return make(*this, s, st, impl_->offset, kind, dims, {.kind = ViewOp::kExpand, .a = {}});
}

Tensor Tensor::select(int d, std::int64_t index) const& {
  if (dim() == 0) throw IndexError("select: a 0-d tensor has no dimension to index");
  d = normalize_dim(d, dim(), "select");
  const std::int64_t n = impl_->shape[d];
  const std::int64_t i = index < 0 ? index + n : index;
  if (i < 0 || i >= n)
    throw IndexError("select: index " + std::to_string(index) + " is out of range for dimension " +
                     std::to_string(d) + " of size " + std::to_string(n));
  Shape s = shape();
  Strides st = strides();
  const std::int64_t offset = impl_->offset + i * st[d];
  s.erase(d);
  st.erase(d);
  return make(*this, s, st, offset, ViewKind::kStrided, 0,
              {.kind = ViewOp::kSelect, .dim = d, .start = i, .a = {}});
}

Tensor Tensor::slice(int d, std::int64_t start, std::int64_t stop, std::int64_t step) const& {
  if (dim() == 0) throw IndexError("slice: a 0-d tensor has no dimension to slice");
  d = normalize_dim(d, dim(), "slice");
  if (step == 0 || step == INT64_MIN)
    throw ValueError("slice: the step must not be " + std::to_string(step));
  const std::int64_t n = impl_->shape[d];
  const auto clip = [&](std::int64_t i, std::int64_t lo, std::int64_t hi) {
    if (i < 0 && i >= -n) i += n;
    return std::clamp(i, lo, hi);
  };
  std::int64_t length = 0, first = 0;
  if (step > 0) {
    first = clip(start, 0, n);
    const std::int64_t last = clip(stop, 0, n);
    length = last > first ? (last - first - 1) / step + 1 : 0;
  } else {
    // As Python's x[start:stop:-k] with the defaults start = n - 1 and stop = before 0 given as the
    // extremes: start INT64_MAX, stop INT64_MIN.
    first = start >= n ? n - 1 : clip(start, -1, n - 1);
    const std::int64_t last = stop == INT64_MIN || stop == INT64_MAX ? -1 : clip(stop, -1, n - 1);
    length = first > last ? (first - last - 1) / -step + 1 : 0;
  }
  Shape s = shape();
  Strides st = strides();
  const std::int64_t offset = impl_->offset + (length > 0 ? first * st[d] : 0);
  s[d] = length;
  if (length > 1) st[d] *= step;  // what nothing walks may overflow
  if (length == n && step == 1) {
    return make(*this, s, st, impl_->offset, impl_->view, impl_->dims,
                {.kind = ViewOp::kSlice, .dim = d, .start = 0, .step = 1, .a = {}});
  }
  return make(*this, s, st, offset, ViewKind::kStrided, 0,
              {.kind = ViewOp::kSlice, .dim = d, .start = first, .step = step, .a = {}});
}

Tensor Tensor::narrow(int d, std::int64_t start, std::int64_t length) const& {
  d = normalize_dim(d, dim(), "narrow");
  const std::int64_t n = size(d), first = start < 0 ? start + n : start;
  if (first < 0 || length < 0 || first > n - length)
    throw IndexError("narrow: [" + std::to_string(start) + ", " + std::to_string(start) + " + " +
                     std::to_string(length) + ") is out of range for dimension " +
                     std::to_string(d) + " of size " + std::to_string(n));
  return slice(d, first, first + length);
}

Tensor Tensor::expand_as(const Tensor& o) const& { return expand(o.shape()); }
Tensor Tensor::operator[](std::int64_t index) const& { return select(0, index); }
Tensor Tensor::slice(int d, Slice s) const& {
  const bool back = s.step < 0;
  if (s.start == Slice::kLeftOut) s.start = back ? INT64_MAX : 0;
  if (s.stop == Slice::kLeftOut) s.stop = back ? INT64_MIN : INT64_MAX;
  return slice(d, s.start, s.stop, s.step);
}
Tensor Tensor::flip(int d) const& { return slice(d, INT64_MAX, INT64_MIN, -1); }

Tensor Tensor::unfold(int d, std::int64_t size, std::int64_t step) const& {
  if (dim() == 0) throw IndexError("unfold: a 0-d tensor has no dimension to unfold");
  d = normalize_dim(d, dim(), "unfold");
  const std::int64_t n = impl_->shape[d];
  if (size < 1 || size > n || step < 1)
    throw ShapeError("unfold: windows of " + std::to_string(size) + " every " +
                     std::to_string(step) + " do not fit dimension " + std::to_string(d) +
                     " of size " + std::to_string(n));
  Shape s = shape();
  Strides st = strides();
  s[d] = (n - size) / step + 1;
  s.push_back(size);
  check_shape(s, "unfold");
  st.push_back(st[d]);
  if (s[d] > 1) st[d] *= step;  // what nothing walks may overflow
  return make(*this, s, st, impl_->offset, ViewKind::kStrided, 0,
              {.kind = ViewOp::kUnfold, .dim = d, .step = step, .size = size, .a = {}});
}

Tensor Tensor::as_strided(const Shape& s, const Strides& st, std::int64_t offset) const& {
  need(impl_);
  check_shape(s, "as_strided");
  if (s.rank() != st.rank())
    throw ShapeError("as_strided: shape " + s.str() + " and strides " + st.str() +
                     " differ in rank");
  if (!fits_storage(s, st, offset, impl_->cell->shape.numel()))
    throw IndexError("as_strided: shape " + s.str() + ", strides " + st.str() + ", offset " +
                     std::to_string(offset) + " leave the storage of " +
                     std::to_string(impl_->cell->shape.numel()) + " elements");
  if (impl_->cell->pinned &&
      impl_->cell->buffer
          ->external()) {  // gaps of the user's memory, too: what is pending never read them
    materialize(*impl_->cell, FlushReason::kRead);
    impl_->cell->buffer->all_ours();
  }
  return make(*this, s, st, offset, ViewKind::kStrided, 0,
              {.kind = ViewOp::kAsStrided, .start = offset, .a = st});
}

Tensor Tensor::detach() const& {
  need(impl_);
  return make(*this, impl_->shape, impl_->strides, impl_->offset, impl_->view, impl_->dims,
              {.kind = ViewOp::kDetach, .a = {}});
}

}  // namespace flash
