// kernels/gpu/graph.cpp -- recording a plan's commands as a graph, and replaying it
#include "kernels/gpu/graph.h"

#include <utility>

#include "core/error.h"
#include "core/log.h"

namespace flash::gpu {
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

Graphs::Graphs(std::shared_ptr<Context> context)
    : context_(std::move(context)), repeats_(context_->calls().begin_capture != nullptr) {}

Graphs::Graph Graphs::record(const std::vector<Command>& commands, Address args) {
  const DriverCalls& d = context_->calls();
  // A stream of its own, so that what other threads enqueue meanwhile is not recorded.
  const Handle stream = context_->recorder();
  context_->check(d.begin_capture(stream, kCaptureThread), "beginning to record a graph");
  Handle recorded = nullptr;
  try {
    for (const Command& c : commands) enqueue(*context_, c, args, stream);
  } catch (...) {
    if (d.end_capture(stream, &recorded) == kSuccess && recorded) d.destroy_graph(recorded);
    throw;
  }
  context_->check(d.end_capture(stream, &recorded), "recording a graph");
  Handle executable = nullptr;
  const int error = d.instantiate(&executable, recorded, 0);
  d.destroy_graph(recorded);
  context_->check(error, "making a graph");
  return {executable, Destroy{context_}};
}

bool Graphs::run(const std::vector<Command>& commands, Address args) {
  const Graph* const graph = repeats_.find(commands, args, [&]() -> Graph {
    try {
      return record(commands, args);
    } catch (const DeviceError& e) {  // what graphs would do is done without them
      if (context_->lost()) throw;
      logging::warn(std::string(e.what()) + " This plan is launched kernel by kernel.");
      return {};
    }
  });
  // For the message of an error that shows later.
  for (const Command& c : commands)
    if (c.name) context_->launched(*c.name);
  if (graph)
    context_->check(context_->calls().launch_graph(graph->get(), context_->queue()),
                    "launching a graph");
  else
    for (const Command& c : commands) enqueue(*context_, c, args, context_->queue());
  return graph != nullptr;
}

}  // namespace flash::gpu
