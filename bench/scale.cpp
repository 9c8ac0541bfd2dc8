// bench/scale.cpp -- does time grow in proportion, and does memory stay? long traces, long runs
//
// A pair of rows has a size's processor time and how many times that is what a quarter of the size
// takes: 4 is linear, and what no longer fits a cache costs somewhat more. Runs whose resident
// memory counts have a process of their own. What tests can count (operations, launches, plans,
// bytes that live) tests/contract/bounded_test.cpp and scale_test.cpp hold.
#include <flash/flash.h>

#include <algorithm>
#include <ctime>
#include <fstream>
#include <iostream>
#include <memory>
#include <stdexcept>

#include "bench/models.h"
#include "bench/process.h"
#include "bench/workloads.h"

namespace flash::bench {
namespace {

/// The process's seconds: what else runs on the machine, and when, does not count.
double timed(const std::function<void()>& f) {
  const std::clock_t start = std::clock();
  f();
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

/// The best of three; the first of all also plans and compiles.
double best(const std::function<void()>& f) {
  double least = timed(f);
  for (int i = 0; i < 2; ++i) least = std::min(least, timed(f));
  return least;
}

/// Nanoseconds an operation of f(n), and the time of f(n) in times of f(n / 4).
void grows(Suite& suite, const std::string& name, int n, std::function<void(int)> f) {
  const auto last = std::make_shared<double>();
  suite.value(name,
              [=] {
                *last = best([&] { f(n); });
                return *last / n * 1e9;
              },
              {}, {.unit = "ns"});
  suite.value(name + ", of a quarter's time", [=] { return *last / best([&] { f(n / 4); }); }, {},
              {.unit = "x", .goal = "4 is linear"});
}

void chain(int n) {
  Tensor y = ones({3});
  for (int i = 0; i < n; ++i) y = y + 1;
  y.eval();
}

void chain_on_tape(int n) {
  Tensor x = ones({3});
  x.set_requires_grad();
  Tensor y = x;
  for (int i = 0; i < n; ++i) y = y + x;
  sum(y).backward();
  x.grad().eval();
}

/// Each level uses the one before twice, so that there are 2ⁿ paths to the input.
void diamond(int depth) {
  Tensor x = full({5}, 1e-3f);
  x.set_requires_grad();
  Tensor y = x;
  for (int i = 0; i < depth; ++i) y = y * 0.25 + y * 0.75;
  sum(y).backward();
  x.grad().eval();
}

void writes_through_views(int n) {
  Tensor x = zeros({4, 3});
  Tensor row = x[1], column = x.t()[2];
  for (int i = 0; i < n; ++i) (i % 2 ? row : column).add_(1);
  x.eval();
}

void one_scalar(int n) {
  Tensor s = full({}, 3.0f);
  s.set_requires_grad();
  Tensor y = zeros({2});
  for (int i = 0; i < n; ++i) y = y + s;
  sum(y).backward();
  s.grad().eval();
}

void living(int n) {
  const Tensor x = ones({3});
  std::vector<Tensor> all;
  for (int i = 0; i < n; ++i) all.push_back(x + i);
  cat(all).eval();
}

/// Peak bytes of a chain of 500 operations, in those that computing each at once takes.
double peak_of_eager() {
  const Tensor x = rand({256, 512}), w = randn({512, 512}) * 0.04;
  x.eval();
  w.eval();
  const auto peak = [&](bool eager) {
    use_evaluator(eager ? "eager" : "fuse");
    NoGrad guard;
    const std::size_t start = memory_stats().live;
    reset_peak_memory_stats();
    Tensor y = x;
    for (int i = 0; i < 500; ++i) {
      y = i % 10 == 0 ? matmul(y, w) : i % 10 == 5 ? softmax(y, -1) : i % 2 ? tanh(y) : y + x;
      if (eager) y.eval();
    }
    y.eval();
    return static_cast<double>(memory_stats().peak - start);
  };
  const double eager = peak(true);
  return peak(false) / eager;
}

// -- runs in processes of their own

double resident_megabytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmRSS:")) return std::strtod(line.c_str() + 6, nullptr) / 1024;
  throw std::runtime_error("bench: /proc/self/status has no VmRSS");
}

/// What a long run is asked for, early and at its end, as fields of a JSON line.
nlohmann::json held() {
  eval_all();
  const Stats s = stats();
  return {{"resident", resident_megabytes()},
          {"live", static_cast<double>(memory_stats().live) / 1024},
          {"plans", s.plan_misses},
          {"kernels", s.kernels_compiled}};
}

using Run = std::shared_ptr<nlohmann::json>;

/// A row of a run in a child process; the first of a run starts it.
void row(Suite& suite, const Run& run, const std::string& name, const char* start,
         const std::string& field, const char* unit, const char* goal = "") {
  suite.value(name,
              [=] {
                if (start) *run = nlohmann::json::parse(output_of({own_program(), start}));
                return run->at(nlohmann::json::json_pointer("/" + field)).get<double>();
              },
              {}, {.unit = unit, .goal = goal});
}

}  // namespace

void ten_thousand_steps() {
  manual_seed(1);
  SmallMlp model;
  optim::AdamW opt(model.parameters(), {.lr = 1e-3});
  nlohmann::json out;
  const double seconds = timed([&] {
    for (int i = 1; i <= 10'000; ++i) {
      const Tensor x = randn({16, 8});
      const Tensor loss = cross_entropy(model(x), argmax(x.slice(1, 0, 4), 1));
      opt.zero_grad();
      loss.backward();
      opt.step();
      if (i == 100) out["start"] = held();
      if (i == 10'000) out["end"] = held();
    }
  });
  out["us"] = seconds * 1e6 / 10'000;
  std::cout << out << std::endl;
}

void thousand_lengths() {
  manual_seed(1);
  Reader model;
  optim::SGD opt(model.parameters(), {.lr = 1e-2});
  const Tensor y = tensor({0, 2});
  const auto step = [&](std::int64_t length) {
    const Tensor loss = cross_entropy(model(randint(0, 11, {2, length})), y);
    opt.zero_grad();
    loss.backward();
    opt.step();
    loss.item();
  };
  nlohmann::json out;
  for (const std::int64_t length : {1001, 2, 64, 3}) step(length);
  out["start"] = held();
  const auto all = [&] {
    for (std::int64_t i = 0; i < 1000; ++i) step(2 + i * 617 % 1000);
  };
  out["us"] = timed(all) * 1e6 / 1000;
  out["end"] = held();
  for (int again = 0; again < 3; ++again) all();
  out["again"] = held();
  std::cout << out << std::endl;
}

void scale(Suite& suite) {
  grows(suite, "chain of 1,000,000 adds", 1'000'000, chain);
  grows(suite, "chain of 1,000,000 adds, and back", 1'000'000, chain_on_tape);
  grows(suite, "diamond of 4,000 levels, and back", 4'000, diamond);
  grows(suite, "400,000 writes through views", 400'000, writes_through_views);
  grows(suite, "one scalar used 40,000 times, and back", 40'000, one_scalar);
  grows(suite, "100,000 living tensors, joined", 100'000, living);
  suite.value("500 operations: peak, of eager execution's", peak_of_eager, {},
              {.unit = "x", .goal = "<= 1.2"});
  const Run steps = std::make_shared<nlohmann::json>();
  row(suite, steps, "10,000 steps", "--ten-thousand-steps", "us", "us");
  row(suite, steps, "10,000 steps: resident at 100", nullptr, "start/resident", "MB");
  row(suite, steps, "10,000 steps: resident at the end", nullptr, "end/resident", "MB");
  row(suite, steps, "10,000 steps: live at 100", nullptr, "start/live", "KB");
  row(suite, steps, "10,000 steps: live at the end", nullptr, "end/live", "KB", "as at 100");
  row(suite, steps, "10,000 steps: plans at 100", nullptr, "start/plans", "");
  row(suite, steps, "10,000 steps: plans at the end", nullptr, "end/plans", "", "as at 100");
  const Run lengths = std::make_shared<nlohmann::json>();
  row(suite, lengths, "1,000 lengths", "--thousand-lengths", "us", "us");
  row(suite, lengths, "1,000 lengths: plans after 4", nullptr, "start/plans", "");
  row(suite, lengths, "1,000 lengths: plans at the end", nullptr, "end/plans", "", "as after 4");
  row(suite, lengths, "1,000 lengths: kernels after 4", nullptr, "start/kernels", "");
  row(suite, lengths, "1,000 lengths: kernels at the end", nullptr, "end/kernels", "",
      "as after 4");
  row(suite, lengths, "1,000 lengths: resident at the end", nullptr, "end/resident", "MB");
  row(suite, lengths, "1,000 lengths: resident three rounds later", nullptr, "again/resident", "MB",
      "as before");
}

}  // namespace flash::bench
