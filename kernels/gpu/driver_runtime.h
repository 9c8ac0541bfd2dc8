// kernels/gpu/driver_runtime.h -- a device behind a driver like CUDA's: the runtime that CUDA and
// HIP share
//
// MEMORY  A device has one queue, which runs everything in the order of the calls, whatever the
// thread. So a block that is freed may be handed out at once: only work that is enqueued later can
// use it, and that runs when all that used it before is done. The host never touches device memory;
// it sends and fetches through pinned memory (staging.h) by work in the same queue. Whoever brings
// a second queue, or gives a block to another device, must make that wait for an event recorded
// here, and this queue for one recorded there before the block is freed, as peer.h does.
//
// ERRORS  of a call are thrown by it. Errors of a kernel show in a later call; see context.h.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/allocator.h"
#include "core/device.h"
#include "kernels/gpu/context.h"
#include "kernels/gpu/graph.h"
#include "kernels/gpu/loader.h"
#include "kernels/gpu/scratch.h"
#include "kernels/gpu/staging.h"
#include "kernels/gpu/stopwatch.h"
#include "kernels/gpu/timer.h"
#include "kernels/leaf.h"

namespace flash::gpu {

class DriverRuntime : public DeviceRuntime {
 public:
  ~DriverRuntime() override;

  Device id() const override { return id_; }
  Allocator& allocator() override { return *allocator_; }
  /// Both kinds of code are the same: there is one emitter for this device.
  std::shared_ptr<LoadedKernel> load(const ir::Kernel& kernel, CodeKind kind) override;
  int load_threads() const override { return loader_.compiler().threads(); }
  const std::int64_t* bind_args(std::span<const std::int64_t> words, Stream stream) override;
  bool begin_run(std::unique_ptr<Recording>& kept, Stream stream) override;
  void prepare_run(Stream stream) override;
  void end_run(Stream stream) override;
  void drop_run(Stream) override { this_run().clear(); }
  void prepare(std::span<const Launch> items, Stream stream) override;
  void launch(std::span<const Launch> items, Stream stream) override;
  bool takes_epilogue(Prim op, DType) const override { return leaf_takes_epilogue(op); }
  void run_leaf(const LeafCall& call, Stream stream) override;
  void copy(void* dst, const void* src, std::size_t bytes, Stream stream) override;
  void to_host(void* dst, const void* src, std::size_t bytes, Stream stream) override;
  void from_host(void* dst, const void* src, std::size_t bytes, Stream stream) override;
  bool copy_from_peer(void* dst, DeviceRuntime& peer, const void* src, std::size_t bytes,
                      Stream stream) override;
  void synchronize(Stream stream) override;
  int parallelism() const override { return context_->processors(); }
  std::unique_ptr<Stopwatch> start_timing(Stream stream) override;
  std::string description() override;
  std::uint64_t pending() const override { return loader_.pending(); }
  MachineLimits limits() override;

 protected:
  DriverRuntime(const Driver& driver, Compiler& compiler, emit::Dialect dialect, int index);
  const std::shared_ptr<Context>& context() const { return context_; }
  void use(std::unique_ptr<ProductLibrary> library) { products_ = std::move(library); }
  void use_tensor_cores() { capabilities_.tensor_cores = true; }

 private:
  /// What a thread runs, or ran last.
  struct Run {
    explicit Run(Allocator& allocator) : scratch(allocator) {}
    std::unique_ptr<Recording>* kept = nullptr;  ///< null: no run is open
    /// Its ArgBlocks. Its next run writes them over, in the same queue: behind the launches that
    /// read them.
    Block* args = nullptr;
    QueueStopwatch<Timer>* watch = nullptr;  ///< that waits for the next command
    // Of the open run, for end_run(), or of the leaf kernel at hand:
    std::vector<std::int64_t> words;
    std::vector<Command> commands;
    std::vector<std::pair<std::size_t, LeafKernel*>> unloaded;  ///< leaf kernels of commands
    Scratch scratch;
    bool may_fault = false;
    bool cold = false;  ///< the generic kernel is among the commands

    /// All is enqueued, or given up.
    void clear() noexcept {
      scratch.give_back();
      kept = nullptr;
      words.clear();
      commands.clear();
      unloaded.clear();
      may_fault = cold = false;
    }
  };
  Run& this_run();
  /// Room for so many words of ArgBlocks.
  Block& args_of(Run& run, std::size_t words);
  /// Tells of faults, and clears the run.
  struct Close {
    DriverRuntime& runtime;
    Run& run;
    ~Close();
  };
  /// Enqueues a command at once, whose words are on the device.
  void enqueue_now(Run& run, const Command& command, Address args);
  Command kernel_command(const KernelShape& shape, const DriverKernel& kernel, Handle function,
                         const Launch& item) const;
  /// A launch of the generic kernel, in the place of one that is not compiled yet. None where that
  /// would keep the device busy for longer than it is worth.
  std::optional<Command> generic_command(Run& run, const DriverKernel& kernel, const Launch& item);
  /// Behind the run's words and commands.
  void add_leaf(Run& run, const LeafLaunch& launch, const Epilogue* epilogue);
  void add_product(Run& run, const LeafCall& call, std::shared_ptr<const LibraryProduct> product);
  /// Side by side; then the commands have their functions.
  void load_leaves(Run& run);
  /// The device's fault buffer, and the number of the call that asks for it.
  std::pair<void*, std::int64_t> fault_buffer();
  /// While a run that may fault is enqueued: a check would zero what it has not read, if the
  /// kernels came between.
  std::unique_lock<std::mutex> lock_faults(const Run& run);
  /// Throws IndexError if a kernel that is done met a bad index, here or on a device that
  /// something was copied from, where nobody might ever wait.
  void check_faults();
  void check_own_faults();

  const Device id_;
  const std::shared_ptr<Context> context_;
  Loader loader_;
  std::unique_ptr<Allocator> allocator_;
  std::unique_ptr<ProductLibrary> products_;  // null: this vendor has none
  Staging staging_;
  Capabilities capabilities_;

  std::mutex runs_mutex_;  // guards the map; a Run is its thread's
  std::unordered_map<std::thread::id, Run> runs_;
  std::mutex graphs_mutex_;  // guards the Recordings of all plans

  std::mutex limits_mutex_;
  std::optional<MachineLimits> limits_;  // guarded by it

  // A leaf kernel that meets a bad index writes it down (fault.h); whoever waits next is told.
  std::mutex fault_mutex_;  // guards what follows
  Block* faults_ = nullptr;
  std::int64_t serial_ = 0;
  std::atomic<bool> may_fault_{false};
  std::array<std::atomic<DriverRuntime*>, Device::kOfOneType> copied_from_{};  // since a check
};

}  // namespace flash::gpu
