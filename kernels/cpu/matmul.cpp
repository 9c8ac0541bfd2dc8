// kernels/cpu/matmul.cpp -- batched matrix product with broadcast batches, any strides, and a bias
#include <algorithm>
#include <array>

#include "kernels/cpu/leaf.h"
#include "kernels/cpu/product_tile.h"
#include "kernels/cpu/thread_pool.h"

namespace flash::cpu {
namespace {

/// Strides of an operand's batch dimensions, aligned to the output's from the right; 0 where it is
/// broadcast.
Strides batch_strides(const Operand& operand, const Shape& out) {
  Strides strides;
  const int batch = out.rank() - 2, shift = out.rank() - operand.shape.rank();
  for (int i = 0; i < batch; ++i) {
    const bool walks = i >= shift && operand.shape[i - shift] != 1;
    strides.push_back(walks ? operand.strides[i - shift] : 0);
  }
  return strides;
}

MatrixView at(const Operand& operand, std::int64_t offset) {
  const int rank = operand.shape.rank();
  return {static_cast<const char*>(operand.data) + offset * size_of(operand.dtype), operand.dtype,
          operand.strides[rank - 2], operand.strides[rank - 1]};
}

}  // namespace

int matmul(const LeafCall& call) {
  const Operand &a = call.inputs[0], &b = call.inputs[1], &out = call.output;
  const int rank = out.shape.rank();
  require(rank >= 2 && a.shape.rank() >= 2 && b.shape.rank() >= 2, call, "matrices");
  const std::int64_t m = out.shape[rank - 2], n = out.shape[rank - 1], k = a.shape.back();
  require(b.shape[b.shape.rank() - 2] == k && b.shape.back() == n &&
              a.shape[a.shape.rank() - 2] == m && a.dtype == out.dtype && b.dtype == out.dtype,
          call, "operands whose sizes and dtypes agree");
  MatrixView bias;
  if (call.inputs.size() > 2) {
    const Operand& o = call.inputs[2];
    require(o.shape.rank() == 1 && o.shape[0] == n && o.dtype == out.dtype, call, "a bias of [N]");
    bias = {o.data, o.dtype, 0, o.strides[0]};
  }
  if (out.shape.numel() == 0) return 1;

  const Strides a_strides = batch_strides(a, out.shape), b_strides = batch_strides(b, out.shape);
  std::int64_t batches = 1;
  for (int i = 0; i < rank - 2; ++i) batches *= out.shape[i];
  const TileGrid grid = tile_grid(batches, m, n, k, out.dtype);
  const std::int64_t tiles = grid.count_m * grid.count_n;
  // A range below this much work is not worth another thread.
  constexpr std::int64_t kWork = 1 << 18;
  const std::int64_t work = (m * n * std::max<std::int64_t>(k, 8) + tiles - 1) / tiles;
  const std::int64_t grain = std::max<std::int64_t>(1, kWork / work);

  parallel_for(batches * tiles, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      std::array<std::int64_t, kMaxRank> first{}, extent;
      extent.fill(1);
      std::int64_t rest = t / tiles, a_offset = 0, b_offset = 0;
      for (int i = rank - 3; i >= 0; --i) {
        const std::int64_t index = rest % out.shape[i];
        rest /= out.shape[i];
        first[static_cast<std::size_t>(i)] = index;
        a_offset += index * a_strides[i];
        b_offset += index * b_strides[i];
      }
      const Tile tile = tile_at(grid, t % tiles, m, n);
      void* c = static_cast<char*>(out.data) + t / tiles * m * n * size_of(out.dtype);
      product_tile(tile, k, at(a, a_offset), at(b, b_offset), bias, c, out.dtype, n);
      if (!call.epilogue) continue;
      const auto r = static_cast<std::size_t>(rank);
      first[r - 2] = tile.m0;
      first[r - 1] = tile.n0;
      extent[r - 2] = tile.m;
      extent[r - 1] = tile.n;
      run_epilogue(*call.epilogue, {first.data(), r}, {extent.data(), r});
    }
  });
  return 1;
}

}  // namespace flash::cpu
