// kernels/cpu/gemm_tiles.cpp -- one tile of a matrix product: pack, multiply, add bias, round
//
// Operands are always packed into row-major blocks without gaps before BLAS sees them: OpenBLAS
// gives other bits for transposed operands, and results must not depend on layout.
#include "kernels/cpu/gemm_tiles.h"

#include <algorithm>
#include <cstring>

#include "kernels/cpu/blas.h"
#include "kernels/cpu/convert.h"
#include "kernels/cpu/workspace.h"

namespace flash::cpu {
namespace {

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// dst[i][j] = src[i * row + j * col], dst row-major without gaps.
template <class T, class S>
void pack(T* dst, std::int64_t rows, std::int64_t cols, const S* src, std::int64_t row,
          std::int64_t col) {
  if (col == 1) {
    for (std::int64_t i = 0; i < rows; ++i, src += row, dst += cols) {
      if constexpr (std::is_same_v<T, S>)
        std::memcpy(dst, src, static_cast<std::size_t>(cols) * sizeof(T));
      else
        for (std::int64_t j = 0; j < cols; ++j) dst[j] = load(src[j]);
    }
    return;
  }
  constexpr std::int64_t kBlock = 16;  // a cache line each way
  for (std::int64_t i0 = 0; i0 < rows; i0 += kBlock) {
    const std::int64_t i1 = std::min(i0 + kBlock, rows);
    for (std::int64_t j0 = 0; j0 < cols; j0 += kBlock) {
      const std::int64_t j1 = std::min(j0 + kBlock, cols);
      for (std::int64_t i = i0; i < i1; ++i)
        for (std::int64_t j = j0; j < j1; ++j) dst[i * cols + j] = load(src[i * row + j * col]);
    }
  }
}

template <class T>
void pack(T* dst, std::int64_t rows, std::int64_t cols, const MatrixView& view, std::int64_t row0,
          std::int64_t col0) {
  with_float_type(view.dtype, [&](auto s) {
    using S = decltype(s);
    if constexpr (std::is_same_v<typename ComputeOf<S>::Type, T>)
      pack(dst, rows, cols, static_cast<const S*>(view.data) + row0 * view.row + col0 * view.col,
           view.row, view.col);
  });
}

template <class T>
void multiply(const Tile& tile, std::int64_t k, const MatrixView& a, const MatrixView& b,
              const MatrixView& bias, void* out, DType out_dtype, std::int64_t ld) {
  const bool rounds = is_half(out_dtype);
  const std::int64_t origin = tile.m0 * ld + tile.n0;
  T* c = rounds ? workspace<T>(Slot::kC, tile.m * tile.n) : static_cast<T*>(out) + origin;
  const std::int64_t ldc = rounds ? tile.n : ld;
  if (k > 0) {
    T* pa = workspace<T>(Slot::kA, tile.m * k);
    T* pb = workspace<T>(Slot::kB, k * tile.n);
    pack(pa, tile.m, k, a, tile.m0, 0);
    pack(pb, k, tile.n, b, 0, tile.n0);
    blas::gemm(tile.m, tile.n, k, pa, pb, c, ldc);
  } else {
    for (std::int64_t i = 0; i < tile.m; ++i) std::fill_n(c + i * ldc, tile.n, T(0));
  }
  if (bias.data) {
    T* row = workspace<T>(Slot::kA, tile.n);
    pack(row, 1, tile.n, bias, 0, tile.n0);
    for (std::int64_t i = 0; i < tile.m; ++i)
      for (std::int64_t j = 0; j < tile.n; ++j) c[i * ldc + j] += row[j];
  }
  if (!rounds) return;
  with_float_type(out_dtype, [&](auto s) {
    using S = decltype(s);
    if constexpr (!std::is_same_v<S, double>)
      for (std::int64_t i = 0; i < tile.m; ++i)
        for (std::int64_t j = 0; j < tile.n; ++j)
          static_cast<S*>(out)[origin + i * ld + j] =
              store<S>(static_cast<float>(c[i * tile.n + j]));
  });
}

}  // namespace

TileGrid tile_grid(std::int64_t m, std::int64_t n, std::int64_t k, DType dtype) {
  // Large tiles while there are 16 of them or more; then smaller ones, as long as a tile still is a
  // few microseconds of work.
  constexpr std::int64_t kTiles = 16, kLeastWork = 1 << 19, kLeastM = 32, kLeastN = 64;
  std::int64_t tm = 256, tn = dtype == DType::kF64 ? 256 : 512;
  const auto count = [&] { return ceil_div(m, tm) * ceil_div(n, tn); };
  while (count() < kTiles) {
    const std::int64_t em = std::min(tm, m), en = std::min(tn, n);
    if (em * en * k < 2 * kLeastWork) break;
    const bool can_m = em >= 2 * kLeastM, can_n = en >= 2 * kLeastN;
    if (can_n && (en >= em || !can_m))
      tn = std::max(kLeastN, ceil_div(ceil_div(en, 2), kLeastN) * kLeastN);
    else if (can_m)
      tm = std::max(kLeastM, ceil_div(ceil_div(em, 2), kLeastM) * kLeastM);
    else
      break;
  }
  return {tm, tn, ceil_div(m, tm), ceil_div(n, tn)};
}

Tile tile_at(const TileGrid& grid, std::int64_t index, std::int64_t m, std::int64_t n) {
  const std::int64_t m0 = index / grid.count_n * grid.tile_m,
                     n0 = index % grid.count_n * grid.tile_n;
  return {m0, n0, std::min(grid.tile_m, m - m0), std::min(grid.tile_n, n - n0)};
}

void gemm_tile(const Tile& tile, std::int64_t k, const MatrixView& a, const MatrixView& b,
               const MatrixView& bias, void* out, DType out_dtype, std::int64_t ld) {
  if (out_dtype == DType::kF64)
    multiply<double>(tile, k, a, b, bias, out, out_dtype, ld);
  else
    multiply<float>(tile, k, a, b, bias, out, out_dtype, ld);
}

}  // namespace flash::cpu
