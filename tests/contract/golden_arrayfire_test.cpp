// tests/contract/golden_arrayfire_test.cpp -- operations against ArrayFire's test data
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "contract/arrayfire.h"
#include "contract/op_table.h"
#include "golden_data.h"

using namespace contract;
using namespace contract::arrayfire;
using flash::test::golden;

namespace {

/// Empty, or how a result differs. What is printed without a fraction is exact; otherwise half of
/// the last digit may be missing, and 64 units of the dtype for what is computed.
std::string difference(const Array& got, const std::vector<Printed>& want, const File& row,
                       const TestFile& file) {
  if (got.v.size() != want.size())
    return "has " + std::to_string(got.v.size()) + " elements, expected are " +
           std::to_string(want.size());
  Wide most = 1;
  bool whole = file.decimals == 0;
  for (const Printed& p : want) {
    most = std::max(most, std::fabs(p.value));
    whole = whole && p.decimals == 0;
  }
  // A sum of at most as many products as the first input has elements, whose factors are half a
  // digit off.
  Wide inputs = 0;
  if (row.products)
    for (const Array& a : file.in) {
      Wide largest = 0;
      for (const Wide x : a.v) largest = std::max(largest, std::fabs(x));
      inputs +=
          static_cast<Wide>(file.in[0].v.size()) * largest * std::pow(10.0L, -file.decimals) / 2;
    }
  for (std::size_t i = 0; i < want.size(); ++i) {
    const Wide half_digit = std::pow(10.0L, -want[i].decimals) / 2;
    const Wide allowed =
        whole ? 0
              : half_digit + inputs + (is_floating(got.dtype) ? 64 * unit(got.dtype) * most : 0);
    if (!(std::fabs(got.v[i] - want[i].value) <= allowed))
      return "element " + std::to_string(i) + " is " + text(got.v[i]) + ", expected is " +
             text(want[i].value) + " within " + text(allowed);
  }
  return "";
}

}  // namespace

TEST_CASE("operations give ArrayFire's results for its inputs") {
  const std::filesystem::path folder = golden("arrayfire");
  if (folder.empty()) return;
  std::size_t results = 0, elements = 0;
  for (const File& f : files()) {
    const TestFile file = read_file(folder / (f.name + ".test"));
    REQUIRE_MESSAGE(f.recipes.size() == file.out.size(), f.name);
    for (const char* evaluator : kEvaluators) {
      use_evaluator(evaluator);
      for (const DType d : {DType::kF32, DType::kF64}) {
        std::vector<Tensor> in, out;
        for (const Array& a : file.in) in.push_back(upload(converted(a, d)));
        for (const Recipe& recipe : f.recipes) out.push_back(recipe ? recipe(in) : Tensor());
        for (std::size_t k = 0; k < out.size(); ++k) {
          if (!out[k].defined()) continue;
          const std::string wrong = difference(read(out[k]), file.out[k], f, file);
          CHECK_MESSAGE(wrong.empty(), f.name << " result " << k << ", " << name(d) << ", "
                                              << std::string(evaluator) << ": " << wrong);
          results += d == DType::kF32 && std::string_view(evaluator) == kEvaluators[0];
          elements += file.out[k].size();
        }
      }
    }
  }
  use_evaluator("fuse");

  // What stays undone, and the operation that a file waits for.
  const std::map<std::string, std::string> kWaiting = {
      {"convolve", "conv3d"},   {"lapack", "cholesky"}, {"pinverse", "pinverse"},
      {"scan", "cumsum"},       {"set", "unique"},      {"signal", "fft"},
      {"sort", "sort"},         {"where", "nonzero"},   {"histogram", "histc"},
      {"resize", "interpolate"}};
  const std::set<std::string> functions = public_functions();
  std::map<std::string, int> undone;
  std::size_t there = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() != ".test") continue;
    ++there;
    const std::string group = entry.path().parent_path().filename().string(),
                      name = group + "/" + entry.path().stem().string();
    if (std::any_of(files().begin(), files().end(), [&](const File& f) { return f.name == name; }))
      continue;
    ++undone[group];
  }
  std::string waiting, others;
  for (const auto& left : undone) {
    const auto it = kWaiting.find(left.first);
    const bool waits = it != kWaiting.end();
    (waits ? waiting : others) += " " + left.first + " (" + std::to_string(left.second) +
                                  (waits ? ", needs " + it->second : "") + ")";
    if (waits)
      CHECK_MESSAGE(functions.count(it->second) == 0,
                    it->second << " is public now: give " << left.first << " its rows here");
  }
  MESSAGE(files().size() << " of " << there << " files, " << results << " results, " << elements
                         << " comparisons of elements; no such operation yet:" << waiting
                         << "; without a row:" << others);
}
