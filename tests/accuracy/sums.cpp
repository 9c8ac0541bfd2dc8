// tests/accuracy/sums.cpp -- the data, the exact sums, and the conversation with PyTorch
#include "accuracy/sums.h"

#include <flash/flash.h>
#include <stdlib.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <numbers>
#include <stdexcept>

#include "bench/process.h"
#include "ulp.h"

namespace flash::accuracy {
namespace {

/// A sum of two doubles without rounding error in all but its last of some 106 bits (Knuth's
/// two-sum): exact for what is asked here.
struct Exact {
  double high = 0, low = 0;
  void add(double x) {
    const double sum = high + x, part = sum - high;
    low += (high - (sum - part)) + (x - part);
    high = sum;
  }
  double value() const { return high + low; }
};

struct Case {
  const char* name;
  float (*addend)(std::int64_t i, test::Random& random);
};

constexpr Case kCases[] = {
    {"uniform in [0, 1)",
     [](std::int64_t, test::Random& r) { return static_cast<float>(r.uniform()); }},
    {"0.1f, again and again", [](std::int64_t, test::Random&) { return 0.1f; }},
    {"1/i, largest first",
     [](std::int64_t i, test::Random&) { return static_cast<float>(1.0 / double(i + 1)); }},
    {"alternating signs",
     [](std::int64_t i, test::Random& r) {
       return static_cast<float>((i % 2 ? -1 : 1) * r.between(1, 2));
     }},
    {"alternating, all but cancelling",
     [](std::int64_t i, test::Random& r) {  // pairs x, -x(1 - 2^-20)
       static thread_local float last = 0;
       if (i % 2) return -last * (1 - 0x1p-20f);
       return last = static_cast<float>(r.between(1, 2));
     }},
    {"geometric magnitudes, 2^-60 to 2^20",
     [](std::int64_t, test::Random& r) {
       return static_cast<float>(std::exp2(r.between(-60, 20)));
     }},
    {"heavy tails (Cauchy)",
     [](std::int64_t, test::Random& r) {
       return static_cast<float>(std::tan(std::numbers::pi * (r.uniform() - 0.5)));
     }},
    {"a mean of 10^6, a spread of 1",
     [](std::int64_t, test::Random& r) { return static_cast<float>(1e6 + r.between(-1, 1)); }},
};

/// Exact sums, and sums of magnitudes, of everything, of the rows and of the columns.
struct Truth {
  Exact all, all_magnitudes;
  std::vector<Exact> rows, row_magnitudes, columns, column_magnitudes;
};

Truth truth(const std::vector<float>& x, std::size_t side) {
  Truth t;
  for (auto* v : {&t.rows, &t.row_magnitudes, &t.columns, &t.column_magnitudes}) v->resize(side);
  for (std::size_t r = 0; r < side; ++r)
    for (std::size_t c = 0; c < side; ++c) {
      const double v = x[r * side + c];
      t.rows[r].add(v);
      t.row_magnitudes[r].add(std::fabs(v));
      t.columns[c].add(v);
      t.column_magnitudes[c].add(std::fabs(v));
    }
  for (std::size_t r = 0; r < side; ++r) {
    for (const Exact& part : {t.rows[r]}) {
      t.all.add(part.high);
      t.all.add(part.low);
    }
    t.all_magnitudes.add(t.row_magnitudes[r].value());
  }
  return t;
}

double worst(const float* got, const std::vector<Exact>& want, const std::vector<Exact>& of) {
  double e = 0;
  for (std::size_t i = 0; i < want.size(); ++i)
    e = std::max(e, std::fabs(got[i] - want[i].high - want[i].low) / of[i].value());
  return e;
}

/// `got`: the sum, the mean, the rows' sums, the columns' sums.
SumErrors errors(const std::vector<float>& got, const Truth& t) {
  const std::size_t side = t.rows.size();
  const double exact = t.all.value(), count = static_cast<double>(side) * static_cast<double>(side);
  return {std::fabs((got[0] - t.all.high - t.all.low) / exact),
          std::fabs((got[1] - exact / count) / (exact / count)),
          worst(got.data() + 2, t.rows, t.row_magnitudes),
          worst(got.data() + 2 + side, t.columns, t.column_magnitudes)};
}

std::vector<float> flash_sums(std::vector<float>& x, std::int64_t side) {
  const Tensor t = from_blob(x.data(), {side, side}, f32);
  std::vector<float> out = {sum(t).item<float>(), mean(t).item<float>()};
  for (const int dim : {1, 0}) {
    const std::vector<float> part = sum(t, {dim}).to_vector<float>();
    out.insert(out.end(), part.begin(), part.end());
  }
  return out;
}

/// A folder that goes when it is no longer needed.
class Scratch {
 public:
  Scratch() {
    std::string name = (std::filesystem::temp_directory_path() / "flash-sums-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("accuracy: cannot make " + name);
    path_ = name;
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  std::string file(const char* name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

/// PyTorch in a process that computes one case a line: it reads the addends from a file and writes
/// what flash_sums gives into another.
class Torch {
 public:
  Torch(const std::string& python, const Scratch& scratch)
      : data_(scratch.file("addends")),
        answer_(scratch.file("sums")),
        process_({python, FLASH_SOURCE_ROOT "/tests/accuracy/torch_sums.py", data_, answer_}),
        version_(process_.read_line()) {}
  const std::string& version() const { return version_; }

  std::vector<float> sums(const std::vector<float>& x, std::size_t side) {
    std::ofstream out(data_, std::ios::binary);
    out.write(reinterpret_cast<const char*>(x.data()),
              static_cast<std::streamsize>(x.size() * sizeof(float)));
    out.close();
    if (!out) throw std::runtime_error("accuracy: cannot write " + data_);
    process_.write_line(std::to_string(side));
    process_.read_line();
    std::vector<float> y(2 + 2 * side);
    std::ifstream in(answer_, std::ios::binary);
    in.read(reinterpret_cast<char*>(y.data()),
            static_cast<std::streamsize>(y.size() * sizeof(float)));
    if (!in) throw std::runtime_error("accuracy: PyTorch's sums are incomplete");
    return y;
  }

 private:
  std::string data_, answer_;
  bench::Process process_;
  std::string version_;
};

}  // namespace

Sums measure_sums(std::int64_t side, const std::string& python,
                  const std::function<bool(const std::string&)>& go_on) {
  Sums sums{.addends = side * side, .torch = {}, .cases = {}};
  const auto n = static_cast<std::size_t>(side);
  const Scratch scratch;
  std::unique_ptr<Torch> torch;
  if (!python.empty()) {
    torch = std::make_unique<Torch>(python, scratch);
    sums.torch = torch->version();
  }
  std::vector<float> x(n * n);
  for (const Case& c : kCases) {
    if (!go_on(c.name)) break;
    test::Random random;
    for (std::size_t i = 0; i < x.size(); ++i)
      x[i] = c.addend(static_cast<std::int64_t>(i), random);
    const Truth t = truth(x, n);
    SumCase row{.name = c.name,
                .exact = t.all.value(),
                .condition = t.all_magnitudes.value() / std::fabs(t.all.value()),
                .flash = errors(flash_sums(x, side), t)};
    if (torch) row.torch = errors(torch->sums(x, n), t);
    sums.cases.push_back(row);
  }
  return sums;
}

}  // namespace flash::accuracy
