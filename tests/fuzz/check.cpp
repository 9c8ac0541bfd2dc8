// tests/fuzz/check.cpp -- the ways a program is run in, and the shrinker
#include "fuzz/check.h"

#include <algorithm>
#include <iterator>
#include <memory>

#include "core/autograd/tape.h"
#include "core/evaluator.h"
#include "jit/emit/emit.h"
#include "jit/evaluators/jit_evaluator.h"
#include "kernels/cpu/thread_pool.h"

namespace fuzz {
namespace {

/// Fuses, but compiles for the narrowest vectors there is code for.
class NarrowEvaluator final : public Evaluator {
 public:
  std::string_view name() const override { return "narrow"; }
  void evaluate(const EvaluationRequest& request, Progress& progress) override {
    const emit::IsaLimit limit(emit::Isa::kAvx2);
    inner_->evaluate(request, progress);
  }
  void prepare_thread() override { inner_->prepare_thread(); }

 private:
  const std::unique_ptr<Evaluator> inner_ = jit::make_fusing_evaluator();
};

struct Way {
  const char* name;
  const char* evaluator = "counted";
  int threads = 2;
  bool flush_points = false;
  bool drop = false;
  bool keeps_all = false;  ///< the tape makes nothing again
  int shift = -1;
};
constexpr Way kFused = {.name = "fused"};
/// On another device the seed chooses one of these; the reference is the CPU.
constexpr Way kDeviceWays[] = {
    {.name = "eager", .evaluator = "eager"},
    {.name = "with flush points", .flush_points = true},
    {.name = "with few cached plans and kernels", .evaluator = "few"},
    {.name = "with half of the values dropped", .drop = true},
};
constexpr Way kInterpreted = {.name = "interpreted", .evaluator = "interpret"};
constexpr Way kKept = {.name = "with everything kept that the tape could make again",
                       .keeps_all = true};
/// Of these, the seed chooses one, and the variant.
constexpr Way kWays[] = {
    {.name = "eager", .evaluator = "eager"},
    {.name = "with flush points", .flush_points = true},
    {.name = "with few cached plans and kernels", .evaluator = "few"},
    {.name = "for AVX2", .evaluator = "narrow"},
    {.name = "on one thread", .threads = 1},
    {.name = "on three threads", .threads = 3},
    {.name = "with half of the values dropped", .drop = true},
    {.name = "with leaves one element off alignment", .shift = 1},
    {.name = "with leaves three elements off alignment, eager",
     .evaluator = "eager",
     .flush_points = true,
     .shift = 3},
};

Device device;  ///< where programs run

std::vector<Outcome> run_in(const Way& way, const Program& p, int variant, Device on = device) {
  use_evaluator(way.evaluator);
  autograd::tape_thread.keeps_all = way.keeps_all;
  cpu::set_num_threads(way.threads);
  set_default_device(on);
  return run(p,
             {variant, way.flush_points, way.drop, way.shift, device.type() == DeviceType::kCpu});
}

std::string broken(const std::vector<Outcome>& outcomes) {
  for (const Outcome& o : outcomes)
    if (o.what.starts_with(kBroken)) return "v" + std::to_string(o.instr) + ", " + o.what;
  return "";
}

/// A kept activation was changed in place, so there is no gradient; one that is made again from its
/// operand has one still. Where the operand is the user's memory it is kept.
bool refused(const std::vector<Outcome>& outcomes) {
  return std::any_of(outcomes.begin(), outcomes.end(), [](const Outcome& o) {
    return o.what.find("but it was changed in place later") != std::string::npos;
  });
}

std::vector<Outcome> without_dropped(const Program& p, std::vector<Outcome> outcomes) {
  std::erase_if(outcomes, [&](const Outcome& o) {
    return (o.what == "value" || o.what == "grad" || o.what == "blob") && dropped(p, o.instr);
  });
  return outcomes;
}

Coverage* reached = nullptr;

/// The device's fused runs, and those that the seed chooses, against the CPU's.
std::string compare_with_cpu(const Program& p) {
  Random r(p.seed ^ 0xDE71CE);
  const Way& chosen = kDeviceWays[r.below(std::size(kDeviceWays))];
  const auto chosen_variant = r.below(2);
  for (const int variant : {0, 1}) {
    const auto want = run_in({.name = "the CPU", .evaluator = "fuse"}, p, variant, {});
    const std::uint64_t planned = stats().plan_misses;
    for (const Way* way : {&kFused, &chosen}) {
      if (way == &chosen && variant != chosen_variant) continue;
      const auto got = run_in(*way, p, variant);
      if (way == &kFused && variant == 1 && stats().plan_misses == planned) ++reached->replayed;
      const std::string d = difference(way->drop ? without_dropped(p, want) : want, got);
      if (!d.empty())
        return "variant " + std::to_string(variant) + ", the CPU against " + device.str() + ", " +
               way->name + ": " + d;
      if (const std::string b = broken(got); !b.empty()) return b;
    }
  }
  return "";
}

std::string compare(const Program& p) {
  if (device.type() != DeviceType::kCpu) return compare_with_cpu(p);
  Random r(p.seed ^ 0xC0FFEE);
  const Way* way_of_seed = &kWays[r.below(std::size(kWays))];
  if (p.grads && r.one_in(4)) way_of_seed = &kKept;
  const Way& chosen = *way_of_seed;
  const auto chosen_variant = r.below(2);
  // The sizes and numbers of variant 1 are replayed through the plans of variant 0.
  for (const int variant : {0, 1}) {
    const std::uint64_t planned = stats().plan_misses;
    const auto fused = run_in(kFused, p, variant);
    if (variant == 1 && stats().plan_misses == planned) ++reached->replayed;
    for (const Way* way : {&kInterpreted, &chosen}) {
      if (way == &chosen && variant != chosen_variant) continue;
      const auto other = run_in(*way, p, variant);
      if ((way == &kKept || way->shift >= 0) && refused(other)) continue;
      std::string d = difference(way->drop ? without_dropped(p, fused) : fused, other);
      if (d.empty()) d = broken(other);
      if (!d.empty())
        return "variant " + std::to_string(variant) + ", fused against " + way->name + ": " + d;
    }
  }
  return "";
}

}  // namespace

void prepare(Coverage& coverage, const std::string& on) {
  device = Device(on);
  reached = &coverage;
  use_evaluator("fuse");  // devices and evaluators are installed before ours are added
  install_evaluator(make_counting(jit::make_evaluator({.name = "counted"}), coverage));
  install_evaluator(jit::make_evaluator({.name = "few", .plans = 2, .kernels = 3}));
  install_evaluator(std::make_unique<NarrowEvaluator>());
}

std::string check(const Program& p) {
  try {
    return compare(p);
  } catch (const std::exception& e) {
    return std::string("an evaluation threw: ") + e.what();
  }
}

Program shrink(Program p, const std::function<std::string(const Program&)>& check) {
  for (std::size_t size = p.code.size() / 2; size >= 1; size = size == 1 ? 0 : size / 2)
    for (int round = 0; round < 3; ++round) {
      bool smaller = false;
      for (std::size_t at = 0; at < p.code.size(); at += size) {
        Program q = p;
        bool any = false;
        for (std::size_t i = at; i < std::min(at + size, q.code.size()); ++i) {
          any = any || q.code[i].op != Op::kNop;
          q.code[i] = {};
        }
        if (!any || check(q).empty()) continue;
        p = std::move(q);
        smaller = true;
      }
      if (!smaller) break;
    }
  return p;
}

}  // namespace fuzz
