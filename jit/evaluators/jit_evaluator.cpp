// jit/evaluators/jit_evaluator.cpp -- trace → key → cached plan, or a new one → run
#include "jit/evaluators/jit_evaluator.h"

#include <chrono>

#include "core/counters.h"
#include "jit/cache/key.h"
#include "jit/cache/lru.h"
#include "jit/debug/debug.h"
#include "jit/debug/explain.h"
#include "jit/evaluators/kernel_cache.h"
#include "jit/plan/plan.h"

namespace flash::jit {
namespace {

using Clock = std::chrono::steady_clock;
std::uint64_t ns_since(Clock::time_point t) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - t).count());
}

class JitEvaluator final : public Evaluator {
 public:
  explicit JitEvaluator(const EvaluatorOptions& options) : o_(options) {}

  std::string_view name() const override { return o_.name; }

  void evaluate(const EvaluationRequest& request, Progress& progress) override {
    const bool printed = debug_level() >= 1;
    const auto start = printed ? Clock::now() : Clock::time_point();
    PerDevice& d = of(request.trace.device());
    const std::uint64_t launches =
        printed ? d.device.counters.launches.load(std::memory_order_relaxed) : 0;
    counters().flushes.fetch_add(1, std::memory_order_relaxed);
    counters().nodes.fetch_add(request.count, std::memory_order_relaxed);
    const PlanKey key = plan_key(request);
    std::shared_ptr<Plan> plan;
    const bool hit = d.plans.find(key, plan);
    if (hit) {
      counters().plan_hits.fetch_add(1, std::memory_order_relaxed);
    } else {
      const auto planning = Clock::now();
      const std::uint64_t compiled = counters().compile_ns.load(std::memory_order_relaxed);
      plan = make_plan(request, o_.fuse, d.device, d.kernels);
      const std::uint64_t spent = counters().compile_ns.load(std::memory_order_relaxed) - compiled;
      const std::uint64_t all = ns_since(planning);
      counters().plan_ns.fetch_add(all > spent ? all - spent : 0, std::memory_order_relaxed);
      counters().plan_misses.fetch_add(1, std::memory_order_relaxed);
      d.plans.insert(key, plan);
      plans_made_.note(request);
    }
    run_plan(*plan, request, d.device, progress);
    if (printed)
      print_flush(request, *plan, hit,
                  d.device.counters.launches.load(std::memory_order_relaxed) - launches,
                  static_cast<double>(ns_since(start)) / 1e3);
  }

  void prepare_thread() override { prepare_run(); }

  std::vector<std::int32_t> kernels_of(const EvaluationRequest& request) override {
    Graph g(request, o_.fuse);
    DeviceRuntime& device = of(request.trace.device()).device;
    const Groups groups =
        make_groups(g, [&](Prim op, DType t) { return device.takes_epilogue(op, t); });
    std::vector<std::int32_t> kernel(request.count);
    for (NodeId n = 0; n < request.count; ++n) {
      const NodeId c = g.canonical(n);
      kernel[n] = g.reachable[n] ? groups.of[n] : g.reachable[c] ? groups.of[c] : -2;
    }
    return kernel;
  }

  std::string explain_last_compile() override { return plans_made_.explain_last(); }

 private:
  struct PerDevice {
    PerDevice(DeviceRuntime& r, const EvaluatorOptions& o)
        : device(r), kernels(r, o.code, o.kernels), plans(o.plans) {}
    DeviceRuntime& device;
    KernelCache kernels;
    Lru<PlanKey, std::shared_ptr<Plan>, KeyHash> plans;
  };

  PerDevice& of(Device device) {
    const auto i = static_cast<std::size_t>(device.slot());
    if (PerDevice* d = ready_[i].load(std::memory_order_acquire)) return *d;
    std::lock_guard lock(mutex_);
    if (!devices_[i]) devices_[i] = std::make_unique<PerDevice>(runtime(device), o_);
    ready_[i].store(devices_[i].get(), std::memory_order_release);
    return *devices_[i];
  }

  const EvaluatorOptions o_;
  PlansMade plans_made_;
  std::mutex mutex_;  // guards devices_ while one is added
  std::unique_ptr<PerDevice> devices_[Device::kSlots];
  std::atomic<PerDevice*> ready_[Device::kSlots] = {};
};

}  // namespace

std::unique_ptr<Evaluator> make_evaluator(const EvaluatorOptions& options) {
  return std::make_unique<JitEvaluator>(options);
}
std::unique_ptr<Evaluator> make_fusing_evaluator() { return make_evaluator({}); }
std::unique_ptr<Evaluator> make_eager_evaluator() {
  return make_evaluator({.name = "eager", .fuse = false});
}
std::unique_ptr<Evaluator> make_interpreting_evaluator() {
  return make_evaluator({.name = "interpret", .fuse = false, .code = CodeKind::kPortable});
}

}  // namespace flash::jit
