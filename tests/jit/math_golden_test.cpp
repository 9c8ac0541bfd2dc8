// tests/jit/math_golden_test.cpp -- the functions against numbers that others computed
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "jit/ir/math.h"
#include "run_kernel.h"
#include "ulp.h"

using namespace flash;
using namespace flash::test;

namespace {

using Write = ir::Value (*)(ir::Builder&, ir::Value);

// The folder with golden data, or an empty path after saying that the test skips.
std::filesystem::path golden(const char* name) {
  const char* from_env = std::getenv("FLASH_TEST_DATA");
  const std::filesystem::path path =
      std::filesystem::path(from_env ? from_env : FLASH_TEST_DATA) / "golden" / name;
  if (std::filesystem::exists(path)) return path;
  MESSAGE("skipped: no golden data at ", path.string());
  return {};
}

template <class T>
struct Rows {
  std::vector<T> in, want;
};

// NumPy's rows: dtype,input,output,tolerance; bit patterns in hexadecimal, '#' starts a comment.
void read_numpy(const std::filesystem::path& file, Rows<float>& f32, Rows<double>& f64) {
  std::ifstream stream(file);
  REQUIRE(stream.good());
  std::string line;
  while (std::getline(stream, line)) {
    std::istringstream row(line);
    std::string dtype, in, out;
    if (!std::getline(row, dtype, ',') || !std::getline(row, in, ',') ||
        !std::getline(row, out, ','))
      continue;
    if (dtype == "np.float32") {
      f32.in.push_back(
          std::bit_cast<float>(static_cast<std::uint32_t>(std::strtoul(in.c_str(), nullptr, 16))));
      f32.want.push_back(
          std::bit_cast<float>(static_cast<std::uint32_t>(std::strtoul(out.c_str(), nullptr, 16))));
    } else if (dtype == "np.float64") {
      f64.in.push_back(std::bit_cast<double>(
          static_cast<std::uint64_t>(std::strtoull(in.c_str(), nullptr, 16))));
      f64.want.push_back(std::bit_cast<double>(
          static_cast<std::uint64_t>(std::strtoull(out.c_str(), nullptr, 16))));
    }
  }
}

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
  // Columns: argument, then the functions. An argument counts only if it is exact in the type.
  const auto read = [&](const char* file, int column, auto zero) {
    using T = decltype(zero);
    Rows<T> rows;
    std::ifstream stream(folder / file);
    REQUIRE(stream.good());
    std::string line, word;
    while (std::getline(stream, line)) {
      std::istringstream row(line);
      long double values[3] = {};
      for (long double& v : values) {
        if (!(row >> word)) break;
        v = std::strtold(word.c_str(), nullptr);
      }
      const T x = static_cast<T>(values[0]);
      if (static_cast<long double>(x) != values[0]) continue;
      rows.in.push_back(x);
      rows.want.push_back(static_cast<T>(values[column]));
    }
    CHECK(rows.in.size() > 20);
    return rows;
  };
  check(ir::erf, read("erf_small_data.txt", 1, 0.0f), 1);
  check(ir::erf, read("erf_small_data.txt", 1, 0.0), 2);
  check(ir::log1p, read("log1p_expm1_data.txt", 1, 0.0), 2);
  check(ir::expm1, read("log1p_expm1_data.txt", 2, 0.0), 2);
}
