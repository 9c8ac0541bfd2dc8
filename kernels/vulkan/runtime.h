// kernels/vulkan/runtime.h -- Vulkan 1.2 devices behind the seam
//
// Sources are GLSL (jit/emit/clike), compiled by shaderc; what a kernel computes has the CPU's bits
// on every device (probe.h). Calls record into a batch (commands.h): a submission is made when
// somebody waits, or every few dozen commands. A run of a plan is gathered, and replayed where it
// comes again (recordings.h).
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "core/allocator.h"
#include "core/device.h"

namespace flash::vulkan {

class Gpu;
class Engine;
}  // namespace flash::vulkan
namespace flash::emit {
struct GlslTraits;
}
namespace flash::gpu {
struct Capabilities;
}
namespace flash::vulkan {

class VulkanRuntime final : public DeviceRuntime {
 public:
  /// Throws DeviceError or OutOfMemory. `traits`: what the device is taken to compute, instead of
  /// asking it, so that a test can have what other devices need.
  explicit VulkanRuntime(int index, const emit::GlslTraits* traits = nullptr);
  ~VulkanRuntime() override;

  Device id() const override;
  Allocator& allocator() override;

  /// CodeKind::kPortable is compiled as kBest is: a device has one way to run code.
  std::shared_ptr<LoadedKernel> load(const ir::Kernel& kernel, CodeKind kind) override;
  const std::int64_t* bind_args(std::span<const std::int64_t> words, Stream stream) override;
  bool begin_run(std::unique_ptr<Recording>& kept, Stream stream) override;
  void prepare_run(Stream stream) override;
  void end_run(Stream stream) override;
  void drop_run(Stream stream) override;
  void launch(std::span<const Launch> items, Stream stream) override;
  bool takes_epilogue(Prim op, DType dtype) const override;
  void run_leaf(const LeafCall& call, Stream stream) override;

  void copy(void* dst, const void* src, std::size_t bytes, Stream stream) override;
  void to_host(void* dst, const void* src, std::size_t bytes, Stream stream) override;
  void from_host(void* dst, const void* src, std::size_t bytes, Stream stream) override;
  void synchronize(Stream stream) override;

  std::unique_ptr<Stopwatch> start_timing(Stream stream) override;
  MachineLimits limits() override;
  int parallelism() const override { return parallelism_; }
  int load_threads() const override { return load_threads_; }

  /// "llvmpipe (LLVM 15.0.6, 256 bits), llvmpipe Mesa 22.3.6, version 1, 23 GiB; f32 fma by f64"
  std::string description() override;

 private:
  static void wait_at_exit();
  struct ThreadRun;
  Engine& engine();  ///< throws DeviceError in a child of a fork
  gpu::Capabilities capabilities() const;
  void count_copy(std::size_t bytes);
  ThreadRun& this_run();

  int index_;
  // Asked for by every kernel that is bound, and every plan: the system is asked once.
  int parallelism_ = 0, load_threads_ = 1;
  std::shared_ptr<Gpu> gpu_;
  std::shared_ptr<Engine> engine_;  // for work, as engine()
  std::unique_ptr<Allocator> allocator_;
  std::mutex runs_mutex_;  // guards the map; what is in it is its thread's
  std::unordered_map<std::thread::id, std::unique_ptr<ThreadRun>> runs_;
  std::mutex recordings_mutex_;  // guards the Recordings of all plans
  std::mutex limits_mutex_;
  std::optional<MachineLimits> limits_;  // guarded by it
};

/// Those that have what Flash needs, GPUs first.
int count_devices();
/// Why there is none, for people.
std::string what_is_missing();

}  // namespace flash::vulkan
