// core/shape.cpp -- arithmetic on sizes and strides, and the errors that shapes give
#include "core/shape.h"

#include <algorithm>

#include "core/error.h"

namespace flash {

void Shape::throw_rank(std::size_t rank) {
  throw ShapeError("shape: rank " + std::to_string(rank) + " is more than the " +
                   std::to_string(kMaxRank) + " dimensions a tensor can have");
}

void Shape::insert(int at, std::int64_t d) {
  if (at < 0 || at > rank_) {
    throw IndexError("shape: cannot insert at " + std::to_string(at) + " in " + str());
  }
  push_back(d);
  for (int i = rank_ - 1; i > at; --i) dims_[i] = dims_[i - 1];
  dims_[at] = d;
}

void Shape::erase(int at) {
  if (at < 0 || at >= rank_) {
    throw IndexError("shape: cannot erase at " + std::to_string(at) + " in " + str());
  }
  for (int i = at; i + 1 < rank_; ++i) dims_[i] = dims_[i + 1];
  --rank_;
}

std::string Shape::str() const {
  std::string out = "[";
  for (int i = 0; i < rank_; ++i) {
    if (i) out += ", ";
    out += std::to_string(dims_[i]);
  }
  return out + "]";
}

bool is_contiguous(const Shape& shape, const Strides& strides) {
  std::int64_t step = 1;
  bool dense = true;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    if (shape[i] == 0) return true;  // nothing to walk
    if (shape[i] == 1) continue;
    dense = dense && strides[i] == step;
    step *= shape[i];
  }
  return dense;
}

bool may_overlap(const Shape& shape, const Strides& strides) {
  // From the smallest stride up, each dimension must step over all that the smaller ones reach.
  unsigned done = 0;
  std::int64_t reach = 0;
  for (int n = 0; n < shape.rank(); ++n) {
    int next = -1;
    std::int64_t least = 0;
    for (int i = 0; i < shape.rank(); ++i) {
      if (shape[i] <= 1 || (done & (1u << i))) continue;  // their strides may be any number
      const std::int64_t stride = strides[i] < 0 ? -strides[i] : strides[i];
      if (next >= 0 && stride >= least) continue;
      next = i;
      least = stride;
    }
    if (next < 0) return false;
    if (least <= reach) return true;
    reach += least * (shape[next] - 1);
    done |= 1u << next;
  }
  return false;
}

bool fits_storage(const Shape& shape, const Strides& strides, std::int64_t offset,
                  std::int64_t elements) {
  for (std::int64_t size : shape)
    if (size == 0) return true;  // nothing to reach
  // Both only move away from the offset, so what overflows was outside already.
  std::int64_t low = offset, high = offset;
  for (int i = 0; i < shape.rank(); ++i) {
    std::int64_t& end = strides[i] < 0 ? low : high;
    std::int64_t reach = 0;
    if (__builtin_mul_overflow(shape[i] - 1, strides[i], &reach) ||
        __builtin_add_overflow(end, reach, &end))
      return false;
  }
  return low >= 0 && high < elements;
}

int normalize_dim(std::int64_t dim, int rank, const char* op) {
  const int n = std::max(rank, 1);
  if (dim < -n || dim >= n) {
    throw IndexError(std::string(op) + ": dim " + std::to_string(dim) +
                     " is out of range for a tensor of rank " + std::to_string(rank) + " (want " +
                     std::to_string(-n) + " to " + std::to_string(n - 1) + ")");
  }
  return static_cast<int>(dim < 0 ? dim + n : dim);
}

Shape broadcast_shapes(const Shape& a, const Shape& b, const char* op) {
  Shape out = a.rank() >= b.rank() ? a : b;
  const Shape& other = a.rank() >= b.rank() ? b : a;
  const int lead = out.rank() - other.rank();
  for (int i = out.rank() - 1; i >= lead; --i) {
    const std::int64_t x = out[i], y = other[i - lead];
    if (x == y || y == 1) continue;
    if (x != 1) {
      const bool swapped = a.rank() < b.rank();
      throw ShapeError(std::string(op) + ": shapes " + a.str() + " and " + b.str() +
                       " do not broadcast (dim " + std::to_string(i) + ": " +
                       std::to_string(swapped ? y : x) + " vs " + std::to_string(swapped ? x : y) +
                       ")");
    }
    out[i] = y;
  }
  check_shape(out, op);
  return out;
}

void check_shape(const Shape& shape, const char* op) {
  std::int64_t n = 1;
  for (int i = 0; i < shape.rank(); ++i) {
    if (shape[i] < 0) {
      throw ShapeError(std::string(op) + ": shape " + shape.str() + " has the negative size " +
                       std::to_string(shape[i]) + " in dim " + std::to_string(i) +
                       " (want sizes of 0 or more)");
    }
    // An empty dim counts as one, so that strides cannot overflow either.
    if (__builtin_mul_overflow(n, std::max<std::int64_t>(shape[i], 1), &n)) {
      throw ShapeError(std::string(op) + ": shape " + shape.str() +
                       " has more elements than a 64-bit count holds");
    }
  }
}

void refuse_bytes(const Shape& shape, DType dtype, const char* op) {
  throw ShapeError(std::string(op) + ": shape " + shape.str() + " of " + std::string(name(dtype)) +
                   " has more bytes than a 64-bit count holds");
}

}  // namespace flash
