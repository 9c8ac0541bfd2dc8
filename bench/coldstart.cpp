// bench/coldstart.cpp -- from the start of a process to the end of its first LeNet training step
#include <iostream>

#include "bench/models.h"
#include "bench/workloads.h"

namespace flash::bench {

void first_step() {
  TrainingStep<LeNet>(64, {1, 28, 28})();
  std::cout << "first step done" << std::endl;
}

void compile_times() {
  record_kernels(true);
  TrainingStep<LeNet> step(64, {1, 28, 28});
  for (int i = 0; i < 3; ++i) step();
  std::vector<double> times;
  for (const CompileRecord& record : compile_history()) times.push_back(record.microseconds);
  std::cout << nlohmann::json{{"us", Samples{times}.median()}, {"kernels", times.size()}}
            << std::endl;
}

void coldstart(Suite& suite) {
  suite.value(
      "first lenet step",
      [] {
        return seconds_to_first_line({own_program(), "--first-step"}) * 1e3;
      },
      [](Peer& peer) { return peer.coldstart_milliseconds(); }, {.unit = "ms", .goal = "<= 50"});
}

}  // namespace flash::bench
