// core/ops/linalg.cpp -- checks of contractions, pools and embeddings before their leaf kernels are
// bound
#include "core/ops/linalg.h"

#include "core/ops/bind.h"

namespace flash {
namespace {

std::string shapes(const Tensor& a, const Tensor& b) {
  return a.shape().str() + " and " + b.shape().str();
}

void check_defined(const Tensor& t, const char* op, const char* what) {
  if (!t.defined()) throw ValueError(std::string(op) + ": " + what + " is an undefined tensor");
}

void check_float(const Tensor& t, const char* op, const char* what) {
  check_defined(t, op, what);
  if (!is_floating(t.dtype()))
    throw DTypeError(std::string(op) + ": " + what + " must have a floating dtype, not " +
                     std::string(name(t.dtype())));
}

Tensor bind_leaf(Prim op, std::initializer_list<const Tensor*> in, const Shape& shape,
                 Attrs attrs = {}) {
  return bind(op, std::span<const Tensor* const>(in.begin(), in.size()), attrs, &shape);
}

/// Of a stack of matrices; their columns may be none.
std::int64_t rows_of(const Tensor& x) {
  std::int64_t n = 1;
  for (int i = 0; i + 1 < x.dim(); ++i) n *= x.size(i);
  return n;
}

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b) {
  check_float(a, "matmul", "the first operand");
  check_float(b, "matmul", "the second operand");
  if (a.dim() == 0 || b.dim() == 0)
    throw ShapeError("matmul: operands need at least one dimension; use mul() for scalars");
  const Tensor x = a.dim() == 1 ? a.unsqueeze(0) : a;
  const Tensor y = b.dim() == 1 ? b.unsqueeze(1) : b;
  if (x.size(-1) != y.size(-2))
    throw ShapeError("matmul: shapes " + shapes(a, b) + " do not fit (the inner dimensions are " +
                     std::to_string(x.size(-1)) + " and " + std::to_string(y.size(-2)) + ")");
  const auto batch = [](const Tensor& t) {
    return Shape(
        std::span<const std::int64_t>(t.shape().data(), static_cast<std::size_t>(t.dim() - 2)));
  };
  Shape shape;
  try {
    shape = broadcast_shapes(batch(x), batch(y), "matmul");
  } catch (const ShapeError&) {
    throw ShapeError("matmul: shapes " + shapes(a, b) + " do not fit (the batch dimensions are " +
                     batch(x).str() + " and " + batch(y).str() + ")");
  }
  // A matrix on the right serves all batches: one tall product instead of many small ones.
  if (y.dim() == 2 && x.dim() > 2) {
    const Tensor flat = matmul(x.reshape({rows_of(x), x.size(-1)}), y);
    shape.push_back(x.size(-2));
    shape.push_back(y.size(-1));
    const Tensor full = flat.view(shape);
    return b.dim() == 1 ? full.squeeze(-1) : full;
  }
  shape.push_back(x.size(-2));
  shape.push_back(y.size(-1));
  Tensor out = bind_leaf(Prim::kMatmul, {&x, &y}, shape);
  if (b.dim() == 1) out = out.squeeze(-1);
  if (a.dim() == 1) out = out.squeeze(b.dim() == 1 ? -1 : -2);
  return out;
}

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  check_float(x, "linear", "the input");
  check_float(weight, "linear", "the weight");
  for (const Tensor* t : {&weight, &bias})
    if (t->defined() && t->dtype() != x.dtype())
      throw DTypeError("linear: the input is " + std::string(name(x.dtype())) + " and the " +
                       (t == &weight ? "weight " : "bias ") + std::string(name(t->dtype())) +
                       "; convert one with to()");
  if (weight.dim() != 2 || x.dim() < 1 || x.size(-1) != weight.size(1))
    throw ShapeError("linear: input " + x.shape().str() + " and weight " + weight.shape().str() +
                     " do not fit; the weight is [out, in] and the input's last dimension is in");
  if (bias.defined() && (bias.dim() != 1 || bias.size(0) != weight.size(0)))
    throw ShapeError("linear: bias " + bias.shape().str() + " does not fit weight " +
                     weight.shape().str() + "; it is [out]");
  if (x.dim() != 2) {
    Shape shape = x.shape();
    shape[shape.rank() - 1] = weight.size(0);
    return linear(x.reshape({rows_of(x), x.size(-1)}), weight, bias).view(shape);
  }
  const Tensor wt = weight.t();
  const Shape shape{x.size(0), weight.size(0)};
  return bias.defined() ? bind_leaf(Prim::kMatmul, {&x, &wt, &bias}, shape)
                        : bind_leaf(Prim::kMatmul, {&x, &wt}, shape);
}

