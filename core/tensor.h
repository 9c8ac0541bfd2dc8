// core/tensor.h -- the Tensor: a handle to a lazily computed, strided array
//
// A Tensor is a handle with PyTorch's reference semantics: copies alias, `clone()` copies.
// Operations are recorded and run when a value is read. Views share storage: writing to one is seen
// by all.
//
//   Tensor x = randn({2, 3});
//   Tensor y = x.t().matmul(x) + 1.0;     // recorded
//   std::cout << y;                       // computed here
#pragma once

#include <cstdint>
#include <iosfwd>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "callback.h"
#include "device.h"
#include "dtype.h"
#include "error.h"
#include "export.h"
#include "shape.h"

namespace flash {

struct TensorImpl;

/// A number given to an operation: its kind (bool, integer, float) takes part in promotion, its
/// value is a parameter of the kernel and never part of the code.
struct Scalar {
  enum class Kind : std::uint8_t { kBool, kInt, kFloat } kind;
  union {
    std::int64_t i;
    double f;
  };
  template <class T>
  requires std::is_arithmetic_v<T> Scalar(T v) {
    if constexpr (std::is_same_v<T, bool>) {
      kind = Kind::kBool;
      i = v;
    } else if constexpr (std::is_integral_v<T>) {
      if constexpr (std::is_unsigned_v<T> && sizeof(T) == 8)
        if (v > INT64_MAX) refuse(v);
      kind = Kind::kInt;
      i = static_cast<std::int64_t>(v);
    } else {
      kind = Kind::kFloat;
      f = static_cast<double>(v);
    }
  }
  double to_double() const { return kind == Kind::kFloat ? f : static_cast<double>(i); }
  std::int64_t to_int() const { return kind == Kind::kFloat ? static_cast<std::int64_t>(f) : i; }

 private:
  [[noreturn]] FLASH_API static void refuse(std::uint64_t v);
};

/// Half-open range of a dimension, as Python's start:stop:step. What is left out is the first and
/// the last index in the step's direction: {.step = -1} flips.
struct Slice {
  static constexpr std::int64_t kLeftOut = INT64_MIN + 1;
  std::int64_t start = kLeftOut;
  std::int64_t stop = kLeftOut;
  std::int64_t step = 1;
};

// TEMPORARIES  C++ keeps the temporaries of `tanh(x * y + 1).sum().item()` until the end of the
// statement, and what somebody holds is stored by the flush inside item(). So operations come in
// two forms: for tensors with a name, and for temporaries, which are let go once the operation is
// recorded. exp(std::move(x)) and std::move(x).exp() give up a named x in the same way.
#define FLASH_METHOD(name, args, ...) \
  Tensor name(__VA_ARGS__) const&;    \
  Tensor name(__VA_ARGS__)&& { return letting_go<Tensor>(std::as_const(*this).name args, *this); }

class FLASH_API Tensor {
 public:
  Tensor() = default;  ///< undefined: every use but defined() and assignment throws
  Tensor(const Tensor& o);
  Tensor(Tensor&& o) noexcept : impl_(o.impl_) { o.impl_ = nullptr; }
  Tensor& operator=(const Tensor& o) &;
  Tensor& operator=(Tensor&& o) & noexcept {
    std::swap(impl_, o.impl_);
    return *this;
  }
  /// To assign to a temporary is to write into what it views: x[0] = y, x.slice(1, 0, 3) = 1.
  void operator=(const Tensor& o) && { copy_(o); }
  void operator=(Tensor&& o) && { copy_(o); }
  void operator=(Scalar value) && { fill_(value); }
  ~Tensor();

  // -- what it is (never computes anything)
  bool defined() const { return impl_ != nullptr; }
  const Shape& shape() const;
  const Strides& strides() const;  ///< in elements
  std::int64_t storage_offset() const;
  int dim() const;
  std::int64_t size(int d) const;  ///< negative d counts from the end; throws IndexError
  std::int64_t numel() const;
  DType dtype() const;
  Device device() const;
  bool is_contiguous() const;
  bool is_same(const Tensor& o) const { return impl_ == o.impl_; }
  bool shares_storage(const Tensor& o) const;
  std::uint32_t version() const;  ///< counts in-place changes of the storage

