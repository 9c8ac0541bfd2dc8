// tests/golden_data.h -- numbers that others computed: where they are and how their tables read
//
// They are not part of the repository. What needs them says that it skips when they are not there.
#pragma once

#include <doctest/doctest.h>

#include <bit>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace flash::test {

/// The folder golden/<name> of the test data, or an empty path after saying that the test skips.
inline std::filesystem::path golden(const std::string& name) {
  const char* from_env = std::getenv("FLASH_TEST_DATA");
  const std::filesystem::path path =
      std::filesystem::path(from_env ? from_env : FLASH_TEST_DATA) / "golden" / name;
  if (std::filesystem::exists(path)) return path;
  MESSAGE("skipped: no golden data at " << path.string()
                                        << "; FLASH_TEST_DATA names the folder that holds golden/");
  return {};
}

/// Arguments of a function and its values, rounded to T.
template <class T>
struct Rows {
  std::vector<T> in, want;
  std::vector<int>
      ulps;  ///< how far the table says that a result may be off; empty where it doesn't
};

/// NumPy's rows: dtype,input,output,tolerance; bit patterns in hexadecimal, '#' starts a comment.
inline void read_numpy(const std::filesystem::path& file, Rows<float>& f32, Rows<double>& f64) {
  std::ifstream stream(file);
  REQUIRE_MESSAGE(stream.good(), file.string());
  const auto add = [](auto& rows, const std::string& in, const std::string& out,
                      const std::string& ulps) {
    using T = typename std::remove_reference_t<decltype(rows.in)>::value_type;
    using Bits = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;
    const auto value = [](const std::string& text) {
      return std::bit_cast<T>(static_cast<Bits>(std::strtoull(text.c_str(), nullptr, 16)));
    };
    rows.in.push_back(value(in));
    rows.want.push_back(value(out));
    rows.ulps.push_back(std::atoi(ulps.c_str()));
  };
  std::string line, dtype, in, out, ulps;
  while (std::getline(stream, line)) {
    std::istringstream row(line);
    if (!std::getline(row, dtype, ',') || !std::getline(row, in, ',') ||
        !std::getline(row, out, ',') || !std::getline(row, ulps, ','))
      continue;
    if (dtype == "np.float32") add(f32, in, out, ulps);
    if (dtype == "np.float64") add(f64, in, out, ulps);
  }
}

/// Boost's tables: an argument, then the values of functions, to forty digits. Only arguments that
/// T holds exactly count. `column`: 1 for the first function.
template <class T>
Rows<T> read_boost(const std::filesystem::path& file, int column) {
  Rows<T> rows;
  std::ifstream stream(file);
  REQUIRE_MESSAGE(stream.good(), file.string());
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
}

}  // namespace flash::test
