// core/trace_dot.cpp -- the recorded trace as Graphviz text, plain or with the kernels it will
// become
#include <map>

#include "core/evaluator.h"
#include "core/scope.h"
#include "core/stats.h"
#include "core/thread_traces.h"

namespace flash {
namespace {

std::string box(const Trace& t, std::size_t i, const char* more) {
  const Node& n = t.nodes[i];
  std::string s = "n" + std::to_string(i) + " [label=\"" + std::string(info(n.op).name) + "\\n" +
                  std::string(name(n.dtype)) + " " + Shape(t.shape(n)).str();
  if (const std::string_view scope = scope_name(n.scope); !scope.empty()) {
    s += "\\n";
    for (char c : scope) {
      if (c == '"' || c == '\\') s += '\\';
      s += c == '\n' ? ' ' : c;
    }
  }
  return s + "\"" + (n.owner ? ", style=bold" : "") + more + "];\n";
}

/// What a flush would be asked for now.
std::vector<std::int32_t> kernels_of(const Trace& t) {
  std::vector<LiveOut> live;
  for (std::size_t i = 0; i < t.nodes.size(); ++i)
    if (t.nodes[i].owner && t.nodes[i].op != Prim::kInput)
      live.push_back({static_cast<NodeId>(i), t.nodes[i].owner->soft_live(), {}});
  const std::vector<char> dying(t.nodes.size(), 0);
  return evaluator().kernels_of({t, t.nodes.size(), live, dying, FlushReason::kEval});
}

}  // namespace

std::string trace_to_dot(Device device, bool fused) {
  Trace& t = this_trace(device);
  TraceLock lock(t);
  std::string s = "digraph trace {\n  rankdir=TB; node [shape=box, fontname=monospace];\n";
  std::map<std::int32_t, std::vector<std::size_t>> kernels;  // -1: in none, -2: not needed
  std::vector<std::int32_t> of;
  if (fused) of = kernels_of(t);
  for (std::size_t i = 0; i < t.nodes.size(); ++i) kernels[i < of.size() ? of[i] : -1].push_back(i);
  for (const auto& [kernel, nodes] : kernels) {
    if (kernel >= 0)
      s += "  subgraph cluster_" + std::to_string(kernel) + " { label=\"kernel " +
           std::to_string(kernel) + "\"; style=rounded;\n";
    for (std::size_t i : nodes)
      s += (kernel >= 0 ? "    " : "  ") + box(t, i, kernel == -2 ? ", style=dashed" : "");
    if (kernel >= 0) s += "  }\n";
  }
  for (std::size_t i = 0; i < t.nodes.size(); ++i)
    for (NodeId u : t.in(t.nodes[i]))
      s += "  n" + std::to_string(u) + " -> n" + std::to_string(i) + ";\n";
  return s + "}\n";
}

}  // namespace flash
