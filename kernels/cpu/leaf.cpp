// kernels/cpu/leaf.cpp -- the table of leaf kernels, and the call of an epilogue on a tile
#include "kernels/cpu/leaf.h"

#include <algorithm>
#include <string>

#include "core/error.h"
#include "core/mutants.h"
#include "jit/ir/kernel.h"
#include "kernels/cpu/runtime.h"
#include "kernels/cpu/workspace.h"

namespace flash::cpu {
namespace {

using LeafFunction = int (*)(const LeafCall&);

struct Row {
  Prim op;
  LeafFunction function;
};

constexpr Row kTable[] = {
    {Prim::kMatmul, matmul},          {Prim::kConv2d, conv2d},
    {Prim::kConv2dDx, conv2d_dx},     {Prim::kConv2dDw, conv2d_dw},
    {Prim::kMaxPool2d, max_pool2d},   {Prim::kMaxPool2dDx, max_pool2d_dx},
    {Prim::kAvgPool2d, avg_pool2d},   {Prim::kAvgPool2dDx, avg_pool2d_dx},
    {Prim::kGatherRows, gather_rows}, {Prim::kScatterAddRows, scatter_add_rows},
};

}  // namespace

int run_leaf(const LeafCall& call) {
  for (const Row& row : kTable)
    if (row.op == call.op) return row.function(call);
  throw InternalError("run_leaf: the CPU has no leaf kernel for " +
                      std::string(info(call.op).name));
}

void run_epilogue(const Epilogue& epilogue, std::span<const std::int64_t> begin,
                  std::span<const std::int64_t> extent) {
  const auto& kernel = static_cast<const CpuKernel&>(*epilogue.kernel);
  const int axes = epilogue.axes;
  if (axes != static_cast<int>(begin.size()))
    throw InternalError("epilogue " + kernel.name + ": " + std::to_string(axes) +
                        " axes for a tile of " + std::to_string(begin.size()));
  ir::Word* const args = workspace<ir::Word>(Slot::kWords, epilogue.words);
  std::copy_n(epilogue.args, epilogue.words, args);
  const auto word = [&](int i) -> ir::Word& { return args[static_cast<std::size_t>(i)]; };
  const auto axis = [](int i) { return static_cast<std::size_t>(i); };

  for (const AffineWords& a : epilogue.affine)
    for (int i = 0; i < axes; ++i) word(a.base) += begin[axis(i)] * word(a.strides + i);
  std::int64_t tiles = 1;
  for (int i = 0; i < axes; ++i) {
    word(ir::kArgExtents + i) = extent[axis(i)];
    if (i + 1 < axes) tiles *= extent[axis(i)];
  }
  word(ir::kArgChunk) = extent[axis(axes - 1)];
  word(ir::kArgChunks) = 1;
  kernel.run(args, 0, tiles);
  if (mutant(Mutant::kEpilogueTwice)) kernel.run(args, 0, tiles);
}

}  // namespace flash::cpu
