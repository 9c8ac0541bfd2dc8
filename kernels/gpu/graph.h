// kernels/gpu/graph.h -- a plan's runs as graphs: many launches that a driver takes in one call
//
// Runs of one plan differ in addresses, sizes and scalars, and all of these lie in ArgBlocks. What
// a launch itself says (the kernel, threads, tiles, where its ArgBlock lies) is the same every time
// while shapes are. (A copy and a library's product name addresses; in a steady loop those come
// again as well.) So a run's commands are gathered, and compared with those of the runs before:
// when the same come twice in a row a graph is made of them, and from then on one call enqueues
// all, behind one copy of the words.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/device.h"
#include "kernels/gpu/context.h"
#include "kernels/gpu/geometry.h"
#include "kernels/gpu/product_library.h"

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
};

/// Enqueues a command whose run has its words at `args`.
void enqueue(Context& context, const Command& command, Address args, Handle stream);

/// The graphs of one plan on one device. One call at a time.
class Graphs final : public Recording {
 public:
  explicit Graphs(std::shared_ptr<Context> context) : context_(std::move(context)) {}
  ~Graphs() override;

  /// Enqueues all commands of a run. True if a graph did.
  bool run(const std::vector<Command>& commands, Address args);

 private:
  /// Of the runs whose words lie in one place: of one thread.
  struct Graph {
    Address args = 0;
    std::vector<Command> last = {};      ///< of the latest run that was not replayed
    std::vector<Command> recorded = {};  ///< what `executable` does
    Handle executable = nullptr;
  };
  void record(Graph& graph, const std::vector<Command>& commands);
  void drop(Graph& graph) noexcept;

  const std::shared_ptr<Context> context_;
  bool records_ = context_->calls().begin_capture != nullptr;  // until the driver refuses
  std::vector<Graph> graphs_;                                  // the latest used first
};

}  // namespace flash::gpu
