// bench/harness.h -- rows measured in interleaved rounds, beside a peer and a limit of the machine
//
// A workload is a function that puts rows into a Suite:
//
//   void elementwise(Suite& suite) {
//     const Tensor x = rand({kN}), y = rand({kN});
//     suite.time("axpy", [=] { eval(x * 2 + y); },
//                {.peer = "axpy", .params = {{"n", kN}}, .bytes = 12.0 * kN, .goal = "ratio >=
//                5"});
//   }
//
// and stands in the table of bench/main.cpp. The suite then runs all rows in turn, round by round
// (limits, Flash, peer, next row …), so that a machine whose clock or load drifts is fair to every
// row. A row's share is the median over its rounds of the share of the limit measured just before.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/peer.h"
#include "kernels/cpu/limits.h"

namespace flash::bench {

using cpu::Limits;

/// What is known about a row besides how to measure it.
struct Options {
  std::string unit = "ms";                           ///< of times: ns, us, ms or s
  std::string peer = {};                             ///< the peer's name of the same work
  nlohmann::json params = nlohmann::json::object();  ///< sizes and seeds for the peer
  double per = 1;                                    ///< one call does this many of the unit
  double bytes = 0;                                  ///< a call must move at least these
  double flops = 0;                                  ///< a call must do at least these
  std::string goal = {};                             ///< shown beside the result
};

struct Samples {
  std::vector<double> values;
  double median() const;
  double low() const;   ///< first quartile
  double high() const;  ///< third quartile
};

struct Row {
  std::string name;
  Options options;
  std::function<double()> measure = {};        ///< one round; in the row's unit
  std::function<double(Peer&)> ask_peer = {};  ///< the peer's round; empty when it has no such work
  std::function<void()> call = {};             ///< what a timed row repeats; empty for others
  Samples flash = {};
  Samples peer = {};
  std::vector<std::size_t> limit_rounds = {};  ///< Limits' round that went before each of flash's

  /// Whether a call's bytes or FLOPs are known, and so its share of a limit.
  bool bounded() const { return call && (options.bytes > 0 || options.flops > 0); }
};

class Suite {
 public:
  /// A row that times `call`. A round repeats it for about 50 ms, after as much of warming up.
  void time(std::string name, std::function<void()> call, Options options = {});

  /// As time(), for a call that says itself how many seconds count (its preparation does not).
  void time_part(std::string name, std::function<double()> call, Options options = {});

  /// A row that measures something else, lower being better. `ask_peer` may be empty.
  void value(std::string name, std::function<double()> measure,
             std::function<double(Peer&)> ask_peer, Options options);

  /// Adds the peak resident memory, in MB, of a process of its own that runs the timed row `of`.
  void peak_memory(const std::string& of);

  void run(int rounds, Limits& limits, Peer* peer);
  std::vector<Row>& rows() { return rows_; }
  const std::string& workload() const { return workload_; }

  explicit Suite(std::string workload) : workload_(std::move(workload)) {}

 private:
  std::string workload_;
  std::vector<Row> rows_;
};

/// What `value * unit` is in seconds, for the time units of Options::unit.
double seconds_of(const std::string& unit);

}  // namespace flash::bench
