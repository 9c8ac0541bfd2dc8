// core/shape.h -- sizes and strides of up to eight dimensions, held inline, and their arithmetic
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "dtype.h"
#include "export.h"

namespace flash {

inline constexpr int kMaxRank = 8;

/// A short list of int64: the sizes, strides or axes of a tensor. Rank 0 … 8, never allocates.
class FLASH_API Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<std::int64_t> dims)
      : Shape(std::span<const std::int64_t>(dims.begin(), dims.size())) {}
  Shape(std::span<const std::int64_t> dims) {  // throws ShapeError above rank 8
    if (dims.size() > kMaxRank) throw_rank(dims.size());
    rank_ = static_cast<std::uint8_t>(dims.size());
    for (int i = 0; i < rank_; ++i) dims_[i] = dims[static_cast<std::size_t>(i)];
  }

  int rank() const { return rank_; }
  int size() const { return rank_; }
  bool empty() const { return rank_ == 0; }
  std::int64_t operator[](int i) const { return dims_[i]; }
  std::int64_t& operator[](int i) { return dims_[i]; }
  const std::int64_t* begin() const { return dims_; }
  const std::int64_t* end() const { return dims_ + rank_; }
  const std::int64_t* data() const { return dims_; }
  operator std::span<const std::int64_t>() const {
    return {dims_, static_cast<std::size_t>(rank_)};
  }
  std::int64_t back() const { return dims_[rank_ - 1]; }

  void push_back(std::int64_t d) {
    if (rank_ == kMaxRank) throw_rank(kMaxRank + 1);
    dims_[rank_++] = d;
  }
  void insert(int at, std::int64_t d);
  void erase(int at);

  /// Product of all sizes; 1 for rank 0.
  std::int64_t numel() const {
    std::int64_t n = 1;
    for (int i = 0; i < rank_; ++i) n *= dims_[i];
    return n;
  }

  friend bool operator==(const Shape& a, const Shape& b) {
    if (a.rank_ != b.rank_) return false;
    for (int i = 0; i < a.rank_; ++i)
      if (a.dims_[i] != b.dims_[i]) return false;
    return true;
  }

  /// "[2, 3]", as in PyTorch's messages.
  std::string str() const;

 private:
  [[noreturn]] static void throw_rank(std::size_t rank);
  std::int64_t dims_[kMaxRank];
  std::uint8_t rank_ = 0;
};

/// The dimensions that a reduction takes: one, several, or none for all. Negative ones count from
/// the last.
class Dims : public Shape {
 public:
  using Shape::Shape;
  Dims() = default;
  Dims(const Shape& dims) : Shape(dims) {}
  template <std::integral T>
  requires(!std::same_as<T, bool>) Dims(T dim) : Shape({static_cast<std::int64_t>(dim)}) {}
};

using Strides = Shape;  ///< in elements, may be 0 or negative

/// Row-major strides of a contiguous tensor.
inline void set_contiguous(Strides& strides, const Shape& shape) {
  strides = shape;
  std::int64_t step = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    strides[i] = step;
    step *= shape[i] > 1 ? shape[i] : 1;  // as PyTorch: an empty dim counts as one
  }
}
inline Strides contiguous_strides(const Shape& shape) {
  Strides strides;
  set_contiguous(strides, shape);
  return strides;
}

/// True when (shape, strides) walks memory row-major without gaps (dims of size 1 don't count).
FLASH_API bool is_contiguous(const Shape& shape, const Strides& strides);

/// True when two indices may reach one element (exact but for maps that interleave).
FLASH_API bool may_overlap(const Shape& shape, const Strides& strides);

/// Checks `dim` against `rank` (at least 1, as PyTorch does for scalars) and makes it non-negative.
/// Throws IndexError naming `op`.
FLASH_API int normalize_dim(std::int64_t dim, int rank, const char* op);

/// True when every element that (shape, strides, offset) reaches lies in [0, elements). Exact for
/// all values: nothing overflows.
FLASH_API bool fits_storage(const Shape& shape, const Strides& strides, std::int64_t offset,
                            std::int64_t elements);

/// The shape both operands broadcast to (NumPy's rule). Throws ShapeError naming `op`, both shapes
/// and the dimension that does not fit.
FLASH_API Shape broadcast_shapes(const Shape& a, const Shape& b, const char* op);

/// Bytes of a tensor; throws ShapeError naming `op` when int64 does not hold them.
[[noreturn]] FLASH_API void refuse_bytes(const Shape& shape, DType dtype, const char* op);
inline std::int64_t bytes_of(const Shape& shape, DType dtype, const char* op) {
  std::int64_t bytes = 0;
  if (__builtin_mul_overflow(shape.numel(), size_of(dtype), &bytes)) refuse_bytes(shape, dtype, op);
  return bytes;
}

/// Checks that `numel()` of `shape` fits into int64 and no size is negative; throws ShapeError.
FLASH_API void check_shape(const Shape& shape, const char* op);

}  // namespace flash