  // -- reading values (computes what is pending)
  /// The value of a one-element tensor, converted; throws ShapeError when it has more or fewer, and
  /// ValueError when it is out of T's range, an integer's; fractions are cut off.
  template <class T = double>
  T item() const {
    if constexpr (std::is_floating_point_v<T>)
      return static_cast<T>(item_f64());
    else if constexpr (std::is_same_v<T, bool>)
      return item_f64() != 0;
    else
      return static_cast<T>(item_int(
          std::is_signed_v<T> ? static_cast<std::int64_t>(std::numeric_limits<T>::min()) : 0,
          sizeof(T) == 8 ? INT64_MAX : static_cast<std::int64_t>(std::numeric_limits<T>::max())));
  }
  template <class T>
  std::vector<T> to_vector() const {  ///< row-major values; throws DTypeError if T is another dtype
    std::vector<T> v(static_cast<std::size_t>(numel()));
    if constexpr (std::is_same_v<T, bool>) {
      std::vector<std::uint8_t> raw(v.size());
      copy_out(raw.data(), dtype_of<bool>);
      for (std::size_t i = 0; i < v.size(); ++i) v[i] = raw[i] != 0;
    } else {
      copy_out(v.data(), dtype_of<T>);
    }
    return v;
  }
  /// Pointer to the first element of a contiguous tensor in host memory. It stays valid while the
  /// storage lives, and later in-place changes land in it once they are computed (`eval()`).
  template <class T>
  T* data() const {
    return static_cast<T*>(data_ptr(dtype_of<T>));
  }
  void* raw_data() const;   ///< as data(), of any dtype
  void eval() const;        ///< computes it now
  std::string str() const;  ///< as PyTorch prints, summarised when large

  // -- copies and conversions
  FLASH_METHOD(clone, ())
  FLASH_METHOD(contiguous, ())
  FLASH_METHOD(to, (dtype), DType dtype)
  FLASH_METHOD(to, (device), Device device)

  // -- views (share storage; never compute)
  FLASH_METHOD(view, (shape), const Shape& shape)  ///< throws ShapeError if strides forbid it
  /// view() if possible, else a copy; one size may be -1.
  FLASH_METHOD(reshape, (shape), const Shape& shape)
  FLASH_METHOD(flatten, (start, end), int start = 0, int end = -1)
  FLASH_METHOD(unflatten, (dim, sizes), int dim, const Shape& sizes)
  FLASH_METHOD(permute, (dims), std::initializer_list<int> dims)
  FLASH_METHOD(permute, (dims), std::span<const int> dims)
  FLASH_METHOD(transpose, (a, b), int a, int b)
  FLASH_METHOD(t, ())  ///< transpose of a matrix
  FLASH_METHOD(squeeze, (dim), int dim)
  FLASH_METHOD(squeeze, ())
  FLASH_METHOD(unsqueeze, (dim), int dim)
  FLASH_METHOD(expand, (shape), const Shape& shape)  ///< -1 keeps a size
  FLASH_METHOD(expand_as, (o), const Tensor& o)
  /// Drops `dim`; a negative index counts from the end.
  FLASH_METHOD(select, (dim, index), int dim, std::int64_t index)
  FLASH_METHOD(slice, (dim, start, stop, step), int dim, std::int64_t start,
               std::int64_t stop = INT64_MAX, std::int64_t step = 1)
  FLASH_METHOD(slice, (dim, s), int dim, Slice s)
  FLASH_METHOD(narrow, (dim, start, length), int dim, std::int64_t start, std::int64_t length)
  FLASH_METHOD(flip, (dim), int dim)
  /// Windows, as a new last dimension.
  FLASH_METHOD(unfold, (dim, size, step), int dim, std::int64_t size, std::int64_t step)
  FLASH_METHOD(as_strided, (shape, strides, offset), const Shape& shape, const Strides& strides,
               std::int64_t offset)
  FLASH_METHOD(operator[], (index), std::int64_t index)  ///< select(0, index)

  // -- in place (PyTorch's trailing underscore). Seen by every view; counted by version().
  Tensor& copy_(const Tensor& src);
  Tensor& fill_(Scalar value);
  Tensor& zero_() { return fill_(0); }
  Tensor& add_(const Tensor& o, Scalar alpha = 1);
  Tensor& sub_(const Tensor& o, Scalar alpha = 1);
  Tensor& mul_(const Tensor& o);
  Tensor& div_(const Tensor& o);
  Tensor& add_(Scalar o);
  Tensor& sub_(Scalar o);
  Tensor& mul_(Scalar o);
  Tensor& div_(Scalar o);

