// jit/debug/launch.cpp -- bytes and arithmetic of a launch, and its line
#include "jit/debug/launch.h"

#include <cstdio>

namespace flash::jit {
namespace {

/// Bytes of the distinct elements that an operand shows: a broadcast reads its source once.
std::int64_t shown_bytes(const Trace& t, NodeId value, NodeId view) {
  const std::int64_t size = size_of(t.nodes[value].dtype);
  if (view == kNoNode) return t.nodes[value].numel * size;
  const Node& v = t.nodes[view];
  const auto attrs = t.attrs(v);
  std::int64_t n = size;
  if (v.op == Prim::kUpdate) {
    const std::size_t rank = (attrs.size() - 1) / 2;
    for (std::size_t d = 0; d < rank; ++d) n *= attrs[1 + rank + d];
    return n;
  }
  const auto shape = t.shape(v);
  for (std::size_t d = 0; d < shape.size(); ++d)
    if (attrs[3 + d] != 0 || shape[d] == 0) n *= shape[d];
  return n;
}

double contraction_flops(const Trace& t, const Step& step) {
  const Node& n = t.nodes[step.leaf];
  const auto operand = [&](std::size_t i) -> const Node& {
    const LeafOperand& o = step.operands[i];
    return t.nodes[o.view == kNoNode ? o.node : o.view];
  };
  const auto count = [](const Node& x) { return static_cast<double>(x.numel); };
  const auto size = [&](const Node& x, std::size_t d) {
    return static_cast<double>(t.shape(x)[d]);
  };
  switch (n.op) {
    case Prim::kMatmul:
      return 2 * count(n) * size(operand(0), operand(0).rank - 1u);
    // Each output (or gradient of one) takes C / groups · KH · KW products: a filter's elements.
    case Prim::kConv2d:
      return 2 * count(n) * count(operand(1)) / size(operand(1), 0);
    case Prim::kConv2dDx:
      return 2 * count(operand(0)) * count(operand(1)) / size(operand(1), 0);
    case Prim::kConv2dDw:
      return 2 * count(operand(0)) * count(n) / size(n, 0);
    default:
      return 0;
  }
}

}  // namespace

Work work_of(const Trace& trace, const Plan& plan, const Step& step) {
  Work w;
  std::vector<std::pair<NodeId, NodeId>> read;
  const auto once = [&](NodeId node, NodeId view) {
    for (const auto& [n, v] : read)
      if (n == node && v == view) return;
    read.emplace_back(node, view);
    w.bytes += shown_bytes(trace, node, view);
  };
  if (step.leaf != kNoNode) {
    for (const LeafOperand& o : step.operands) once(o.node, o.view);
    if (trace.nodes[step.leaf].numel) w.flops = contraction_flops(trace, step);
  }
  // Whether the epilogue writes its result over the leaf's, which then lies nowhere.
  const auto slot = [&](NodeId n) { return plan.slot_of[n]; };
  bool overwritten = false;
  if (step.kernel)
    for (const MemoryOperand& o : step.kernel->spec.operands) {
      if (o.node == step.leaf && !o.store) continue;  // a finished tile, still in cache
      overwritten |= o.store && step.leaf != kNoNode && slot(o.node) == slot(step.leaf);
      if (o.store)
        w.bytes += shown_bytes(trace, o.node, o.view);
      else
        once(o.node, o.view);
    }
  if (step.leaf != kNoNode && !overwritten) w.bytes += shown_bytes(trace, step.leaf, kNoNode);
  return w;
}

void report_launch(std::string_view name, bool leaf, std::int64_t tiles, const Work& work,
                   std::unique_ptr<Stopwatch> watch) {
  const bool prints = debug_level() >= 2;
  const double microseconds = prints ? watch->microseconds() : 0;
  if (counters().record.load(std::memory_order_relaxed)) {
    KernelRecord r;
    r.name = name;
    r.leaf = leaf;
    r.tiles = tiles;
    r.bytes = work.bytes;
    r.flops = work.flops;
    add_kernel_record(std::move(r), std::move(watch));
  }
  if (!prints) return;
  const double seconds = std::max(microseconds, 1e-3) * 1e-6;
  std::string line = "flash:   " + std::string(leaf ? "leaf " : "") + std::string(name);
  if (line.size() < 52) line.resize(52, ' ');
  char text[64];
  std::snprintf(text, sizeof text, " %10.1f us", microseconds);
  line += text;
  if (!leaf) line += ", " + std::to_string(tiles) + " tiles";
  line += ", " + with_unit(static_cast<double>(work.bytes), "B") + ", " +
          with_unit(static_cast<double>(work.bytes) / seconds, "B/s");
  if (work.flops > 0) line += ", " + with_unit(work.flops / seconds, "FLOP/s");
  std::fprintf(stderr, "%s\n", line.c_str());
}

}  // namespace flash::jit
