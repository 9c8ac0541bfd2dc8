// kernels/cpu/product_tile.h -- one tile of a matrix product: widen, multiply, add bias, round
//
// Flash's own micro-kernels serve CPUs with AVX2 or better: they are faster there than OpenBLAS
// (AVX-512: 255 against 240 GFLOP/s a core) and read most operands where they are. OpenBLAS serves
// the others, with operands packed to one layout, since its bits depend on layouts and on the grid.
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

/// How the output of an m × n × k product is cut.
struct TileGrid {
  std::int64_t count_m = 0, count_n = 0;  ///< tiles
};

/// Rectangle [m0, m0 + m) × [n0, n0 + n) of an output matrix.
struct Tile {
  std::int64_t m0, n0, m, n;
};

/// Who multiplies.
enum class ProductEngine : std::uint8_t { kMicrokernels, kBlas };
ProductEngine product_engine();
/// Chooses for all later products; for tests and benchmarks.
void set_product_engine(ProductEngine engine);

/// Tiles for `batches` products. With BLAS a function of m, n, k and dtype only, since the grid is
/// part of its bits; with the micro-kernels also of the number of threads.
TileGrid tile_grid(std::int64_t batches, std::int64_t m, std::int64_t n, std::int64_t k,
                   DType dtype);
Tile tile_at(const TileGrid& grid, std::int64_t index, std::int64_t m, std::int64_t n);

/// out[tile] = a[tile rows, :] · b[:, tile columns] + bias[tile columns], rounded to `out_dtype`
/// once. `out` is the whole matrix, row-major with rows `ld` elements apart. bias.data may be null;
/// it walks by bias.col.
void product_tile(const Tile& tile, std::int64_t k, const MatrixView& a, const MatrixView& b,
                  const MatrixView& bias, void* out, DType out_dtype, std::int64_t ld);

}  // namespace flash::cpu
