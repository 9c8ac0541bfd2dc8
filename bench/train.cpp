// bench/train.cpp -- AdamW training steps on synthetic batches: a perceptron and a LeNet
#include <memory>
#include <vector>

#include "bench/models.h"
#include "bench/workloads.h"

namespace flash::bench {
namespace {

template <class Model>
void step_row(Suite& suite, const std::string& name, const char* peer, std::int64_t batch,
              const std::vector<std::int64_t>& input, double flops, const char* goal) {
  // Made at the first call: a process that measures one row's memory must not hold the others'.
  auto step = std::make_shared<std::unique_ptr<TrainingStep<Model>>>();
  suite.time(name,
             [=] {
               if (!*step) {
                 manual_seed(1);
                 *step = std::make_unique<TrainingStep<Model>>(batch, input);
               }
               (**step)();
             },
             {.peer = peer,
              .params = {{"batch", batch}, {"seed", 1}},
              .flops = flops * static_cast<double>(batch),
              .goal = goal});
  suite.peak_memory(name);
}

}  // namespace

void train(Suite& suite) {
  // Multiply-adds of an example times two, times three for forward and both backwards.
  constexpr double kMlp = 6.0 * (784 * 512 + 512 * 512 + 512 * 10);
  constexpr double kLeNet =
      6.0 * (28 * 28 * 32 * 25 + 14 * 14 * 64 * 32 * 25 + 3136 * 256 + 256 * 10);
  step_row<Mlp>(suite, "mlp b32", "mlp", 32, {784}, kMlp, "ratio >= 1.7");
  step_row<Mlp>(suite, "mlp b256", "mlp", 256, {784}, kMlp, "ratio >= 1.2");
  step_row<LeNet>(suite, "lenet b64", "lenet", 64, {1, 28, 28}, kLeNet, "ratio >= 1.0");
}

}  // namespace flash::bench
