// kernels/cpu/gemm_tiles.h -- one tile of a matrix product: pack, multiply, add bias, round
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace flash::cpu {

/// A strided matrix in memory; strides in elements, of any sign or 0.
struct MatrixView {
  const void* data = nullptr;
  DType dtype = DType::kF32;
  std::int64_t row = 0, col = 0;
};

/// How the output of an m × n × k product is cut. A function of sizes and dtype only: the grid is
/// part of the result's bits.
struct TileGrid {
  std::int64_t tile_m = 1, tile_n = 1;    ///< the last tile of a row or column may be smaller
  std::int64_t count_m = 0, count_n = 0;  ///< tiles
};
TileGrid tile_grid(std::int64_t m, std::int64_t n, std::int64_t k, DType dtype);

/// Rectangle [m0, m0 + m) × [n0, n0 + n) of an output matrix.
struct Tile {
  std::int64_t m0, n0, m, n;
};
Tile tile_at(const TileGrid& grid, std::int64_t index, std::int64_t m, std::int64_t n);

/// out[tile] = a[tile rows, :] · b[:, tile columns] + bias[tile columns], rounded to `out_dtype`
/// once. `out` is the whole matrix, row-major with rows `ld` elements apart. bias.data may be null;
/// it walks by bias.col.
void gemm_tile(const Tile& tile, std::int64_t k, const MatrixView& a, const MatrixView& b,
               const MatrixView& bias, void* out, DType out_dtype, std::int64_t ld);

}  // namespace flash::cpu
