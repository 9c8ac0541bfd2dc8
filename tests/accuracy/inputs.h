// tests/accuracy/inputs.h -- where a function is tried when its inputs are too many for all of them
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "accuracy/functions.h"

namespace flash::accuracy {

/// 4000 neighbours to either side of each edge of the function, of both signs, and special values.
std::vector<float> near_edges_f32(const Function& f);

/// The chunk with that number of a function's f64 inputs, the same in every run.
void fill_f64(const Function& f, std::span<const double> hard, std::uint64_t chunk,
              std::span<double> x);

}  // namespace flash::accuracy
