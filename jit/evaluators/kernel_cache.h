// jit/evaluators/kernel_cache.h -- fused kernel → code, for one device and kind of code
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "core/device.h"
#include "jit/cache/key.h"
#include "jit/cache/lru.h"
#include "jit/plan/plan.h"

namespace flash::jit {

/// Loads what it does not have, and forgets what was used longest ago. Thread-safe.
class KernelCache final : public KernelSource {
 public:
  KernelCache(DeviceRuntime& device, CodeKind kind, std::size_t most)
      : device_(device), kind_(kind), cache_(most) {}

  void load(std::vector<WantedKernel> wanted) override;

 private:
  struct Missing {
    ir::Key key;
    const ir::Kernel* kernel = nullptr;
    std::shared_ptr<LoadedKernel> code;
    double microseconds = 0;
  };
  void load_one(Missing& m) const;
  /// All of them, on several threads where the device likes that, into the cache. What fails first
  /// is thrown when the others are there.
  void load_all(std::vector<Missing>& missing);

  DeviceRuntime& device_;
  const CodeKind kind_;
  Lru<ir::Key, std::shared_ptr<LoadedKernel>, KeyHash> cache_;
};

}  // namespace flash::jit
