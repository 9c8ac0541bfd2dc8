// tests/accuracy/report.h -- what a run found, as lines for people and as docs/accuracy.md
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "accuracy/judge.h"
#include "accuracy/specials.h"
#include "accuracy/sums.h"
#include "accuracy/throughput.h"

namespace flash::accuracy {

/// One function in one dtype.
struct Measured {
  const Function* function;
  DType dtype;
  std::uint64_t inputs = 0, not_nearest = 0;
  Verdict verdict;
  Speed speed;
  double seconds = 0;

  bool within_bound() const { return verdict.worst.error <= bound_of(*function, dtype); }
};

struct Findings {
  std::vector<std::string> surroundings;  // when the run began
  std::vector<Measured> measured;
  std::vector<std::string> code;       // kinds of code whose bits were compared
  std::vector<std::string> differing;  // functions for which they are not the same
  Sums sums;
};

/// "exp        f32  0.8567 ULP at -0x1.2p+3 …": what the terminal shows.
std::string line(const Measured& m);

/// The whole page. `command` is how it was generated.
void write_page(std::ostream& out, const Findings& findings, const std::string& command);

/// Machine, compiler, libraries and revision, for the page's head and the terminal.
std::vector<std::string> surroundings();

/// A number in hexadecimal, as C writes it, and exactly: -0x1.8p+1.
std::string hex(double x);

}  // namespace flash::accuracy
