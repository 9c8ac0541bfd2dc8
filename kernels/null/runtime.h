// kernels/null/runtime.h -- a device that computes nothing and counts what it is asked to do
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "core/allocator.h"
#include "core/device.h"

namespace flash::null {

/// For tests: records and plans are those of a real device, launches are counted by name. Memory is
/// address space that reads as zeros; results of kernels are never written.
class NullRuntime final : public DeviceRuntime {
 public:
  explicit NullRuntime(int parallelism = 1);

  /// Launches of each kernel, by its name, and of each leaf kernel, by its primitive's. A launch of
  /// several items is counted under the names of its items, joined by '+'.
  std::map<std::string, std::uint64_t> launches_by_name() const;
  /// Kernels loaded so far.
  std::uint64_t loaded() const { return loaded_; }
  /// Starts all counts again from 0.
  void reset();

  Device id() const override { return {DeviceType::kNull}; }
  Allocator& allocator() override { return allocator_; }
  std::shared_ptr<LoadedKernel> load(const ir::Kernel& kernel, CodeKind kind) override;
  void launch(std::span<const Launch> items, Stream stream) override;
  bool takes_epilogue(Prim op, DType dtype) const override;
  void run_leaf(const LeafCall& call, Stream stream) override;
  void copy(void* dst, const void* src, std::size_t bytes, Stream stream) override;
  void to_host(void* dst, const void* src, std::size_t bytes, Stream stream) override;
  void from_host(void* dst, const void* src, std::size_t bytes, Stream stream) override;
  void synchronize(Stream) override {}
  int parallelism() const override { return parallelism_; }

 private:
  void count(const std::string& name, std::size_t bytes);

  const int parallelism_;
  Allocator allocator_;
  std::atomic<std::uint64_t> loaded_{0};
  mutable std::mutex mutex_;  // guards by_name_
  std::map<std::string, std::uint64_t> by_name_;
};

}  // namespace flash::null