namespace {
struct Window {
  std::int64_t size, dilation, padding, stride;
};
/// How many windows the padded dimension `d` of x has room for.
std::int64_t windows(const Tensor& x, int d, const Window& w, const char* op) {
  if (w.size < 1)
    throw ShapeError(std::string(op) + ": the window has no elements in dimension " +
                     std::to_string(d));
  for (const std::int64_t v : {w.dilation, w.padding, w.stride})
    if (v > INT32_MAX)  // the kernels add and multiply them
      throw ValueError(std::string(op) + ": stride, padding or dilation is " + std::to_string(v) +
                       "; at most " + std::to_string(INT32_MAX));
  const auto span = static_cast<__int128>(w.dilation) * (w.size - 1) + 1;
  const __int128 room = x.size(d) + 2 * w.padding - span;
  if (room < 0)
    throw ShapeError(std::string(op) + ": a window of " + std::to_string(w.size) + " (dilation " +
                     std::to_string(w.dilation) + ") is larger than dimension " +
                     std::to_string(d) + " of the input " + x.shape().str() + ", padded by " +
                     std::to_string(w.padding));
  return static_cast<std::int64_t>(room) / w.stride + 1;
}
}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& bias, const Conv2dOptions& o) {
  check_float(x, "conv2d", "the input");
  check_float(w, "conv2d", "the weight");
  if (x.dim() != 4 || w.dim() != 4)
    throw ShapeError("conv2d: input " + x.shape().str() + " and weight " + w.shape().str() +
                     " must be [N, C, H, W] and [O, C / groups, KH, KW]");
  if (o.stride_h < 1 || o.stride_w < 1 || o.dilation_h < 1 || o.dilation_w < 1 || o.padding_h < 0 ||
      o.padding_w < 0 || o.groups < 1)
    throw ValueError(
        "conv2d: strides, dilations and groups must be at least 1 and paddings at least 0");
  if (x.size(1) != w.size(1) * o.groups || w.size(0) % o.groups != 0)
    throw ShapeError("conv2d: input " + x.shape().str() + ", weight " + w.shape().str() +
                     " and groups " + std::to_string(o.groups) + " do not fit: the weight wants " +
                     std::to_string(w.size(1) * o.groups) + " input channels and a multiple of " +
                     std::to_string(o.groups) + " filters");
  if (bias.defined() && (bias.dim() != 1 || bias.size(0) != w.size(0)))
    throw ShapeError("conv2d: bias " + bias.shape().str() + " does not fit the " +
                     std::to_string(w.size(0)) + " filters");
  const auto out = [&](int d, std::int64_t pad, std::int64_t dilation, std::int64_t stride) {
    return windows(x, d, {w.size(d), dilation, pad, stride}, "conv2d");
  };
  const Shape shape{x.size(0), w.size(0), out(2, o.padding_h, o.dilation_h, o.stride_h),
                    out(3, o.padding_w, o.dilation_w, o.stride_w)};
  const std::int64_t attrs[kConvAttrs] = {o.stride_h,   o.stride_w,   o.padding_h, o.padding_w,
                                          o.dilation_h, o.dilation_w, o.groups};
  return bias.defined() ? bind_leaf(Prim::kConv2d, {&x, &w, &bias}, shape, attrs)
                        : bind_leaf(Prim::kConv2d, {&x, &w}, shape, attrs);
}

namespace {
Tensor pool(Prim op, const Tensor& x, const Pool2dOptions& o, const char* name) {
  check_float(x, name, "the input");
  if (x.dim() != 4)
    throw ShapeError(std::string(name) + ": input " + x.shape().str() + " must be [N, C, H, W]");
  const std::int64_t sh = o.stride_h ? o.stride_h : o.kernel_h,
                     sw = o.stride_w ? o.stride_w : o.kernel_w;
  if (o.kernel_h < 1 || o.kernel_w < 1 || sh < 1 || sw < 1)
    throw ValueError(std::string(name) + ": kernel and stride must be at least 1");
  if (o.padding_h < 0 || o.padding_w < 0 || o.padding_h > o.kernel_h / 2 ||
      o.padding_w > o.kernel_w / 2)
    throw ValueError(std::string(name) + ": the padding must be between 0 and half of the kernel");
  const auto out = [&](int d, std::int64_t k, std::int64_t pad, std::int64_t stride) {
    return windows(x, d, {k, 1, pad, stride}, name);
  };
  const Shape shape{x.size(0), x.size(1), out(2, o.kernel_h, o.padding_h, sh),
                    out(3, o.kernel_w, o.padding_w, sw)};
  const std::int64_t attrs[kPoolAttrs] = {o.kernel_h,  o.kernel_w,         sh, sw, o.padding_h,
                                          o.padding_w, o.count_include_pad};
  return bind_leaf(op, {&x}, shape, attrs);
}
}  // namespace

Tensor max_pool2d(const Tensor& x, const Pool2dOptions& o) {
  return pool(Prim::kMaxPool2d, x, o, "max_pool2d");
}
Tensor avg_pool2d(const Tensor& x, const Pool2dOptions& o) {
  return pool(Prim::kAvgPool2d, x, o, "avg_pool2d");
}

Tensor embedding(const Tensor& index, const Tensor& weight) {
  check_defined(index, "embedding", "the index");
  check_defined(weight, "embedding", "the weight");
  if (!is_integral(index.dtype()) || index.dtype() == DType::kBool)
    throw DTypeError("embedding: the index must be an integer tensor, not " +
                     std::string(name(index.dtype())));
  if (weight.dim() != 2)
    throw ShapeError("embedding: weight " + weight.shape().str() + " must be [V, D]");
  const Tensor i = as_dtype(index, DType::kI64);
  Shape shape = index.shape();
  shape.push_back(weight.size(1));
  return bind_leaf(Prim::kGatherRows, {&weight, &i}, shape);
}

Tensor Tensor::matmul(const Tensor& o) const& { return flash::matmul(*this, o); }

}  // namespace flash
