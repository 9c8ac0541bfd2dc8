// kernels/cpu/gemm.cpp -- products of strided blocks of matrices by the micro-kernels
#include "kernels/cpu/gemm.h"

#include "kernels/cpu/thread_sanitizer.h"
#include "kernels/cpu/workspace.h"

namespace flash::cpu {
namespace {

/// Columns [j, j + n) of k rows of b as rows of `width` elements, zeros beyond n.
template <class T>
void pack_sliver(std::int64_t k, std::int64_t n, const Matrix<T>& b, T* dst, std::int64_t width) {
  const auto& kernels = microkernels<T>();
  if (b.col == 1) return kernels.copy(k, n, b.data, b.row, dst, width);
  if (n < width)
    for (std::int64_t p = 0; p < k; ++p)
      std::fill(dst + p * width + n, dst + (p + 1) * width, T(0));
  if (b.row == 1) return kernels.transpose(n, k, b.data, b.col, dst, width);
  for (std::int64_t p = 0; p < k; ++p)
    for (std::int64_t j = 0; j < n; ++j) dst[p * width + j] = b.data[p * b.row + j * b.col];
}

/// A copy of a in the workspace whose rows (or columns, where a's are the contiguous ones) lie
/// close together: rows a power of two apart fall into the same few sets of the cache.
template <class T>
Matrix<T> pack_rows(std::int64_t m, std::int64_t k, const Matrix<T>& a) {
  const auto& kernels = microkernels<T>();
  if (a.row == 1) {
    T* dst = workspace<T>(Slot::kA, m * k);
    kernels.copy(k, m, a.data, a.col, dst, m);
    return {dst, 1, m};
  }
  const std::int64_t pitch = k + 16;
  T* dst = workspace<T>(Slot::kA, m * pitch);
  if (a.col == 1) {
    for (std::int64_t i = 0; i < m; ++i) std::copy_n(a.data + i * a.row, k, dst + i * pitch);
  } else {
    for (std::int64_t i = 0; i < m; ++i)
      for (std::int64_t p = 0; p < k; ++p) dst[i * pitch + p] = a.data[i * a.row + p * a.col];
  }
  return {dst, pitch, 1};
}

/// Cycles to bring k × n elements of b into slivers, about.
template <class T>
double pack_cycles(std::int64_t k, std::int64_t n, const Matrix<T>& b) {
  const double each = b.col == 1 ? 0.12 : b.row == 1 ? 0.3 : 1.5;
  return each * static_cast<double>(k * n);
}

}  // namespace

template <class T>
void multiply_block(std::int64_t m, std::int64_t n, std::int64_t k, const Matrix<T>& a,
                    const Matrix<T>& b, T* c, std::int64_t c_row, bool accumulate,
                    const T* row_bias, const T* col_bias) {
  const auto& kernels = microkernels<T>();
  const std::int64_t lanes = kernels.lanes;
  const Cover grid = cover<T>(m, n);
  will_read(a, m, k);
  will_read(b, k, n);
  const Matrix<T> rows = grid.slivers >= 4 && m > 1 ? pack_rows(m, k, a) : a;
  T* packed = workspace<T>(Slot::kB, k * kMaxVectors * lanes);
  for (std::int64_t s = 0; s < grid.slivers; ++s) {
    const std::int64_t v0 = cut(grid.vectors, grid.slivers, s),
                       v1 = cut(grid.vectors, grid.slivers, s + 1);
    const std::int64_t j0 = v0 * lanes, width = (v1 - v0) * lanes;
    const std::int64_t cols = std::min(width, n - j0);
    GemmBlock<T> x{k,      nullptr,    rows.row, rows.col,
                   packed, width,      nullptr,  c_row,
                   cols,   accumulate, nullptr,  col_bias ? col_bias + j0 : nullptr};
    // Rows of b that are read only a few times are read where they are.
    if (b.col == 1 && cols == width && grid.row_groups <= 2) {
      x.b = b.block(0, j0).data;
      x.b_row = b.row;
    } else {
      pack_sliver(k, cols, b.block(0, j0), packed, width);
    }
    for (std::int64_t g = 0; g < grid.row_groups; ++g) {
      const std::int64_t i0 = cut(m, grid.row_groups, g), i1 = cut(m, grid.row_groups, g + 1);
      x.a = rows.block(i0, 0).data;
      x.c = c + i0 * c_row + j0;
      x.row_bias = row_bias ? row_bias + i0 : nullptr;
      kernels.gemm[v1 - v0 - 1][i1 - i0 - 1](x);
    }
  }
}

template <class T>
void multiply(std::int64_t m, std::int64_t n, std::int64_t k, const Matrix<T>& a,
              const Matrix<T>& b, const T* bias, T* c, std::int64_t c_row) {
  const auto& kernels = microkernels<T>();
  const std::int64_t blocks = k_blocks(k);
  const auto for_blocks = [&](auto body) {
    for (std::int64_t i = 0; i < blocks; ++i) {
      const std::int64_t p = cut(k, blocks, i);
      body(p, cut(k, blocks, i + 1) - p, i > 0, i + 1 == blocks);
    }
  };
  // The product of the transposed operands, transposed, has the same bits. It is the better one
  // where b's columns are contiguous and a is small: weights of a linear layer, few rows.
  const double steps = static_cast<double>(k);
  const double plain = steps * cover<T>(m, n).cycles + pack_cycles(k, n, b);
  const double swapped = steps * cover<T>(n, m).cycles + pack_cycles(k, m, a.transposed()) +
                         0.6 * static_cast<double>(m * n);
  if (swapped < plain) {
    T* t = workspace<T>(Slot::kD, n * m);
    for_blocks([&](std::int64_t p, std::int64_t size, bool accumulate, bool last) {
      multiply_block<T>(n, m, size, b.block(p, 0).transposed(), a.block(0, p).transposed(), t, m,
                        accumulate, last ? bias : nullptr, nullptr);
    });
    kernels.transpose(n, m, t, m, c, c_row);
    return;
  }
  const T* col_bias = nullptr;
  if (bias) {
    const std::int64_t width = ceil_div(n, kernels.lanes) * kernels.lanes;
    T* row = workspace<T>(Slot::kD, width);
    kernels.copy(1, n, bias, n, row, width);
    col_bias = row;
  }
  for_blocks([&](std::int64_t p, std::int64_t size, bool accumulate, bool last) {
    multiply_block<T>(m, n, size, a.block(0, p), b.block(p, 0), c, c_row, accumulate, nullptr,
                      last ? col_bias : nullptr);
  });
}

template void multiply_block(std::int64_t, std::int64_t, std::int64_t, const Matrix<float>&,
                             const Matrix<float>&, float*, std::int64_t, bool, const float*,
                             const float*);
template void multiply_block(std::int64_t, std::int64_t, std::int64_t, const Matrix<double>&,
                             const Matrix<double>&, double*, std::int64_t, bool, const double*,
                             const double*);
template void multiply(std::int64_t, std::int64_t, std::int64_t, const Matrix<float>&,
                       const Matrix<float>&, const float*, float*, std::int64_t);
template void multiply(std::int64_t, std::int64_t, std::int64_t, const Matrix<double>&,
                       const Matrix<double>&, const double*, double*, std::int64_t);

}  // namespace flash::cpu
