// tests/accuracy/sweep.h -- a function over very many inputs: its worst errors against a reference
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "accuracy/functions.h"

namespace flash::accuracy {

/// An input with the result that Flash gave for it; exact for every dtype.
struct Point {
  double x = 0, got = 0;
  double error = 0;  // in ULP of the dtype at the exact result
};

/// What a sweep found. `worst` is sorted, the largest error first.
struct Sweep {
  static constexpr std::size_t kKept = 64;
  std::uint64_t inputs = 0;
  std::uint64_t not_nearest = 0;  // results other than the correctly rounded one
  std::vector<Point> worst;
  std::vector<Point> sample;  // some thousand points of no merit, on which the reference is checked

  double error() const { return worst.empty() ? 0 : worst.front().error; }
  void add(const Point& p);
  void merge(const Sweep& other);
};

/// What the loops over chunks need to know about the run.
struct Runner {
  int threads = 1;
  std::function<void(double)> progress = [](double) {};  // the share that is done; one thread calls
  const std::atomic<bool>* stop = nullptr;               // set by Ctrl-C

  bool stopped() const { return stop != nullptr && stop->load(std::memory_order_relaxed); }
  /// work(chunk, sweep) for every chunk, each thread with a Sweep of its own; returns them merged.
  Sweep run(std::uint64_t chunks, const std::function<void(std::uint64_t, Sweep&)>& work) const;
};

/// All f32 bit patterns, or every `stride`-th; those near the function's edges always.
Sweep sweep_f32(const Function& f, std::uint32_t stride, const Runner& runner);

/// `count` doubles: any bits, the function's range, every magnitude, around its edges, around
/// `hard` (arguments that are known to be difficult); then the neighbourhoods of the worst.
Sweep sweep_f64(const Function& f, std::uint64_t count, const std::vector<double>& hard,
                const Runner& runner);

/// All 65,536 bit patterns of f16 or bf16.
Sweep sweep_half(const Function& f, DType dtype);

/// The error of one result of that dtype against the function's own reference.
double error_of(const Function& f, DType dtype, double x, double got);

}  // namespace flash::accuracy
