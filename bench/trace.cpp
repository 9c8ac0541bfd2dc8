// bench/trace.cpp -- what it costs to record, to replay and to compile, with next to no arithmetic
#include <flash/flash.h>

#include <chrono>

#include "bench/workloads.h"

namespace flash::bench {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Seconds to record `count` additions; what they give is computed outside of the time.
double record(const Tensor& x, const Tensor& y, int count) {
  Tensor z = x;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < count; ++i) z = z + y;
  const double seconds = seconds_since(start);
  z.eval();
  return seconds;
}

}  // namespace

void trace(Suite& suite) {
  constexpr int kOps = 1000;  // below the node limit, so that no flush falls into the time
  const Tensor x = ones({4}), y = ones({4}), w = ones({4}).set_requires_grad();
  suite.time_part("record one op", [=] { return record(x, y, kOps); },
                  {.unit = "ns", .per = kOps, .goal = "<= 100"});
  suite.time_part("record one op with the tape", [=] { return record(w, y, kOps); },
                  {.unit = "ns", .per = kOps, .goal = "<= 250"});
  suite.time_part("replay a 20-op plan",
                  [=] {
                    Tensor z = x;
                    for (int i = 0; i < 20; ++i) z = i % 2 ? z * y : z + y;
                    const auto start = std::chrono::steady_clock::now();
                    z.eval();
                    return seconds_since(start);
                  },
                  {.unit = "us", .goal = "<= 2"});
  suite.time("100 adds and item()",
             [=] {
               Tensor z = x;
               for (int i = 0; i < 100; ++i) z = z + y;
               z.select(0, 0).item();
             },
             {.unit = "us", .peer = "adds", .params = {{"n", 4}, {"count", 100}}, .goal = "<= 15"});
  // Every round in a process of its own, because a kernel is compiled once in a process.
  suite.value("compile a kernel (median of LeNet's)",
              [] {
                const std::string line = output_of({own_program(), "--compile-times"});
                return nlohmann::json::parse(line).at("us").get<double>();
              },
              {}, {.unit = "us", .goal = "<= 200"});
}

}  // namespace flash::bench
