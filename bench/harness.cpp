// bench/harness.cpp -- calibration and the interleaved rounds
#include "bench/harness.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <stdexcept>

#include "bench/process.h"

namespace flash::bench {
namespace {

constexpr double kRoundSeconds = 0.05;
constexpr double kWarmSeconds = 0.05;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double quantile(std::vector<double> values, double q) {
  if (values.empty()) return std::nan("");
  std::sort(values.begin(), values.end());
  const double at = q * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (at - static_cast<double>(below)) * (values[above] - values[below]);
}

/// Repeats a call for about kRoundSeconds and gives the mean of the seconds that it returns. Before
/// that it repeats it for kWarmSeconds, for the other rows have taken the caches (a sum over 64 MiB
/// needs ten calls to be in a large last level again). The first round also compiles, touches pages
/// and finds out how often to repeat.
class Timed {
 public:
  explicit Timed(std::function<double()> call) : call_(std::move(call)) {}

  double operator()() {
    if (count_ == 0) calibrate();
    const double start = now();
    do call_();
    while (now() - start < kWarmSeconds);
    double sum = 0;
    for (int i = 0; i < count_; ++i) sum += call_();
    return sum / count_;
  }

 private:
  void calibrate() {
    for (int i = 0; i < 3; ++i) call_();
    const double start = now();
    int calls = 0;
    do {
      call_();
      ++calls;
    } while (now() - start < kRoundSeconds / 10);
    const double once = (now() - start) / calls;
    count_ = static_cast<int>(std::clamp(std::round(kRoundSeconds / once), 1.0, 1e7));
  }

  std::function<double()> call_;
  int count_ = 0;
};

}  // namespace

double seconds_of(const std::string& unit) {
  if (unit == "s") return 1;
  if (unit == "ms") return 1e-3;
  if (unit == "us") return 1e-6;
  if (unit == "ns") return 1e-9;
  throw std::invalid_argument("bench: '" + unit + "' is no unit of time; use ns, us, ms or s");
}

double Samples::median() const { return quantile(values, 0.5); }
double Samples::low() const { return quantile(values, 0.25); }
double Samples::high() const { return quantile(values, 0.75); }

void Suite::time(std::string name, std::function<void()> call, Options options) {
  // Calls of a microsecond and less are timed in blocks, so that the clock itself does not count.
  constexpr int kBlock = 16;
  time_part(
      std::move(name),
      [call] {
        const double start = now();
        call();
        double seconds = now() - start;
        if (seconds < 2e-6) {
          for (int i = 1; i < kBlock; ++i) call();
          seconds = (now() - start) / kBlock;
        }
        return seconds;
      },
      std::move(options));
  rows_.back().call = std::move(call);
}

void Suite::time_part(std::string name, std::function<double()> call, Options options) {
  const double scale = 1 / (seconds_of(options.unit) * options.per);
  Row row{.name = std::move(name), .options = std::move(options)};
  row.measure = [timed = Timed(std::move(call)), scale]() mutable { return timed() * scale; };
  if (!row.options.peer.empty()) {
    row.ask_peer = [work = row.options.peer, params = row.options.params, scale](Peer& peer) {
      return peer.milliseconds(work, params) * 1e-3 * scale;
    };
  }
  rows_.push_back(std::move(row));
}

void Suite::value(std::string name, std::function<double()> measure,
                  std::function<double(Peer&)> ask_peer, Options options) {
  Row row{.name = std::move(name), .options = std::move(options)};
  row.measure = std::move(measure);
  row.ask_peer = std::move(ask_peer);
  rows_.push_back(std::move(row));
}

void Suite::peak_memory(const std::string& of) {
  const auto found = std::find_if(rows_.begin(), rows_.end(),
                                  [&](const Row& row) { return row.name == of && row.call; });
  if (found == rows_.end()) throw std::invalid_argument("bench: no timed row '" + of + "'");
  auto own = [workload = workload_, of] {
    return nlohmann::json::parse(output_of({own_program(), workload, "--rss-of", of})).at("mb");
  };
  std::function<double(Peer&)> ask_peer;
  if (!found->options.peer.empty()) {
    ask_peer = [work = found->options.peer, params = found->options.params](Peer& peer) {
      return peer.peak_megabytes(work, params);
    };
  }
  value(of + " peak memory", own, std::move(ask_peer), {.unit = "MB"});
}

void Suite::run(int rounds, Limits& limits, Peer* peer) {
  for (int round = 0; round < rounds; ++round) {
    for (Row& row : rows_) {
      // Once a round also where nothing is compared with them: they say how busy the machine was.
      if (row.bounded() || &row == &rows_.front())
        row.limit_rounds.push_back(limits.measure_round());
      row.flash.values.push_back(row.measure());
      if (peer && row.ask_peer) row.peer.values.push_back(row.ask_peer(*peer));
    }
  }
}

}  // namespace flash::bench
