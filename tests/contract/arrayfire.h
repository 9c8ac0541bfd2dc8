// tests/contract/arrayfire.h -- ArrayFire's test files, and how Flash computes what they hold
//
// A file holds arrays of four dimensions, the first of which is the fastest, and what a function
// makes of them. Here they are tensors with their dimensions in reverse: ArrayFire's dimension k is
// axis 3 - k. What the functions were called with stands in ArrayFire's tests, not in the files.
#pragma once

#include <filesystem>
#include <functional>
#include <span>

#include "contract/array.h"

namespace contract::arrayfire {

/// A number as it is printed: exact, or to so many digits behind the point.
struct Printed {
  Wide value = 0;
  int decimals = 0;
};

struct TestFile {
  std::vector<Array> in;  ///< f64
  int decimals = 0;       ///< most of any input
  std::vector<std::vector<Printed>> out;
};

/// Throws Error if the file is not as it says.
TestFile read_file(const std::filesystem::path& path);

using In = std::span<const Tensor>;
using Recipe = std::function<Tensor(In)>;

struct File {
  std::string name;
  std::vector<Recipe> recipes;  ///< one for each result; empty: that one is left out
  bool products = false;        ///< results sum products of inputs that are printed rounded
};

/// All files that today's operations can compute.
const std::vector<File>& files();

}  // namespace contract::arrayfire
