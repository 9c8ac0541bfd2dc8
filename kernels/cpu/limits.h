// kernels/cpu/limits.h -- what this machine can do at best: memory bandwidth and FMA throughput
//
// For machine_limits(), and for benchmarks, which measure it just before each round of what is
// compared with it. Plain loops, nothing of Flash's own: a limit must not depend on what it judges.
// Bandwidth counts algorithmic bytes (a copy of n floats moves 8 n), over arrays of 2^24 floats
// whose pages were touched before.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "core/export.h"

namespace flash::cpu {

class FLASH_API Limits {
 public:
  explicit Limits(int threads);
  ~Limits();

  /// Gives the round's place in Limit::rounds. Warms up before it measures: caches, and threads
  /// that others left spinning have then gone to sleep (libgomp's do after 300,000 pauses, some 14
  /// ms). Sleeping instead would not do: what follows a sleep ran at two thirds of its speed for
  /// 0.1 s.
  std::size_t measure_round();

  struct Limit {
    std::string name;
    std::vector<double> rounds;  ///< bytes/s or FLOP/s
    double median() const;
  };
  const std::vector<Limit>& bandwidths() const { return bandwidths_; }
  const Limit& flops() const { return flops_; }

  /// The best of copy and triad, with temporal and non-temporal stores, from one place in memory
  /// and from two at once; bytes/s.
  const Limit& best_bandwidth() const;

 private:
  struct Work;
  std::unique_ptr<Work> work_;
  std::vector<Limit> bandwidths_;
  Limit flops_;
};

}  // namespace flash::cpu
