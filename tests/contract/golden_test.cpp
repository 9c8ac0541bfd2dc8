// tests/contract/golden_test.cpp -- public functions against NumPy's validation sets and Boost's
// tables
//
// tests/jit/math_golden_test.cpp holds the formulas to the same tables on every emitter; here the
// way goes through operations, traces and evaluators, and the bound is the table's own.
#include <doctest/doctest.h>

#include <cmath>

#include "contract/op_table.h"
#include "golden_data.h"
#include "ulp.h"

using namespace contract;
using flash::test::golden;
using flash::test::Rows;

namespace {

using Function = Tensor (*)(const Tensor&);
struct Public {
  const char* table;           ///< the name in the golden data
  Function op;                 ///< null: Flash has no such function yet
  const char* name = nullptr;  ///< what it will be called, where that differs
};

const Public kNumpy[] = {
    {"cos", cos},
    {"exp", exp},
    {"expm1", expm1},
    {"log", log},
    {"log1p", log1p},
    {"sin", sin},
    {"tanh", tanh},
    {"exp2", nullptr},
    {"log2", nullptr},
    {"cbrt", nullptr},
    {"sinh", nullptr},
    {"tan", nullptr},
    {"arccos", nullptr, "acos"},
    {"arcsinh", nullptr, "asinh"},
    {"arctan", nullptr, "atan"},
    {"arctanh", nullptr, "atanh"},
};

/// Every row under every evaluator; returns how many rows there were.
template <class T>
std::size_t check(const std::string& table, Function op, const Rows<T>& rows, int ulps) {
  for (const char* evaluator : kEvaluators) {
    use_evaluator(evaluator);
    const std::vector<T> out = op(from_vector(rows.in)).template to_vector<T>();
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < out.size(); ++i) {
      const int bound = rows.ulps.empty() ? ulps : rows.ulps[i];
      const double error = test::ulp_error<T, long double>(out[i], rows.want[i]);
      if (error <= bound || wrong++ > 3) continue;
      FAIL_CHECK(table << "(" << text(rows.in[i]) << ") is " << text(out[i]) << ", not "
                       << text(rows.want[i]) << ": " << error << " ULP, allowed are " << bound);
    }
    CHECK(wrong == 0);
  }
  use_evaluator("fuse");
  return rows.in.size();
}

}  // namespace

TEST_CASE("public functions agree with NumPy's validation sets within the sets' own tolerance") {
  const std::filesystem::path folder = golden("numpy_umath");
  if (folder.empty()) return;
  const std::set<std::string> functions = public_functions();
  std::size_t rows = 0, files = 0;
  std::string waiting;
  for (const Public& f : kNumpy) {
    const std::string name = f.name ? f.name : f.table;
    CHECK_MESSAGE((f.op != nullptr) == (functions.count(name) == 1),
                  name << " is public now: give it its row here");
    if (!f.op) {
      waiting += " " + name;
      continue;
    }
    Rows<float> f32;
    Rows<double> f64;
    test::read_numpy(folder / ("umath-validation-set-" + std::string(f.table) + ".csv"), f32, f64);
    CHECK(f32.in.size() > 100);
    rows += check(f.table, f.op, f32, 0) + check(f.table, f.op, f64, 0);
    ++files;
  }
  std::size_t there = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    there += entry.path().extension() == ".csv";
  CHECK(there == std::size(kNumpy));
  MESSAGE(rows << " rows of " << files << " of " << there
               << " files; no such operation yet:" << waiting);
}

TEST_CASE("erf, log1p and expm1 agree with Boost's tables") {
  const std::filesystem::path folder = golden("boost_special");
  if (folder.empty()) return;
  // The tables name no tolerance: jit/ir/math.h's own is 1 ULP of f32 and 2 of f64.
  const auto both = [&](const char* name, Function op, const char* file, int column) {
    return check(name, op, test::read_boost<double>(folder / file, column), 2) +
           check(name, op, test::read_boost<float>(folder / file, column), 1);
  };
  const std::size_t rows = both("erf", erf, "erf_small_data.txt", 1) +
                           both("log1p", log1p, "log1p_expm1_data.txt", 1) +
                           both("expm1", expm1, "log1p_expm1_data.txt", 2);
  const std::set<std::string> functions = public_functions();
  const char* const kWaiting[] = {"erfc", "erfinv", "digamma", "lgamma", "i0"};
  std::string waiting;
  for (const std::string name : kWaiting) {
    CHECK_MESSAGE(functions.count(name) == 0, name << " is public now: give it its row here");
    waiting += " " + name;
  }
  MESSAGE(rows << " rows of 2 of 10 files; no such operation yet:" << waiting);
}
