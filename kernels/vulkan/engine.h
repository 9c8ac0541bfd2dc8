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
#include "kernels/vulkan/commands.h"
#include "kernels/vulkan/memory.h"
#include "kernels/vulkan/program.h"
#include "kernels/vulkan/staging.h"

namespace flash::vulkan {

/// One dispatch of a program.
struct Dispatch {
  Program* program = nullptr;
  VkDeviceAddress args = 0;
  std::int64_t tiles = 0;
  int x = 1, y = 1;
};

/// Thread-safe.
class Engine {
 public:
  explicit Engine(std::shared_ptr<Gpu> gpu);
  ~Engine();

  const std::shared_ptr<Gpu>& gpu() const { return gpu_; }
  /// The caller's to give to an allocator, which it must not outlive.
  std::unique_ptr<RawMemory> take_memory();

  const std::int64_t* bind_args(std::span<const std::int64_t> words, Stream stream);
  /// Those of one call wait for what came before, and not for each other.
  void dispatch(std::span<const Dispatch> all, Stream stream);
  /// In order. `faults`: they may leave a record in the fault buffer.
  void run(std::span<const gpu::LeafLaunch> launches, bool faults, Stream stream);

  void copy(void* dst, const void* src, std::size_t bytes, Stream stream);
  void to_host(void* dst, const void* src, std::size_t bytes, Stream stream);
  void from_host(void* dst, const void* src, std::size_t bytes, Stream stream);
  /// Waits, then throws what kernels have complained of.
  void synchronize(Stream stream);
  /// Waits for all streams.
  void drain();

  /// Destroys a program once the device is done with it.
  void retire(std::unique_ptr<Program> program);

  void* faults() const;
  std::int64_t next_serial();

 private:
  struct StreamState {
    explicit StreamState(const std::shared_ptr<Gpu>& gpu);
    Commands commands;
    Staging args, up, down;
    std::unordered_map<std::thread::id, Staging::Page*> held;  // of args, by who bound last
    std::vector<std::pair<std::uint64_t, std::unique_ptr<Program>>> retired;  // by last batch
  };
  StreamState& stream(Stream s);
  void let_go(StreamState& s);
  void free_retired(StreamState& s);
  void read(void* dst, Place from, std::size_t bytes, StreamState& s,
            std::unique_lock<std::mutex>& lock);
  void check_faults(StreamState& s, std::unique_lock<std::mutex>& lock);

  const std::shared_ptr<Gpu> gpu_;
  DeviceMemory* memory_ = nullptr;  // owned by the allocator
  std::mutex mutex_;                // guards all that follows
  std::unordered_map<std::uint32_t, std::unique_ptr<StreamState>> streams_;
  std::unordered_map<std::string_view, std::unique_ptr<Program>> leaf_programs_;  // by entry
  DeviceBuffer fault_buffer_;
  std::int64_t serial_ = 0;
  bool may_have_faulted_ = false;
};

}  // namespace flash::vulkan
