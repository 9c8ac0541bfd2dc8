// kernels/vulkan/recordings.h -- a plan's runs as recorded commands that batches execute
//
// Runs of one plan differ in addresses, sizes and scalars, and all of these lie in ArgBlocks, which
// kernels find by an address. So where a run comes again (kernels/gpu/repeats.h) its commands are
// recorded once, for one place of ArgBlocks; a run is then one copy of its words to there and one
// command that executes the rest. All go into the same queue, so the copy comes behind what read
// the words of the run before.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/device.h"
#include "kernels/gpu/repeats.h"
#include "kernels/vulkan/engine.h"

namespace flash::vulkan {

/// A run of a plan. Its ArgBlocks lie in `words`, and go to `args` where it is replayed: device
/// memory of its thread.
struct Run {
  const std::vector<Command>& commands;
  std::span<const std::int64_t> words;
  void* args = nullptr;
  bool may_fault = false;  ///< its kernels may leave a record in the fault buffer
};

/// What is recorded of one plan on one device. One call at a time, but for the destructor.
class Recordings final : public Recording {
 public:
  explicit Recordings(std::shared_ptr<Engine> engine) : engine_(std::move(engine)) {}

  /// Enqueues a run. True if it was a replay.
  bool run(const Run& run, Stream stream);

 private:
  struct Retire {
    std::shared_ptr<Engine> engine;
    void operator()(Recorded* r) const { engine->retire(std::unique_ptr<Recorded>(r)); }
  };
  using Kept = std::unique_ptr<Recorded, Retire>;

  const std::shared_ptr<Engine> engine_;
  gpu::Repeats<Command, Kept> repeats_{true};
};

}  // namespace flash::vulkan
