// tests/accuracy/sums.h -- sums and means of hard f32 data against exact ones, beside PyTorch's
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace flash::accuracy {

/// What one library made of a case; errors against exact sums of the same f32 addends.
struct SumErrors {
  double sum = 0, mean = 0;      // relative: |got - exact| / |exact|
  double rows = 0, columns = 0;  // the largest |got - exact| / Σ|x| of a sum over dim 1, dim 0
};

struct SumCase {
  std::string name;
  double exact = 0;
  double condition = 0;  // Σ|x| / |Σx|: how much of the addends cancels
  SumErrors flash = {}, torch = {};
};

struct Sums {
  std::int64_t addends = 0;
  std::string torch;  // its version, empty when there was none to ask
  std::vector<SumCase> cases;
};

/// `side` rows of `side` addends. `python` runs torch_sums.py when it is not empty.
Sums measure_sums(std::int64_t side, const std::string& python,
                  const std::function<bool(const std::string& case_name)>& go_on);

}  // namespace flash::accuracy
