// kernels/cpu/gemm.h -- products of strided blocks of matrices by the micro-kernels
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/contraction.h"
#include "kernels/cpu/microkernel.h"

namespace flash::cpu {

/// A strided matrix; strides in elements.
template <class T>
struct Matrix {
  const T* data = nullptr;
  std::int64_t row = 0, col = 0;
  Matrix block(std::int64_t i, std::int64_t j) const {
    return {data ? data + i * row + j * col : nullptr, row, col};  // null: there are no elements
  }
  Matrix transposed() const { return {data, col, row}; }
};

/// How an m × n block of output is covered by calls of micro-kernels.
struct Cover {
  std::int64_t vectors = 0;     ///< of columns, the last one perhaps not whole
  std::int64_t slivers = 0;     ///< groups of vectors: one call's columns
  std::int64_t row_groups = 0;  ///< one call's rows
  double cycles = 0;            ///< estimate for one step of k
};
template <class T>
Cover cover(std::int64_t m, std::int64_t n) {
  const auto& kernels = microkernels<T>();
  Cover best;
  const std::int64_t vectors = ceil_div(n, kernels.lanes);
  for (int v = 0; v < kMaxVectors; ++v) {
    if (kernels.max_rows[v] == 0) continue;
    const std::int64_t slivers = ceil_div(vectors, v + 1);
    const std::int64_t groups = ceil_div(m, kernels.max_rows[v]);
    const double width = static_cast<double>(vectors) / static_cast<double>(slivers);
    const double height = static_cast<double>(m) / static_cast<double>(groups);
    // Two multiply-adds a cycle, each four cycles long; two loads a cycle.
    const double call = std::max({width * height, width + height, 8.0}) / 2;
    const double cycles = call * static_cast<double>(slivers * groups);
    if (best.slivers == 0 || cycles < best.cycles) best = {vectors, slivers, groups, cycles};
  }
  return best;
}

/// c[m × n] (+)= a · b (+ biases) where k is one block. row_bias has m entries, col_bias n rounded
/// up to whole vectors; either may be null. Packs where that pays, in the thread's workspace.
template <class T>
void multiply_block(std::int64_t m, std::int64_t n, std::int64_t k, const Matrix<T>& a,
                    const Matrix<T>& b, T* c, std::int64_t c_row, bool accumulate,
                    const T* row_bias, const T* col_bias);

/// c[m × n] = a · b (+ bias of n entries, or null), k cut into blocks. Rows of c are c_row apart.
template <class T>
void multiply(std::int64_t m, std::int64_t n, std::int64_t k, const Matrix<T>& a,
              const Matrix<T>& b, const T* bias, T* c, std::int64_t c_row);

}  // namespace flash::cpu
