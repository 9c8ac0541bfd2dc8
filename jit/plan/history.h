// jit/plan/history.h -- times launches while someone asks for them
#pragma once

#include <atomic>
#include <chrono>
#include <span>
#include <string_view>

#include "core/counters.h"
#include "core/device.h"

namespace flash::jit {

/// Records one launch, if recording is on or FLASH_DEBUG is 2 or more.
class KernelTimer {
 public:
  KernelTimer(std::string_view name, bool leaf, std::span<const Launch> items)
      : on_(counters().record.load(std::memory_order_relaxed)) {
    if (!on_) [[likely]]
      return;
    name_ = name;
    leaf_ = leaf;
    for (const Launch& l : items) tiles_ += l.tiles;
    start_ = std::chrono::steady_clock::now();
  }
  ~KernelTimer() {
    if (!on_) [[likely]]
      return;
    const std::chrono::duration<double, std::micro> t = std::chrono::steady_clock::now() - start_;
    add_kernel_record(name_, leaf_, t.count(), tiles_);
  }
  KernelTimer(const KernelTimer&) = delete;
  KernelTimer& operator=(const KernelTimer&) = delete;

 private:
  const bool on_;
  bool leaf_ = false;
  std::string_view name_;
  std::int64_t tiles_ = 0;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace flash::jit
