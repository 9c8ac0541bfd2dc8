// kernels/cpu/product_tile.cpp -- one tile of a matrix product: widen, multiply, add bias, round
#include "kernels/cpu/product_tile.h"

#include <algorithm>
#include <atomic>
#include <type_traits>

#include "kernels/cpu/blas.h"
#include "kernels/cpu/convert.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/cpu/workspace.h"

namespace flash::cpu {
namespace {

const void* element(const MatrixView& v, std::int64_t i, std::int64_t j) {
  return static_cast<const char*>(v.data) + (i * v.row + j * v.col) * size_of(v.dtype);
}

/// dst[i][j] = v[i0 + i][j0 + j], dst row-major with rows `cols` apart.
template <class T>
void pack(T* dst, std::int64_t rows, std::int64_t cols, const MatrixView& v, std::int64_t i0,
          std::int64_t j0) {
  if (v.row == 1 && v.dtype == dtype_of<T>)
    return microkernels<T>().transpose(cols, rows, static_cast<const T*>(element(v, i0, j0)), v.col,
                                       dst, cols);
  for (std::int64_t i = 0; i < rows; ++i)
    widen(v.dtype, cols, element(v, i0 + i, j0), v.col, dst + i * cols);
}

/// The block as a matrix of the compute type: where it is, or a widened copy in the workspace.
template <class T>
Matrix<T> widened(const MatrixView& v, std::int64_t rows, std::int64_t cols, std::int64_t i0,
                  std::int64_t j0, Slot slot) {
  if (v.dtype == dtype_of<T>) return {static_cast<const T*>(element(v, i0, j0)), v.row, v.col};
  T* dst = workspace<T>(slot, rows * cols);
  if (v.row == 1 && v.col != 1) {
    const MatrixView t{v.data, v.dtype, v.col, v.row};
    pack(dst, cols, rows, t, j0, i0);
    return {dst, 1, rows};
  }
  pack(dst, rows, cols, v, i0, j0);
  return {dst, cols, 1};
}

template <class T>
void multiply_blas(const Tile& tile, std::int64_t k, const MatrixView& a, const MatrixView& b,
                   const T* bias, T* c, std::int64_t ldc) {
  if (k > 0) {
    T* pa = workspace<T>(Slot::kA, tile.m * k);
    T* pb = workspace<T>(Slot::kB, k * tile.n);
    pack(pa, tile.m, k, a, tile.m0, 0);
    pack(pb, k, tile.n, b, 0, tile.n0);
    blas::gemm(tile.m, tile.n, k, pa, pb, c, ldc);
  } else {
    for (std::int64_t i = 0; i < tile.m; ++i) std::fill_n(c + i * ldc, tile.n, T(0));
  }
  if (!bias) return;
  for (std::int64_t i = 0; i < tile.m; ++i)
    for (std::int64_t j = 0; j < tile.n; ++j) c[i * ldc + j] += bias[j];
}

template <class T>
void run(const Tile& tile, std::int64_t k, const MatrixView& a, const MatrixView& b,
         const MatrixView& bias, void* out, DType out_dtype, std::int64_t ld) {
  const bool rounds = out_dtype != dtype_of<T>;
  char* origin = static_cast<char*>(out) + (tile.m0 * ld + tile.n0) * size_of(out_dtype);
  T* c = rounds ? workspace<T>(Slot::kC, tile.m * tile.n) : reinterpret_cast<T*>(origin);
  const std::int64_t ldc = rounds ? tile.n : ld;
  const T* add = nullptr;
  if (bias.data) {
    T* row = workspace<T>(Slot::kBias, tile.n);
    pack(row, 1, tile.n, bias, 0, tile.n0);
    add = row;
  }
  if (product_engine() == ProductEngine::kBlas)
    multiply_blas(tile, k, a, b, add, c, ldc);
  else
    multiply(tile.m, tile.n, k, widened<T>(a, tile.m, k, tile.m0, 0, Slot::kE),
             widened<T>(b, k, tile.n, 0, tile.n0, Slot::kF), add, c, ldc);
  if (!rounds) return;
  for (std::int64_t i = 0; i < tile.m; ++i)
    narrow(out_dtype, tile.n, c + i * ldc, origin + i * ld * size_of(out_dtype));
}

std::atomic<ProductEngine>& engine() {
  static std::atomic<ProductEngine> chosen = [] {
    const bool slow = &microkernels<float>() == MicrokernelSets<float>::portable();
    return slow && blas::available() ? ProductEngine::kBlas : ProductEngine::kMicrokernels;
  }();
  return chosen;
}

}  // namespace

ProductEngine product_engine() { return engine().load(std::memory_order_relaxed); }
void set_product_engine(ProductEngine e) { engine().store(e, std::memory_order_relaxed); }

TileGrid tile_grid(std::int64_t batches, std::int64_t m, std::int64_t n, std::int64_t k,
                   DType dtype) {
  // Large tiles while there are enough of them, then smaller ones, as long as a tile still is a few
  // microseconds of work. Every tile packs its own operands, so fewer is better.
  constexpr std::int64_t kLeastWork = 1 << 19, kLeastM = 16, kLeastN = 48;
  const bool blas = product_engine() == ProductEngine::kBlas;
  const std::int64_t wanted = blas ? 16 : ceil_div(3 * num_threads(), batches);
  TileGrid grid{ceil_div(m, 256), ceil_div(n, dtype == DType::kF64 ? 240 : 480)};
  while (grid.count_m * grid.count_n < wanted) {
    const std::int64_t em = ceil_div(m, grid.count_m), en = ceil_div(n, grid.count_n);
    if (em * en * k < 2 * kLeastWork) break;
    const bool can_m = em >= 2 * kLeastM, can_n = en >= 2 * kLeastN;
    if (can_n && (en >= 2 * em || !can_m))
      ++grid.count_n;
    else if (can_m)
      ++grid.count_m;
    else
      break;
  }
  return grid;
}

Tile tile_at(const TileGrid& grid, std::int64_t index, std::int64_t m, std::int64_t n) {
  // Cut at whole vectors of columns.
  const std::int64_t i = index / grid.count_n, j = index % grid.count_n, vectors = ceil_div(n, 16);
  const std::int64_t m0 = cut(m, grid.count_m, i), n0 = cut(vectors, grid.count_n, j) * 16;
  return {m0, n0, cut(m, grid.count_m, i + 1) - m0,
          std::min(n, cut(vectors, grid.count_n, j + 1) * 16) - n0};
}

void product_tile(const Tile& tile, std::int64_t k, const MatrixView& a, const MatrixView& b,
                  const MatrixView& bias, void* out, DType out_dtype, std::int64_t ld) {
  with_compute_type(out_dtype,
                    [&](auto t) { run<decltype(t)>(tile, k, a, b, bias, out, out_dtype, ld); });
}

}  // namespace flash::cpu
