// tests/jit/math_golden_test.cpp -- the functions against numbers that others computed
#include <doctest/doctest.h>

#include <filesystem>
#include <string>

#include "golden_data.h"
#include "jit/ir/math.h"
#include "run_kernel.h"
#include "ulp.h"

using namespace flash;
using namespace flash::test;

namespace {

using Write = ir::Value (*)(ir::Builder&, ir::Value);

// `bound` counts from a result that is itself rounded.
template <class T>
void check(Write write, const Rows<T>& rows, double bound) {
  for (const Target t : targets()) {
    CAPTURE(name(t));
    const std::vector<T> out = map<T, T>(t, write, rows.in);
    for (std::size_t i = 0; i < out.size(); ++i) {
      CAPTURE(rows.in[i]);
      CAPTURE(rows.want[i]);
      REQUIRE(ulp_error<T, long double>(out[i], rows.want[i]) <= bound);
    }
  }
}

}  // namespace

TEST_CASE("functions agree with NumPy's validation sets") {
  const std::filesystem::path folder = golden("numpy_umath");
  if (folder.empty()) return;
  const std::pair<const char*, Write> kSets[] = {
      {"exp", ir::exp}, {"exp2", ir::exp2},   {"expm1", ir::expm1},
      {"log", ir::log}, {"log1p", ir::log1p}, {"log2", ir::log2},
      {"sin", ir::sin}, {"cos", ir::cos},     {"tanh", ir::tanh}};
  for (const auto& set : kSets) {
    const std::string function = set.first;
    const Write write = set.second;
    CAPTURE(function);
    Rows<float> f32;
    Rows<double> f64;
    read_numpy(folder / ("umath-validation-set-" + function + ".csv"), f32, f64);
    CHECK(f32.in.size() + f64.in.size() > 100);
    check(write, f32, 1);
    check(write, f64, 2);
  }
}

TEST_CASE("erf, log1p and expm1 agree with Boost's tables") {
  const std::filesystem::path folder = golden("boost_special");
  if (folder.empty()) return;
  check(ir::erf, read_boost<float>(folder / "erf_small_data.txt", 1), 1);
  check(ir::erf, read_boost<double>(folder / "erf_small_data.txt", 1), 2);
  check(ir::log1p, read_boost<double>(folder / "log1p_expm1_data.txt", 1), 2);
  check(ir::expm1, read_boost<double>(folder / "log1p_expm1_data.txt", 2), 2);
}
