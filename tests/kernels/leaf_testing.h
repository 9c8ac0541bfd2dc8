// tests/kernels/leaf_testing.h -- operands of leaf kernels with known contents, in any layout
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "core/device.h"
#include "core/dtype.h"
#include "kernels/cpu/leaf.h"
#include "kernels/cpu/thread_pool.h"

namespace flash::cpu::testing {

/// Sets the pool's threads for a scope.
struct Threads {
  explicit Threads(int n) : before(num_threads()) { set_num_threads(n); }
  ~Threads() { set_num_threads(before); }
  int before;
};

/// How an operand lies in memory.
enum class Layout {
  kContiguous,
  kTransposed,  ///< the last two dimensions swapped in memory
  kGaps,        ///< every row and element followed by unused ones
  kReversed,    ///< negative strides
  kShifted,     ///< contiguous, at an address that is aligned to its element only
};
inline constexpr Layout kLayouts[] = {Layout::kContiguous, Layout::kTransposed, Layout::kGaps,
                                      Layout::kReversed, Layout::kShifted};

inline double get(DType t, const void* p, std::int64_t i) {
  switch (t) {
    case DType::kF64:
      return static_cast<const double*>(p)[i];
    case DType::kF32:
      return static_cast<const float*>(p)[i];
    case DType::kF16:
      return to_float(static_cast<const Half*>(p)[i]);
    case DType::kBF16:
      return to_float(static_cast<const BFloat16*>(p)[i]);
    case DType::kI64:
      return static_cast<double>(static_cast<const std::int64_t*>(p)[i]);
    case DType::kU8:
      return static_cast<const std::uint8_t*>(p)[i];
    default:
      FAIL("dtype not handled by this helper");
      return 0;
  }
}

inline void put(DType t, void* p, std::int64_t i, double v) {
  switch (t) {
    case DType::kF64:
      static_cast<double*>(p)[i] = v;
      break;
    case DType::kF32:
      static_cast<float*>(p)[i] = static_cast<float>(v);
      break;
    case DType::kF16:
      static_cast<Half*>(p)[i] = to_half(static_cast<float>(v));
      break;
    case DType::kBF16:
      static_cast<BFloat16*>(p)[i] = to_bfloat16(static_cast<float>(v));
      break;
    case DType::kI64:
      static_cast<std::int64_t*>(p)[i] = static_cast<std::int64_t>(v);
      break;
    case DType::kU8:
      static_cast<std::uint8_t*>(p)[i] = static_cast<std::uint8_t>(v);
      break;
    default:
      FAIL("dtype not handled by this helper");
  }
}

/// A small generator: the same numbers everywhere.
class Numbers {
 public:
  explicit Numbers(std::uint64_t seed) : state_(seed * 2 + 1) {}
  std::uint64_t bits() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    std::uint64_t x = state_ ^ (state_ >> 33);
    x *= 0xff51afd7ed558ccdu;
    return x ^ (x >> 33);
  }
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-52 - 1.0; }  // [-1, 1)
  std::int64_t below(std::int64_t n) {
    return static_cast<std::int64_t>(bits() % static_cast<std::uint64_t>(n));
  }

 private:
  std::uint64_t state_;
};

/// An operand and its memory. Elements are numbered row-major, whatever the layout.
class Array {
 public:
  Array(DType t, const Shape& shape, Layout layout = Layout::kContiguous) {
    operand_.dtype = t;
    operand_.shape = shape;
    Strides strides = contiguous_strides(shape);
    const int r = shape.rank();
    std::int64_t offset = 0, count = shape.numel();
    if (layout == Layout::kTransposed && r >= 2) {
      strides[r - 2] = 1;
      strides[r - 1] = shape[r - 2];
    } else if (layout == Layout::kGaps) {
      std::int64_t step = 2;
      for (int i = r - 1; i >= 0; --i) {
        strides[i] = step;
        step = step * std::max<std::int64_t>(shape[i], 1) + 3;
      }
      count = step;
    } else if (layout == Layout::kReversed) {
      for (int i = 0; i < r; ++i) {
        offset += std::max<std::int64_t>(shape[i] - 1, 0) * strides[i];
        strides[i] = -strides[i];
      }
    } else if (layout == Layout::kShifted) {
      offset = 3;
    }
    const auto size = static_cast<std::size_t>(size_of(t));
    memory_.assign((static_cast<std::size_t>(count) + 8) * size + 64, std::byte{0xfe});
    auto base = reinterpret_cast<std::uintptr_t>(memory_.data());
    base = (base + 63) / 64 * 64;
    operand_.strides = strides;
    operand_.data = reinterpret_cast<std::byte*>(base) + static_cast<std::size_t>(offset) * size;
  }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  Array(Array&&) = default;