  // -- arithmetic as methods; all operations are free functions in core/ops/
  FLASH_METHOD(add, (o), const Tensor& o)
  FLASH_METHOD(add, (o), Scalar o)
  FLASH_METHOD(sub, (o), const Tensor& o)
  FLASH_METHOD(sub, (o), Scalar o)
  FLASH_METHOD(mul, (o), const Tensor& o)
  FLASH_METHOD(mul, (o), Scalar o)
  FLASH_METHOD(div, (o), const Tensor& o)
  FLASH_METHOD(div, (o), Scalar o)
  FLASH_METHOD(matmul, (o), const Tensor& o)
  FLASH_METHOD(neg, ())
  FLASH_METHOD(abs, ())
  FLASH_METHOD(exp, ())
  FLASH_METHOD(log, ())
  FLASH_METHOD(sqrt, ())
  FLASH_METHOD(tanh, ())
  FLASH_METHOD(sigmoid, ())
  FLASH_METHOD(relu, ())
  FLASH_METHOD(pow, (e), Scalar e)
  FLASH_METHOD(sum, (dims, keepdim), const Dims& dims = {}, bool keepdim = false)
  FLASH_METHOD(mean, (dims, keepdim), const Dims& dims = {}, bool keepdim = false)
  FLASH_METHOD(prod, (dims, keepdim), const Dims& dims = {}, bool keepdim = false)
  FLASH_METHOD(var, (dims, keepdim, correction), const Dims& dims = {}, bool keepdim = false,
               int correction = 1)
  FLASH_METHOD(std, (dims, keepdim, correction), const Dims& dims = {}, bool keepdim = false,
               int correction = 1)
  FLASH_METHOD(amax, (dims, keepdim), const Dims& dims = {}, bool keepdim = false)
  FLASH_METHOD(amin, (dims, keepdim), const Dims& dims = {}, bool keepdim = false)
  FLASH_METHOD(argmax, (dim, keepdim), std::optional<int> dim = {}, bool keepdim = false)
  FLASH_METHOD(softmax, (dim), int dim)
  FLASH_METHOD(log_softmax, (dim), int dim)

  // -- autograd (core/autograd/)
  bool requires_grad() const;
  Tensor& set_requires_grad(bool on = true);  ///< leaves only; throws AutogradError otherwise
  bool is_leaf() const;
  std::string grad_fn() const;  ///< name of the operation that made it; empty for leaves
  Tensor grad() const;          ///< undefined until backward()
  void set_grad(const Tensor& g);
  void zero_grad();  ///< forgets the gradient (set to none)
  /// Gradients of this with respect to all leaves, accumulated into their grad(). `gradient` may be
  /// left out for one-element tensors.
  void backward() const;
  void backward(const Tensor& gradient, bool retain_graph = false, bool create_graph = false) const;
  FLASH_METHOD(detach, ())  ///< shares storage, outside of the tape
  void retain_grad();       ///< keep grad() of a non-leaf
  /// Called with the gradient when it is complete; may return another. Returns an id for removal.
  std::int64_t register_hook(Callback<Tensor(const Tensor&)> hook);
  void remove_hook(std::int64_t id);

  // -- inside Flash
  /// The result, after those of the operands are let go that were passed as rvalues: whose T, as
  /// deduced for a T&&, is Tensor.
  template <class... T>
  static Tensor letting_go(Tensor result, T&... operand) {
    const auto let_go = [](auto& t, bool temporary) {
      if constexpr (std::is_same_v<decltype(t), Tensor&>)
        if (temporary) Tensor gone(std::move(t));
    };
    (let_go(operand, std::is_same_v<T, Tensor>), ...);
    return result;
  }
  TensorImpl* impl() const { return impl_; }
  static Tensor adopt(TensorImpl* p) {  // takes over one reference
    Tensor t;
    t.impl_ = p;
    return t;
  }

