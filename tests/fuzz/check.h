// tests/fuzz/check.h -- runs a program in several ways, compares, and makes a failing one small
#pragma once

#include <functional>
#include <string>

#include "fuzz/coverage.h"
#include "fuzz/program.h"

namespace fuzz {

/// Installs the evaluators that check() uses; what the fused runs evaluate is counted in
/// `coverage`. `device`: where programs run; throws DeviceError if it is not there.
void prepare(Coverage& coverage, const std::string& device);

/// Empty, or what went wrong: fused runs, replayed ones, and those that the seed chooses (eager,
/// with flush points, few cached plans, AVX2, other threads, leaves off alignment) must equal the
/// interpreted ones. On another device than the CPU those that it can run in must equal the CPU's.
std::string check(const Program& p);

/// Drops instructions while the program still fails.
Program shrink(Program p, const std::function<std::string(const Program&)>& check);

}  // namespace fuzz