  const Operand& operand() const { return operand_; }
  const Shape& shape() const { return operand_.shape; }
  std::int64_t numel() const { return operand_.shape.numel(); }
  double operator[](std::int64_t i) const { return get(operand_.dtype, operand_.data, at(i)); }
  void set(std::int64_t i, double v) { put(operand_.dtype, operand_.data, at(i), v); }
  double at(std::initializer_list<std::int64_t> index) const {
    std::int64_t i = 0;
    int d = 0;
    for (std::int64_t x : index) i = i * operand_.shape[d++] + x;
    return (*this)[i];
  }

  Array& fill(std::uint64_t seed) {
    Numbers numbers(seed);
    for (std::int64_t i = 0; i < numel(); ++i) set(i, numbers.uniform());
    return *this;
  }
  /// The same values in another layout.
  Array copy(Layout layout) const {
    Array a(operand_.dtype, operand_.shape, layout);
    for (std::int64_t i = 0; i < numel(); ++i) a.set(i, (*this)[i]);
    return a;
  }
  /// Contents as raw bytes; the array must be contiguous.
  std::string bytes() const {
    return {static_cast<const char*>(operand_.data),
            static_cast<std::size_t>(numel() * size_of(operand_.dtype))};
  }

 private:
  std::int64_t at(std::int64_t i) const {
    std::int64_t offset = 0;
    for (int d = operand_.shape.rank() - 1; d >= 0; --d) {
      offset += i % operand_.shape[d] * operand_.strides[d];
      i /= operand_.shape[d];
    }
    return offset;
  }
  std::vector<std::byte> memory_;
  Operand operand_;
};

/// Runs a leaf kernel into a new contiguous array.
inline Array run(Prim op, std::initializer_list<const Array*> inputs, DType t, const Shape& shape,
                 const std::vector<std::int64_t>& attrs = {}, const Epilogue* epilogue = nullptr,
                 Array* into = nullptr) {
  Array fresh(t, shape);
  Array& out = into ? *into : fresh;
  std::vector<Operand> operands;
  for (const Array* a : inputs) operands.push_back(a->operand());
  LeafCall call;
  call.op = op;
  call.inputs = operands;
  call.output = out.operand();
  call.attrs = attrs;
  call.epilogue = epilogue;
  run_leaf(call);
  return fresh;
}

/// Relative size of one rounding step of a dtype's results.
inline double epsilon(DType t) {
  return t == DType::kF64   ? 0x1p-52
         : t == DType::kF32 ? 0x1p-23
         : t == DType::kF16 ? 0x1p-10
                            : 0x1p-7;
}

/// A convolution: x [N, C, H, W], filters, strides, padding, dilation, groups.
struct Conv {
  using Index = std::int64_t;
  Shape x;
  Index out, kh, kw, sh, sw, ph, pw, dh, dw, groups;
  std::vector<Index> attrs(std::initializer_list<Index> more = {}) const {
    std::vector<Index> a{sh, sw, ph, pw, dh, dw, groups};
    a.insert(a.end(), more);
    return a;
  }
  Shape w() const { return {out, x[1] / groups, kh, kw}; }
  Shape y() const {
    return {x[0], out, (x[2] + 2 * ph - dh * (kh - 1) - 1) / sh + 1,
            (x[3] + 2 * pw - dw * (kw - 1) - 1) / sw + 1};
  }
};

}  // namespace flash::cpu::testing
