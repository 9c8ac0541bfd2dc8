// kernels/vulkan/timer.cpp -- timestamps in the queue, and what lies between two of them
#include "kernels/vulkan/timer.h"

#include <utility>

#include "kernels/vulkan/engine.h"

namespace flash::vulkan {

Marks::Marks(std::shared_ptr<Gpu> g) : gpu(std::move(g)) {
  if (gpu->clock_bits == 0) return;
  VkQueryPoolCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO;
  info.queryType = VK_QUERY_TYPE_TIMESTAMP;
  info.queryCount = 2;
  gpu->check(gpu->vk().CreateQueryPool(gpu->device, &info, nullptr, &pool), "making timestamps");
}

Marks::~Marks() {
  if (pool == VK_NULL_HANDLE || !gpu->process.here()) return;  // the driver is the parent's
  gpu->vk().DestroyQueryPool(gpu->device, pool, nullptr);
}

double Marks::microseconds() const {
  if (pool == VK_NULL_HANDLE)
    return std::chrono::duration<double, std::micro>(host[1] - host[0]).count();
  std::array<std::uint64_t, 2> at{};
  gpu->check(
      gpu->vk().GetQueryPoolResults(gpu->device, pool, 0, 2, sizeof at, at.data(), sizeof at[0],
                                    VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT),
      "asking for a time");
  const std::uint64_t steps = (at[1] - at[0]) & (~std::uint64_t{0} >> (64 - gpu->clock_bits));
  return static_cast<double>(steps) * gpu->clock_ns * 1e-3;
}

Timer::Timer(std::shared_ptr<Engine> engine, Stream stream)
    : engine_(std::move(engine)),
      stream_(stream),
      marks_(std::make_unique<Marks>(engine_->gpu())) {}

Timer::~Timer() {
  if (marks_) engine_->retire(std::move(marks_));
}

void Timer::start() { engine_->mark(*marks_, 0, stream_); }
void Timer::stop() { engine_->mark(*marks_, 1, stream_); }

double Timer::microseconds() {
  engine_->wait(marks_->batch, stream_);
  return marks_->microseconds();
}

}  // namespace flash::vulkan
