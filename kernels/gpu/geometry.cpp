// kernels/gpu/geometry.cpp -- how many threads and blocks a kernel's launch gets
#include "kernels/gpu/geometry.h"

#include <algorithm>
#include <bit>

namespace flash::gpu {
namespace {

constexpr std::int64_t kWarp = 32;
constexpr std::int64_t kBlock = 256;        // threads, where the work is enough
constexpr std::int64_t kRowThreads = 1024;  // of one tile, for long rows
constexpr std::int64_t kWaves = 16;  // blocks for each processor; further tiles are looped over

/// Threads for n elements: a power of two from one warp to `most`.
std::int64_t threads_for(std::int64_t n, std::int64_t most) {
  const auto wanted = static_cast<std::uint64_t>(std::clamp(n, kWarp, most));
  return std::min(static_cast<std::int64_t>(std::bit_ceil(wanted)), most);
}

}  // namespace

KernelShape shape_of(const ir::Kernel& kernel, int vector) {
  KernelShape s{.form = kernel.form,
                .reduces = kernel.has_reduce(),
                .split = kernel.mode == ir::Mode::kSplit,
                .vector = vector};
  s.run_axis = -1;
  for (const ir::Role r : kernel.axes) {
    s.first_loop += r == ir::Role::kGrid;
    s.run_axis += r != ir::Role::kLane;
  }
  return s;
}

Walk walk_of(const KernelShape& shape, const ir::Word* args, std::int64_t tiles,
             const Geometry& g) {
  const auto share = [](std::int64_t n, std::int64_t parts) { return (n + parts - 1) / parts; };
  const std::int64_t run = args[ir::kArgExtents + shape.run_axis];
  std::int64_t outer = 1;
  for (int a = shape.first_loop; a < shape.run_axis; ++a) outer *= args[ir::kArgExtents + a];
  const std::int64_t own = share(tiles, std::int64_t{g.grid} * g.y);
  if (!shape.reduces) return {own * outer * share(args[ir::kArgChunk], g.x), 0};
  if (shape.form == ir::Form::kRow)  // a row's threads share each run, and each has all blocks
    return {own * outer * share(run, g.x), own * outer * share(run, ir::kRowBlock)};
  const std::int64_t lanes = own * share(args[ir::kArgChunk], g.x);
  return {lanes * outer * run, lanes * outer * share(run, ir::kColumnBlock)};
}

Geometry geometry(const KernelShape& shape, const ir::Word* args, std::int64_t tiles,
                  int processors, int max_threads) {
  const std::int64_t block = std::min<std::int64_t>(kBlock, max_threads);
  std::int64_t x, y;
  if (shape.reduces && shape.form == ir::Form::kRow) {
    // A warp adds up one block of the tree at a time: more warps than blocks only help loops that
    // do not reduce.
    const std::int64_t run = shape.split ? args[ir::kArgPartBlocks] * ir::kRowBlock
                                         : args[ir::kArgExtents + shape.run_axis];
    const std::int64_t warps = (run + ir::kRowBlock - 1) / ir::kRowBlock;
    x = warps <= 1 || shape.one_warp
            ? kWarp
            : threads_for(warps * kWarp, std::min<std::int64_t>(kRowThreads, max_threads));
    y = x == kWarp && !shape.split ? block / kWarp : 1;
  } else {  // a map's run, or the lanes of a column
    x = threads_for((args[ir::kArgChunk] + shape.vector - 1) / shape.vector, block);
    y = shape.split ? 1 : block / x;
  }
  y = std::clamp<std::int64_t>(y, 1, tiles);
  const std::int64_t blocks = (tiles + y - 1) / y;
  const std::int64_t most =
      kWaves * std::max(processors, 1) * std::max<std::int64_t>(1, block / (x * y));
  return {static_cast<unsigned>(std::min(blocks, most)), static_cast<unsigned>(x),
          static_cast<unsigned>(y)};
}

}  // namespace flash::gpu
