// kernels/gpu/graph.cpp -- recording a plan's commands as a graph, and replaying it
#include "kernels/gpu/graph.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "core/log.h"

namespace flash::gpu {
namespace {

// A graph costs a driver some microseconds, as two or three launches do.
constexpr std::size_t kWorthRecording = 4;
// Threads that run one plan: a graph each.
constexpr std::size_t kMostGraphs = 8;

bool same(const Command& a, const Command& b) {
  return a.function == b.function && a.geometry == b.geometry && a.args == b.args &&
         a.tiles == b.tiles && a.to == b.to && a.from == b.from && a.bytes == b.bytes &&
         a.product == b.product && a.operands == b.operands;
}
bool same(const std::vector<Command>& a, const std::vector<Command>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Command& x, const Command& y) { return same(x, y); });
}

}  // namespace

void enqueue(Context& context, const Command& c, Address args, Handle stream) {
  if (c.product) {
    const auto& [a, b, bias, out, workspace] = c.operands;
    c.product->enqueue(a, b, bias, out, workspace, stream);
    return;
  }
  if (!c.function) {
    context.check(context.calls().copy(c.to, c.from, c.bytes, stream), "copying on the device");
    return;
  }
  Address at = args + static_cast<Address>(c.args) * sizeof(std::int64_t);
  std::int64_t tiles = c.tiles;
  void* parameters[] = {&at, &tiles};
  const Geometry& g = c.geometry;
  const int error =
      context.calls().launch(c.function, g.grid, 1, 1, g.x, g.y, 1, 0, stream, parameters, nullptr);
  if (error != kSuccess) context.check(error, ("launching " + *c.name).c_str());
}

Graphs::~Graphs() {
  for (Graph& g : graphs_) drop(g);
}

void Graphs::drop(Graph& graph) noexcept {
  context_->destroy_graph(std::exchange(graph.executable, nullptr));
  graph.recorded.clear();
}

void Graphs::record(Graph& graph, const std::vector<Command>& commands) {
  const DriverCalls& d = context_->calls();
  drop(graph);
  // A stream of its own, so that what other threads enqueue meanwhile is not recorded.
  const Handle stream = context_->recorder();
  context_->check(d.begin_capture(stream, kCaptureThread), "beginning to record a graph");
  Handle recorded = nullptr;
  try {
    for (const Command& c : commands) enqueue(*context_, c, graph.args, stream);
  } catch (...) {
    if (d.end_capture(stream, &recorded) == kSuccess && recorded) d.destroy_graph(recorded);
    throw;
  }
  context_->check(d.end_capture(stream, &recorded), "recording a graph");
  Handle executable = nullptr;
  const int error = d.instantiate(&executable, recorded, 0);
  d.destroy_graph(recorded);
  context_->check(error, "making a graph");
  graph.executable = executable;
  graph.recorded = commands;
}

bool Graphs::run(const std::vector<Command>& commands, Address args) {
  auto at =
      std::find_if(graphs_.begin(), graphs_.end(), [&](const Graph& g) { return g.args == args; });
  if (at == graphs_.end()) {
    if (graphs_.size() == kMostGraphs) {
      drop(graphs_.back());
      graphs_.pop_back();
    }
    at = graphs_.insert(graphs_.end(), Graph{.args = args});
  }
  std::rotate(graphs_.begin(), at, at + 1);
  Graph& graph = graphs_.front();

  bool replays = graph.executable && same(commands, graph.recorded);
  if (!replays && records_ && commands.size() >= kWorthRecording && same(commands, graph.last))
    try {
      record(graph, commands);
      replays = true;
    } catch (const DeviceError& e) {  // what graphs would do is done without them
      if (context_->lost()) throw;
      records_ = false;
      logging::warn(std::string(e.what()) + " This plan is launched kernel by kernel.");
    }
  // For the message of an error that shows later.
  for (const Command& c : commands)
    if (c.name) context_->launched(*c.name);
  if (replays) {
    context_->check(context_->calls().launch_graph(graph.executable, context_->queue()),
                    "launching a graph");
    graph.last.clear();  // others that come now and then do not take its place
    return true;
  }
  for (const Command& c : commands) enqueue(*context_, c, args, context_->queue());
  graph.last = commands;
  return false;
}

}  // namespace flash::gpu
