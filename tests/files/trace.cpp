// tests/files/trace.cpp -- hostile serial forms of traces
#include "core/serial.h"
#include "core/tensor_impl.h"
#include "tests/files/format.h"
#include "tests/files/harnesses.h"

namespace flash::test {
namespace {

/// A node takes ten bytes of the file and 150 of memory; the growing list of them holds three times
/// as many.
constexpr std::uint64_t kNodeRatio = 48;

/// One node of every kind.
TraceProgram some_program() {
  TraceProgram p;
  p.scopes.emplace_back("a scope");
  const auto add = [&](Prim op, const Shape& shape, std::vector<NodeId> in,
                       std::vector<std::int64_t> attrs = {}, DType dtype = DType::kF32) {
    p.nodes.push_back({op, dtype, shape, std::move(in), std::move(attrs), 1});
    return static_cast<NodeId>(p.nodes.size() - 1);
  };
  const auto output = [&](NodeId n) {
    p.outputs.push_back(n);
    return n;
  };
  const NodeId x = add(Prim::kInput, {1, 2, 6, 6}, {}), w = add(Prim::kInput, {2, 1, 3, 3}, {}),
               m = add(Prim::kInput, {3, 4}, {}),
               index = add(Prim::kInput, {5}, {}, {}, DType::kI64);
  p.data[m] = some_array(DType::kF32, {3, 4});
  p.data[index] = some_array(DType::kI64, {5});
  const std::vector<std::int64_t> conv{1, 1, 1, 1, 1, 1, 2}, pool{2, 2, 2, 2, 0, 0, 1};
  const auto with = [](std::vector<std::int64_t> list, std::int64_t a, std::int64_t b) {
    list.insert(list.end(), {a, b});
    return list;
  };
  const NodeId y = output(add(Prim::kConv2d, {1, 2, 6, 6}, {x, w}, conv));
  output(add(Prim::kConv2dDx, {1, 2, 6, 6}, {y, w}, with(conv, 6, 6)));
  output(add(Prim::kConv2dDw, {2, 1, 3, 3}, {y, x}, with(conv, 3, 3)));
  const NodeId pooled = output(add(Prim::kMaxPool2d, {1, 2, 3, 3}, {x}, pool));
  output(add(Prim::kMaxPool2dDx, {1, 2, 6, 6}, {pooled, x}, pool));
  output(add(Prim::kAvgPool2dDx, {1, 2, 6, 6}, {pooled}, with(pool, 6, 6)));
  const NodeId rows = output(add(Prim::kGatherRows, {5, 4}, {m, index}));
  output(add(Prim::kScatterAddRows, {3, 4}, {rows, index}, {3}));
  const auto kind = [](ViewKind k) { return static_cast<std::int64_t>(k); };
  const NodeId t = add(Prim::kView, {4, 3}, {m}, {kind(ViewKind::kDims), 0x01, 0, 1, 4});
  add(Prim::kView, {12}, {m}, {kind(ViewKind::kFlat), 0, 0, 1});
  const NodeId part = add(Prim::kView, {2, 2}, {m}, {kind(ViewKind::kStrided), 0, 11, -4, -2});
  output(add(Prim::kMatmul, {3, 3}, {m, t}));
  const NodeId two = add(Prim::kScalar, {}, {}, {0x40000000});
  output(add(Prim::kUpdate, {3, 4}, {m, two}, {1, 4, 1, 2, 2}));
  output(add(Prim::kSum, {2}, {part}, {1, 0}));
  output(add(Prim::kExpand, {2, 2, 2}, {part}));
  const NodeId less = output(add(Prim::kLt, {2, 2}, {part, two}, {}, DType::kBool));
  output(add(Prim::kWhere, {2, 2}, {less, part, two}));
  output(add(Prim::kCast, {2, 2}, {part}, {static_cast<int>(DType::kF16)}, DType::kF16));
  output(add(Prim::kUniform, {7}, {}, {1, 2}));
  output(add(Prim::kIota, {4, 3}, {}, {1, 0, 1}, DType::kI64));
  return p;
}

}  // namespace

bool read_trace(io::ByteSpan file) {
  const auto program =
      read_bounded(kNodeRatio * file.size(), [&] { return read_program(file, kFile); });
  if (!program) return false;
  const io::Bytes again = write_program(*program);
  promise(again.size() == file.size(), "a trace that was written is of another size");
  promise(write_program(read_program(again, kFile)) == again, "a trace does not come back");
  return true;
}

std::vector<io::Bytes> trace_seeds() {
  TraceProgram small;
  small.scopes.emplace_back("s");
  small.nodes.push_back({Prim::kInput, DType::kF32, {2}, {}, {}, 0});
  small.nodes.push_back({Prim::kScalar, DType::kF32, {}, {}, {5}, 0});
  small.nodes.push_back({Prim::kAdd, DType::kF32, {2}, {0, 1}, {}, 1});
  small.nodes.push_back({Prim::kSum, DType::kF32, {}, {2}, {1, 0}, 0});
  small.outputs = {3};
  small.data[0] = some_array(DType::kF32, {2});
  TraceProgram empty;
  empty.nodes.push_back({Prim::kInput, DType::kF64, {5, 0}, {}, {}, 0});
  empty.nodes.push_back({Prim::kView,
                         DType::kF64,
                         {0, 5},
                         {0},
                         {static_cast<std::int64_t>(ViewKind::kDims), 0x01, 0, 1, 1},
                         0});
  empty.nodes.push_back({Prim::kCopy, DType::kF64, {0, 5}, {1}, {}, 0});
  empty.outputs = {2};
  return {write_program(some_program()), write_program(small), write_program(empty)};
}

}  // namespace flash::test
