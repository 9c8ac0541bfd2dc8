// bench/elementwise.cpp -- memory-bound work over 2^24 floats: chains, one op, sums
#include <flash/flash.h>

#include "bench/workloads.h"

namespace flash::bench {
namespace {

constexpr std::int64_t kSide = 4096;
constexpr std::int64_t kFloats = kSide * kSide;  // 2^24
constexpr double kBytes = 4.0 * kFloats;         // of one array

}  // namespace

void elementwise(Suite& suite) {
  manual_seed(1);
  const Tensor x = rand({kFloats}), y = rand({kFloats}), square = x.view({kSide, kSide});
  x.eval();
  y.eval();
  const nlohmann::json flat = {{"n", kFloats}};
  const nlohmann::json matrix = {{"rows", kSide}, {"columns", kSide}};

  suite.time(
      "chain", [=] { tanh(sqrt(abs(x * y + 1)) * 0.5 - y).eval(); },
      {.peer = "chain", .params = flat, .bytes = 3 * kBytes, .goal = "ratio >= 15, share >= 0.8"});
  suite.time(
      "axpy", [=] { (x * 2 + y).eval(); },
      {.peer = "axpy", .params = flat, .bytes = 3 * kBytes, .goal = "ratio >= 5, share >= 0.8"});
  suite.time(
      "exp", [=] { exp(x).eval(); },
      {.peer = "exp", .params = flat, .bytes = 2 * kBytes, .goal = "ratio >= 4, share >= 0.8"});
  suite.time(
      "erf", [=] { erf(x).eval(); },
      {.peer = "erf", .params = flat, .bytes = 2 * kBytes, .goal = "ratio >= 4, share >= 0.8"});
  // The array's 64 MiB may stay in a last-level cache that a copy's 128 MiB do not fit into: a
  // share above 1 says so.
  suite.time(
      "sum", [=] { sum(square).eval(); },
      {.peer = "sum", .params = matrix, .bytes = kBytes, .goal = "ratio >= 0.95, share >= 0.8"});
  suite.time("sum dim 0", [=] { sum(square, {0}).eval(); },
             {.peer = "sum_dim0",
              .params = matrix,
              .bytes = kBytes,
              .goal = "ratio >= 1.5, share >= 0.8"});
  suite.time("sum dim 1", [=] { sum(square, {1}).eval(); },
             {.peer = "sum_dim1",
              .params = matrix,
              .bytes = kBytes,
              .goal = "ratio >= 0.95, share >= 0.8"});
}

}  // namespace flash::bench
