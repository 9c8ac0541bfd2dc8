// tests/core/flush_test.cpp -- what a flush evaluates, and what stays recorded
#include <doctest/doctest.h>

#include <memory>
#include <mutex>
#include <vector>

#include "core/evaluator.h"
#include "core/ops/create.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"
#include "core/stats.h"
#include "core/thread_traces.h"

using namespace flash;

namespace {

/// Evaluates as another does, and remembers how many values it was asked for.
class Watching final : public Evaluator {
 public:
  Watching(Evaluator& other, std::vector<std::size_t>& asked) : other_(other), asked_(asked) {}
  std::string_view name() const override { return "watching"; }
  void evaluate(const EvaluationRequest& request, Progress& progress) override {
    asked_.push_back(request.live.size());
    other_.evaluate(request, progress);
  }

 private:
  Evaluator& other_;
  std::vector<std::size_t>& asked_;
};

void flush_prefix() {
  Trace& trace = this_trace(Device());
  const TraceLock lock(trace);
  trace.flush_prefix(FlushReason::kNodeLimit);
}

std::size_t recorded() { return this_trace(Device()).nodes.size(); }

}  // namespace

TEST_CASE("a flush at a limit makes nothing that only dead values behind the cut would need") {
  use_evaluator("fuse");
  static std::vector<std::size_t> asked;
  install_evaluator(std::make_unique<Watching>(evaluator(), asked));
  eval_all();
  const Tensor x = full({1000}, 2.0);
  x.eval();
  use_evaluator("watching");
  asked.clear();

  // The fewest bytes live behind the sum, whoever used the large square afterwards and died.
  Tensor total, later;
  {
    const Tensor square = x * x;
    total = sum(square);
    later = total + 1;
    const Tensor dead = square * 3;
    const Tensor dead_too = dead + later;
  }
  flush_prefix();
  CHECK(asked == std::vector<std::size_t>{1});  // total
  CHECK(recorded() == 3);                       // total, 1 and later
  CHECK(total.item<float>() == 4000);

  // A living value there still gets it, and what is left is recorded again without the dead.
  asked.clear();
  Tensor kept;
  {
    const Tensor square = x * x;
    total = sum(square);
    kept = (total * 5 + sum(square)).view({1}).expand({1000}) * x;
    later = kept + kept;
    const Tensor dead = square * 3;
    const Tensor dead_too = dead + later;
  }
  flush_prefix();
  CHECK(asked == std::vector<std::size_t>{2});  // total, and what it is added to
  CHECK(recorded() == 5);                       // that, expanded, x, kept and later
  CHECK(later.to_vector<float>() == std::vector<float>(1000, 96000));
  CHECK(kept.to_vector<float>() == std::vector<float>(1000, 48000));
  use_evaluator("fuse");
}
