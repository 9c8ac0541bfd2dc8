// core/tensor.cpp -- the handle: properties, reading values, wrapping memory, writing in place
#include "core/tensor.h"

#include <cmath>
#include <cstring>
#include <optional>

#include "core/autograd/autograd.h"
#include "core/autograd/hooks.h"
#include "core/mutants.h"
#include "core/ops/create.h"
#include "core/ops/elementwise.h"
#include "core/ops/scalar_bits.h"
#include "core/scope.h"
#include "core/tensor_impl.h"
#include "core/thread_traces.h"

namespace flash {

void refuse_undefined() {
  throw ValueError("tensor: this handle is undefined (default-constructed or moved from)");
}

void Scalar::refuse(std::uint64_t v) {
  throw ValueError("scalar: " + std::to_string(v) + " is more than an i64 holds (" +
                   std::to_string(INT64_MAX) + "); give a double where its digits do not matter");
}

namespace {

/// Reads one element as T, from its dtype.
template <class T>
T read_element(const void* p, DType d) {
  const auto as = [&]<class U>(U) {
    U v;
    std::memcpy(&v, p, sizeof v);
    return v;
  };
  switch (d) {
    case DType::kBool:
    case DType::kU8:
      return static_cast<T>(as(std::uint8_t{}));
    case DType::kI8:
      return static_cast<T>(as(std::int8_t{}));
    case DType::kI16:
      return static_cast<T>(as(std::int16_t{}));
    case DType::kI32:
      return static_cast<T>(as(std::int32_t{}));
    case DType::kI64:
      return static_cast<T>(as(std::int64_t{}));
    case DType::kF16:
      return static_cast<T>(to_float(as(Half{})));
    case DType::kBF16:
      return static_cast<T>(to_float(as(BFloat16{})));
    case DType::kF32:
      return static_cast<T>(as(float{}));
    case DType::kF64:
      return static_cast<T>(as(double{}));
  }
  return T{};
}

template <class T>
T item_of(const Tensor& t) {
  TensorImpl& i = need(t.impl());
  if (t.numel() != 1)
    throw ShapeError("item: shape " + t.shape().str() + " has " + std::to_string(t.numel()) +
                     " elements, not one");
  const Ref<Buffer> held = buffer_of(*i.cell, FlushReason::kRead);
  const Buffer& b = *held;
  const auto size = static_cast<std::size_t>(size_of(i.dtype()));
  alignas(8) char bytes[8];
  b.device().to_host(
      bytes, static_cast<const char*>(b.data()) + i.offset * static_cast<std::int64_t>(size), size,
      {});
  return read_element<T>(bytes, i.dtype());
}

/// Makes the value of `fresh` the next version of `cell`. False, and nothing is done, if another
/// thread has made one since it was at `since`, if that is given, or one is pending there.
bool advance(Cell& cell, const Tensor& fresh, std::optional<std::uint32_t> since = {}) {
  Cell& from = *fresh.impl()->cell;
  Trace& trace = this_trace(cell.device);
  TraceLock lock(trace);
  if (!trace.claim(cell)) return false;
  if (since && *since != cell.version.load(std::memory_order_relaxed)) {
    trace.unclaim(cell);
    return false;
  }
  if (from.trace.load(std::memory_order_relaxed) == &trace) {
    const NodeId id = from.pending;
    trace.drop(from);
    trace.assign(cell, id);
  } else {  // a limit or another thread flushed it in between
    if (from.poison) {
      trace.unclaim(cell);
      std::rethrow_exception(from.poison);
    }
    if (cell.pending != kNoNode) trace.disown(cell);
    if (cell.pinned && cell.buffer)
      cell.buffer->take_value(*from.buffer);
    else
      cell.buffer = from.buffer;
    cell.input.clear();
    trace.unclaim(cell);
  }
  if (cell.poison) cell.poison = nullptr;
  if (!mutant(Mutant::kVersionBump)) cell.version.fetch_add(1, std::memory_order_relaxed);
  return true;
}

/// Writes `value` (this dtype, broadcastable to this shape) into the target; the tape sees it.
/// Threads may write disjoint views of one tensor: who finds another's version pending computes
/// that first, and who finds that one has come in between writes into that.
void write(Tensor& target, const Tensor& value, const char* op) {
  TensorImpl& t = need(target.impl());
  Cell& cell = *t.cell;
  autograd::check_writable(target, op);
  if (!t.whole && may_overlap(t.shape, t.strides))
    throw ValueError(std::string(op) + ": the view of shape " + t.shape.str() + " and strides " +
                     t.strides.str() + " reaches elements more than once; clone() it first");
  const bool on_tape = autograd::tracks(target) || autograd::tracks(value);
  const auto settle_elsewhere = [&] {
    if (cell.trace.load() && cell.trace.load() != &this_trace(cell.device))
      materialize(cell, FlushReason::kThread);
  };
  settle_elsewhere();
  {
    NoGrad guard;
    if (t.whole) {
      TensorImpl& v = *value.impl();
      const bool fresh = v.whole && v.refs.get() == 1 && v.cell->refs() == 1 &&
                         v.shape == t.shape && v.cell->trace.load() == &this_trace(cell.device);
      const Tensor* in = &value;
      const Tensor next = fresh                ? value
                          : v.shape == t.shape ? bind(Prim::kCopy, {in})
                                               : bind(Prim::kExpand, {&in, 1}, {}, &t.shape);
      while (!advance(cell, next)) settle_elsewhere();
    } else {
      Tensor all =
          Tensor::adopt(TensorImpl::make_view(t, cell.shape, contiguous_strides(cell.shape), 0,
                                              ViewKind::kDims, dims_identity(cell.shape.rank())));
      std::vector<std::int64_t> attrs{t.offset};
      attrs.insert(attrs.end(), t.strides.begin(), t.strides.end());
      attrs.insert(attrs.end(), t.shape.begin(), t.shape.end());
      const Tensor* in[] = {&all, &value};
      for (;;) {
        const std::uint32_t since = cell.version.load(std::memory_order_acquire);
        if (advance(cell, bind(Prim::kUpdate, in, attrs, &cell.shape), since)) break;
      }
    }
  }
  if (!on_tape) return;
  autograd::record_inplace(target, value);
  cell.taped = cell.version.load(std::memory_order_relaxed);
}

/// The operand of an in-place operation: same dtype after promotion, broadcastable to the target.
void check_inplace(const Tensor& target, const Tensor& value, const char* op) {
  if (value.dtype() != target.dtype())
    throw DTypeError(std::string(op) + ": a result of dtype " + std::string(name(value.dtype())) +
                     " cannot be stored in a tensor of dtype " + std::string(name(target.dtype())));
  if (!(value.shape() == target.shape()))
    throw ShapeError(std::string(op) + ": the result has shape " + value.shape().str() +
                     ", which does not fit in place into " + target.shape().str());
}

/// In place, a result is stored as the target's dtype when that is of the same or a higher
/// category.
Tensor fit(const Tensor& value, const Tensor& target) {
  const bool ok =
      is_floating(target.dtype()) || (is_integral(value.dtype()) && target.dtype() != DType::kBool);
  return ok && value.dtype() != target.dtype() ? value.to(target.dtype()) : value;
}

}  // namespace

Tensor::Tensor(const Tensor& o) : impl_(o.impl_) {
  if (impl_) impl_->retain();
}
Tensor& Tensor::operator=(const Tensor& o) & {
  Tensor copy(o);
  std::swap(impl_, copy.impl_);
  return *this;
}
Tensor::~Tensor() {
  if (impl_) impl_->release();
}

const Shape& Tensor::shape() const { return need(impl_).shape; }
const Strides& Tensor::strides() const { return need(impl_).strides; }
std::int64_t Tensor::storage_offset() const { return need(impl_).offset; }
int Tensor::dim() const { return need(impl_).shape.rank(); }
std::int64_t Tensor::size(int d) const {
  const Shape& s = shape();
  if (s.empty()) throw IndexError("size: a 0-d tensor has no dimension " + std::to_string(d));
  return s[normalize_dim(d, s.rank(), "size")];
}
std::int64_t Tensor::numel() const { return need(impl_).shape.numel(); }
DType Tensor::dtype() const { return need(impl_).dtype(); }
Device Tensor::device() const { return need(impl_).device(); }
bool Tensor::is_contiguous() const {
  return flash::is_contiguous(need(impl_).shape, impl_->strides);
}
bool Tensor::shares_storage(const Tensor& o) const {
  return need(impl_).cell.get() == need(o.impl_).cell.get();
}
std::uint32_t Tensor::version() const { return need(impl_).cell->version; }

double Tensor::item_f64() const { return item_of<double>(*this); }
std::int64_t Tensor::item_int(std::int64_t least, std::int64_t most) const {
  const double f = is_floating(need(impl_).dtype()) ? std::trunc(item_f64()) : 0.0;
  const bool i64_holds = f >= -0x1p63 && f < 0x1p63;  // not of NaN
  const std::int64_t v = !i64_holds             ? 0
                         : is_floating(dtype()) ? static_cast<std::int64_t>(f)
                                                : item_of<std::int64_t>(*this);
  if (!i64_holds || v < least || v > most)
    throw ValueError("item: " + (i64_holds ? std::to_string(v) : std::to_string(item_f64())) +
                     " is not a number of the wanted type (" + std::to_string(least) + " to " +
                     std::to_string(most) + ")");
  return v;
}

void Tensor::eval() const { materialize(*need(impl_).cell, FlushReason::kEval); }

void Tensor::copy_out(void* dst, DType as) const {
  if (as != dtype())
    throw DTypeError("to_vector: the tensor is " + std::string(name(dtype())) + ", not " +
                     std::string(name(as)) + "; convert it with to()");
  NoGrad guard;
  const Tensor c = contiguous();
  const TensorImpl& i = *c.impl_;
  const Ref<Buffer> held = buffer_of(*i.cell, FlushReason::kRead);
  const Buffer& b = *held;
  b.device().to_host(dst, static_cast<const char*>(b.data()) + i.offset * size_of(as),
                     static_cast<std::size_t>(c.numel() * size_of(as)), {});
}

void* Tensor::raw_data() const {
  TensorImpl& i = need(impl_);
  if (!is_contiguous())
    throw ValueError("data: shape " + shape().str() + " with strides " + strides().str() +
                     " is not contiguous; call contiguous() first");
  if (device().type() != DeviceType::kCpu)
    throw DeviceError("data: the tensor is on " + device().str() +
                      ", which the host cannot read; use to()");
  const Ref<Buffer> held = buffer_of(*i.cell, FlushReason::kRead);
  i.cell->pinned = true;
  return static_cast<char*>(held->data()) + i.offset * size_of(i.dtype());
}

void* Tensor::data_ptr(DType as) const {
  if (as != dtype())
    throw DTypeError("data: the tensor is " + std::string(name(dtype())) + ", not " +
                     std::string(name(as)));
  return raw_data();
}

Tensor Tensor::clone() const& {
  need(impl_);
  return bind(Prim::kCopy, {this});
}
Tensor Tensor::contiguous() const& { return is_contiguous() ? *this : clone(); }
Tensor Tensor::to(DType d) const& {
  need(impl_);
  return as_dtype(*this, d);
}
Tensor& Tensor::copy_(const Tensor& src) {
  if (broadcast_shapes(need(impl_).shape, need(src.impl_).shape, "copy_") != shape())
    throw ShapeError("copy_: shape " + src.shape().str() + " does not broadcast to " +
                     shape().str());
  // Between devices the smaller of both dtypes travels.
  const bool narrows = size_of(dtype()) <= size_of(src.dtype());
  write(*this, narrows ? src.to(dtype()).to(device()) : src.to(device()).to(dtype()), "copy_");
  return *this;
}

Tensor& Tensor::fill_(Scalar value) {
  check_holds(need(impl_).dtype(), value, "fill_");
  write(*this, scalar_on(value, dtype(), device()), "fill_");
  return *this;
}

namespace {
template <class F>
Tensor& in_place(Tensor& t, const char* op, F&& f) {
  Tensor v = fit(f(), t);
  check_inplace(t, v, op);
  write(t, v, op);
  return t;
}
Tensor scaled(const Tensor& t, Scalar alpha) {
  return alpha.to_double() == 1.0 ? t : mul(t, alpha);
}
}  // namespace

Tensor& Tensor::add_(const Tensor& o, Scalar alpha) {
  return in_place(*this, "add_", [&] { return flash::add(*this, scaled(o, alpha)); });
}
Tensor& Tensor::sub_(const Tensor& o, Scalar alpha) {
  return in_place(*this, "sub_", [&] { return flash::sub(*this, scaled(o, alpha)); });
}
Tensor& Tensor::mul_(const Tensor& o) {
  // The gradient of o needs the factor that is about to be overwritten.
  const bool keep = autograd::tracks(o);
  return in_place(*this, "mul_", [&] { return flash::mul(keep ? clone() : *this, o); });
}
Tensor& Tensor::div_(const Tensor& o) {
  return in_place(*this, "div_", [&] { return flash::div(*this, o); });
}
Tensor& Tensor::add_(Scalar o) {
  return in_place(*this, "add_", [&] { return flash::add(*this, o); });
}
Tensor& Tensor::sub_(Scalar o) {
  return in_place(*this, "sub_", [&] { return flash::sub(*this, o); });
}
Tensor& Tensor::mul_(Scalar o) {
  return in_place(*this, "mul_", [&] { return flash::mul(*this, o); });
}
Tensor& Tensor::div_(Scalar o) {
  return in_place(*this, "div_", [&] { return flash::div(*this, o); });
}

Tensor from_host(const void* data, const Shape& shape, DType dtype, Device device) {
  check_shape(shape, "from_host");
  Tensor t = Tensor::adopt(TensorImpl::make(device, dtype, shape));
  DeviceRuntime& r = runtime(device);
  const auto bytes = static_cast<std::size_t>(bytes_of(shape, dtype, "from_host"));
  const std::string_view scope = scope_name(current_marks().scope);
  t.impl()->cell->buffer = Buffer::allocate(r, bytes, scope.empty() ? "host data" : scope.data());
  if (bytes) r.from_host(t.impl()->cell->buffer->data(), data, bytes, {});
  return t;
}

Tensor from_blob(void* data, const Shape& shape, DType dtype, Callback<void()> release) {
  return from_blob(data, shape, contiguous_strides(shape), dtype, std::move(release));
}

Tensor from_blob(void* data, const Shape& shape, const Strides& strides, DType dtype,
                 Callback<void()> release) {
  check_shape(shape, "from_blob");
  if (shape.rank() != strides.rank())
    throw ShapeError("from_blob: shape " + shape.str() + " and strides " + strides.str() +
                     " differ in rank");
  std::int64_t extent = shape.numel() > 0 ? 1 : 0;
  for (int i = 0; i < shape.rank(); ++i) {
    if (strides[i] < 0)
      throw ValueError("from_blob: strides " + strides.str() +
                       " must not be negative; flip() the tensor");
    std::int64_t reach = 0;
    if (extent && (__builtin_mul_overflow(shape[i] - 1, strides[i], &reach) ||
                   __builtin_add_overflow(extent, reach, &extent)))
      throw ShapeError("from_blob: shape " + shape.str() + " and strides " + strides.str() +
                       " reach farther than a 64-bit count of elements");
  }
  if (!data && extent)
    throw ValueError("from_blob: the pointer is null, and the tensor of shape " + shape.str() +
                     " is not empty");
  const bool plain = is_contiguous(shape, strides);
  const Shape storage = plain ? shape : Shape{extent};
  Tensor t = Tensor::adopt(TensorImpl::make({}, dtype, storage));
  Cell& cell = *t.impl()->cell;
  const auto bytes = static_cast<std::size_t>(bytes_of(storage, dtype, "from_blob"));
  cell.buffer = Buffer::wrap(runtime({}), data, bytes, std::move(release));
  cell.pinned = true;
  if (plain) return t;
  const Tensor shown = t.as_strided(shape, strides, 0);
  cell.buffer->set_ours(shape, strides, size_of(dtype));  // what lies between stays the user's
  return shown;
}

}  // namespace flash
