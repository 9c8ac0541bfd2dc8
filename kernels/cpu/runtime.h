// kernels/cpu/runtime.h -- the CPU as a device: host memory, compiled kernels, one thread pool
#pragma once

#include <memory>
#include <vector>

#include "core/allocator.h"
#include "core/device.h"
#include "jit/emit/emit.h"
#include "kernels/cpu/workspace.h"

namespace flash::cpu {

/// Code of one kernel. `run` may be called from many threads at once.
class CpuKernel final : public LoadedKernel {
 public:
  CpuKernel(const ir::Kernel& kernel, std::unique_ptr<emit::Code> code);
  void run(const std::int64_t* args, std::int64_t tile_begin, std::int64_t tile_end) const {
    if (function_)
      function_(args, tile_begin, tile_end);
    else
      code_->run(args, tile_begin, tile_end);
  }
  const emit::Code& code() const { return *code_; }
  std::string listing() const override { return code_->listing(); }
  /// About how much there is to do: elements times instructions.
  std::int64_t work(const std::int64_t* args) const;

 private:
  std::unique_ptr<emit::Code> code_;
  emit::Function function_;
  std::int64_t cost_ = 0;  ///< of one element
  std::vector<ir::Role> axes_;
};

/// Calls return when the work is done, so streams and synchronisation cost nothing. Any thread may
/// launch; launches of several threads share one pool.
class CpuRuntime final : public DeviceRuntime {
 public:
  /// `memory`: where tensors lie; null: HostMemory.
  explicit CpuRuntime(std::unique_ptr<RawMemory> memory = nullptr);

  Device id() const override { return {DeviceType::kCpu}; }
  Allocator& allocator() override { return allocator_; }
  std::shared_ptr<LoadedKernel> load(const ir::Kernel& kernel, CodeKind kind) override;
  void launch(std::span<const Launch> items, Stream stream) override;
  bool takes_epilogue(Prim op, DType dtype) const override;
  void run_leaf(const LeafCall& call, Stream stream) override;
  void check_index(const Operand& index, std::int64_t rows, Stream stream) override;
  void copy(void* dst, const void* src, std::size_t bytes, Stream stream) override;
  void to_host(void* dst, const void* src, std::size_t bytes, Stream stream) override;
  void from_host(void* dst, const void* src, std::size_t bytes, Stream stream) override;
  void synchronize(Stream) override {}
  void prepare_thread() override { prepare_workspace(); }
  int parallelism() const override;
  MachineLimits limits() override;

 private:
  Allocator allocator_;
};

}  // namespace flash::cpu