 private:
  double item_f64() const;
  std::int64_t item_int(std::int64_t least, std::int64_t most) const;
  void copy_out(void* dst, DType as) const;
  void* data_ptr(DType as) const;
  TensorImpl* impl_ = nullptr;
};

#undef FLASH_METHOD

template <class... T>
concept AnyTemporary = (std::is_same_v<T, Tensor> || ...);

/// An operation on a tensor x; the form of any operation for temporary operands; an operation on
/// two tensors, or a tensor and a number.
#define FLASH_OP(name, args, ...)                                    \
  FLASH_API Tensor name(const Tensor& x __VA_OPT__(, ) __VA_ARGS__); \
  inline Tensor name(Tensor&& x __VA_OPT__(, ) __VA_ARGS__) {        \
    return Tensor::letting_go<Tensor>(name args, x);                 \
  }
#define FLASH_OP_ON_TEMPORARIES(name)                                 \
  template <class... T>                                               \
  requires AnyTemporary<T...> Tensor name(T&&... x) {                 \
    return Tensor::letting_go<T...>(name(std::as_const(x)...), x...); \
  }
#define FLASH_OP2(name)                                                              \
  FLASH_API Tensor name(const Tensor& a, const Tensor& b);                           \
  FLASH_API Tensor name(const Tensor& a, Scalar b);                                  \
  FLASH_API Tensor name(Scalar a, const Tensor& b);                                  \
  template <class A, class B>                                                        \
  requires AnyTemporary<A, B> Tensor name(A&& a, B&& b) {                            \
    return Tensor::letting_go<A, B>(name(std::as_const(a), std::as_const(b)), a, b); \
  }

FLASH_API std::ostream& operator<<(std::ostream& os, const Tensor& t);
FLASH_API std::ostream& operator<<(std::ostream& os, const Shape& s);  ///< [2, 3]
FLASH_API std::ostream& operator<<(std::ostream& os, DType d);

// -- arithmetic operators: element-wise, broadcast, PyTorch's promotion
FLASH_OP(operator-, (x))
FLASH_OP2(operator+)
FLASH_OP2(operator-)
FLASH_OP2(operator*)
FLASH_OP2(operator/)
FLASH_OP2(operator==)
FLASH_OP2(operator!=)
FLASH_OP2(operator<)
FLASH_OP2(operator<=)
FLASH_OP2(operator>)
FLASH_OP2(operator>=)
FLASH_OP2(operator&)  ///< bitwise; of bool, the logical operation (&& and || are not overloaded)
FLASH_OP2(operator|)
FLASH_OP2(operator^)
FLASH_OP(operator!, (x))
FLASH_OP(operator~, (x))
/// a += b is a.add_(b), of a view as well: x[0] += 1.
#define FLASH_IN_PLACE(name, method)                                      \
  inline Tensor& name(Tensor& a, const Tensor& b) { return a.method(b); } \
  inline Tensor& name(Tensor& a, Scalar b) { return a.method(b); }        \
  inline void name(Tensor&& a, const Tensor& b) { a.method(b); }          \
  inline void name(Tensor&& a, Scalar b) { a.method(b); }
FLASH_IN_PLACE(operator+=, add_)
FLASH_IN_PLACE(operator-=, sub_)
FLASH_IN_PLACE(operator*=, mul_)
FLASH_IN_PLACE(operator/=, div_)
#undef FLASH_IN_PLACE

// -- making tensors
struct TensorOptions {
  std::optional<DType> dtype = {};  ///< none: the function's default, f32 for most
  Device device = default_device();
  bool requires_grad = false;
};

/// Copies `values` (row-major) into a new tensor. Throws ShapeError if the counts differ.
template <class T>
Tensor from_vector(const std::vector<T>& values, const Shape& shape);
template <class T>
Tensor from_vector(const std::vector<T>& values) {
  return from_vector(values, Shape{static_cast<std::int64_t>(values.size())});
}
FLASH_API Tensor from_host(const void* data, const Shape& shape, DType dtype,
                           Device device = default_device());

/// Wraps the user's host memory without copying; in-place changes land in it once they are computed
/// (`eval()`), at the latest when the last tensor over it is gone. `release` runs when nothing uses
/// the memory any more. What lies between the elements of strided memory is not written to, unless
/// as_strided() makes it elements.
FLASH_API Tensor from_blob(void* data, const Shape& shape, DType dtype,
                           Callback<void()> release = {});
FLASH_API Tensor from_blob(void* data, const Shape& shape, const Strides& strides, DType dtype,
                           Callback<void()> release = {});

template <class T>
Tensor from_vector(const std::vector<T>& values, const Shape& shape) {
  if (static_cast<std::int64_t>(values.size()) != shape.numel())
    throw ShapeError("from_vector: " + std::to_string(values.size()) +
                     " values do not fill shape " + shape.str());
  if constexpr (std::is_same_v<T, bool>) {
    std::vector<std::uint8_t> raw(values.begin(), values.end());
    return from_host(raw.data(), shape, DType::kBool);
  } else {
    return from_host(values.data(), shape, dtype_of<T>);
  }
}

}  // namespace flash
