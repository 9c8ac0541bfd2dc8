// bench/memory.cpp -- bytes of tensors that a training step keeps at its peak
#include <memory>
#include <optional>

#include "bench/models.h"
#include "bench/workloads.h"

namespace flash::bench {
namespace {

constexpr std::int64_t kBatch = 2048, kWidth = 1024;

/// The most bytes that were live during one step of a loop in its steady state.
template <class Model>
double tensor_megabytes(std::int64_t batch, const std::vector<std::int64_t>& input) {
  const std::size_t before = memory_stats().live;
  manual_seed(1);
  TrainingStep<Model> step(batch, input);
  for (int i = 0; i < 2; ++i) step();
  reset_peak_memory_stats();
  step();
  return static_cast<double>(memory_stats().peak - before) / 1e6;
}

}  // namespace

void memory(Suite& suite) {
  const nlohmann::json params = {{"batch", kBatch}, {"seed", 1}};
  auto once = std::make_shared<std::optional<double>>();  // it is a count: always the same
  suite.value(
      "gelu mlp tensors",
      [once] {
        if (!*once) *once = tensor_megabytes<GeluMlp>(kBatch, {kWidth});
        return **once;
      },
      [params](Peer& peer) { return peer.tensor_megabytes("gelu_mlp", params); },
      {.unit = "MB", .goal = "ratio >= 1.25"});
  auto step = std::make_shared<std::unique_ptr<TrainingStep<GeluMlp>>>();
  suite.time("gelu mlp step",
             [step] {
               if (!*step)
                 *step = std::make_unique<TrainingStep<GeluMlp>>(kBatch, std::vector{kWidth});
               (**step)();
             },
             {.peer = "gelu_mlp", .params = params, .flops = 12 * 6.0 * kBatch * kWidth * kWidth});
}

}  // namespace flash::bench
