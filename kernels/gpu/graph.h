// kernels/gpu/graph.h -- a plan's runs as graphs: many launches that a driver takes in one call
//
// Runs of one plan differ in addresses, sizes and scalars, and all of these lie in ArgBlocks. What
// a launch itself says (the kernel, threads, tiles, where its ArgBlock lies) is the same every time
// while shapes are. (A copy and a library's product name addresses, of which a steady loop has a
// few.) So a run's commands are gathered, and where they come again (repeats.h) a graph
// is made of them: from then on one call enqueues all, behind one copy of the words.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/device.h"
#include "kernels/gpu/context.h"
#include "kernels/gpu/geometry.h"
#include "kernels/gpu/product_library.h"
#include "kernels/gpu/repeats.h"

namespace flash::gpu {

/// A kernel's launch, or a library's product; without either a copy on the device.
struct Command {
  Handle function = nullptr;
  const std::string* name = nullptr;  ///< the kernel's, which lives as long as the function
  Geometry geometry = {};
  std::int64_t args = 0;  ///< where its ArgBlock begins, in words of the run
  std::int64_t tiles = 0;
  Address to = 0, from = 0;  ///< of a copy
  std::size_t bytes = 0;
  std::shared_ptr<const LibraryProduct> product = {};
  std::array<Address, 5> operands = {};  ///< of a product: a, b, bias, output, workspace
  bool operator==(const Command&) const = default;
};

/// Enqueues a command whose run has its words at `args`.
void enqueue(Context& context, const Command& command, Address args, Handle stream);

/// The graphs of one plan on one device. One call at a time.
class Graphs final : public Recording {
 public:
  explicit Graphs(std::shared_ptr<Context> context);

  /// Enqueues all commands of a run. True if a graph did.
  bool run(const std::vector<Command>& commands, Address args);

 private:
  struct Destroy {
    std::shared_ptr<Context> context;
    void operator()(void* graph) const noexcept { context->destroy_graph(graph); }
  };
  using Graph = std::unique_ptr<void, Destroy>;
  Graph record(const std::vector<Command>& commands, Address args);

  const std::shared_ptr<Context> context_;
  Repeats<Command, Graph> repeats_;
};

}  // namespace flash::gpu
