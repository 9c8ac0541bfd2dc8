// kernels/vulkan/engine.h -- what a runtime and its kernels share: the queue, streams, memory and
// the lock around them
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/device.h"
#include "kernels/gpu/fault.h"
#include "kernels/gpu/leaf.h"
#include "kernels/vulkan/command.h"
#include "kernels/vulkan/commands.h"
#include "kernels/vulkan/memory.h"
#include "kernels/vulkan/program.h"
#include "kernels/vulkan/staging.h"
#include "kernels/vulkan/timer.h"

namespace flash::vulkan {

/// Thread-safe.
class Engine {
 public:
  explicit Engine(std::shared_ptr<Gpu> gpu);
  ~Engine();

  const std::shared_ptr<Gpu>& gpu() const { return gpu_; }
  /// The caller's to give to an allocator, which it must not outlive.
  std::unique_ptr<RawMemory> take_memory();
  RawMemory& memory() { return *memory_; }

  /// Makes words readable by commands that are enqueued one by one.
  const std::int64_t* bind_args(std::span<const std::int64_t> words, Stream stream);
  /// In order; `args` of each is an address.
  void enqueue(std::span<const Command> commands, Stream stream);
  /// The same for commands whose ArgBlocks lie in `words`. `faults`: they may leave a record in the
  /// fault buffer.
  void run(std::span<const Command> commands, std::span<const std::int64_t> words, bool faults,
           Stream stream);
  /// Commands whose ArgBlocks will lie at `args`, to be replayed. To be given to retire().
  std::unique_ptr<Recorded> record(std::span<const Command> commands, VkDeviceAddress args);
  /// What run() does, by what was recorded of the commands: `words` are copied to its `args`.
  void replay(const Recorded& recorded, std::span<const std::int64_t> words, void* args,
              bool faults, Stream stream);
  /// The program of a leaf kernel, compiled when it is asked for first.
  Program& leaf_program(const gpu::LeafLaunch& launch);
  /// Where device memory lies that is to be copied.
  Place place_of(const void* data) const { return memory_->place_of(data); }

  void to_host(void* dst, const void* src, std::size_t bytes, Stream stream);
  void from_host(void* dst, const void* src, std::size_t bytes, Stream stream);
  /// Waits, then throws what kernels have complained of.
  void synchronize(Stream stream);
  /// Writes down when the device has come to here: the first of a timer's marks, or the second.
  void mark(Marks& marks, std::uint32_t which, Stream stream);
  /// Waits for a batch, whoever has recorded it.
  void wait(std::uint64_t batch, Stream stream);
  /// Waits for all streams.
  void drain();

  /// Destroys what commands use (a program, a Recorded) once the device is done with it.
  void retire(std::shared_ptr<void> used);

  void* faults() const;
  std::int64_t next_serial();

 private:
  struct StreamState {
    explicit StreamState(const std::shared_ptr<Gpu>& gpu);
    Commands commands;
    Staging args, up, down;
    std::unordered_map<std::thread::id, Staging::Page*> held;  // of args, by who bound last
    std::vector<std::pair<std::uint64_t, std::shared_ptr<void>>> retired;  // by last batch
  };
  StreamState& stream(Stream s);
  void append(std::span<const Command> commands, VkDeviceAddress args, StreamState& s);
  void upload(Place to, const void* from, std::size_t bytes, StreamState& s);
  void let_go(StreamState& s);
  void free_retired(StreamState& s);
  void read(void* dst, Place from, std::size_t bytes, StreamState& s,
            std::unique_lock<std::mutex>& lock, bool clear);
  void check_faults(StreamState& s, std::unique_lock<std::mutex>& lock);

  const std::shared_ptr<Gpu> gpu_;
  DeviceMemory* memory_ = nullptr;  // owned by the allocator
  std::mutex mutex_;                // guards all that follows
  std::unordered_map<std::uint32_t, std::unique_ptr<StreamState>> streams_;
  std::unordered_map<std::string_view, std::unique_ptr<Program>> leaf_programs_;  // by entry
  VkCommandPool recorded_pool_ = VK_NULL_HANDLE;  // of every Recorded
  DeviceBuffer fault_buffer_;
  std::int64_t serial_ = 0;
  bool may_have_faulted_ = false;
};

}  // namespace flash::vulkan
