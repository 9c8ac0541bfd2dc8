// bench/report.cpp -- facts about the machine, rows as JSON, JSON as a table
#include "bench/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iomanip>
#include <sstream>
#include <thread>

namespace flash::bench {
namespace {

using nlohmann::json;

std::string first_line(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

/// The value behind `key` in files made of "key : value" lines.
std::string field(const std::string& path, const std::string& key) {
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    const std::size_t colon = line.find(':');
    if (!line.starts_with(key) || colon == std::string::npos) continue;
    const std::size_t from = line.find_first_not_of(" \t", colon + 1);
    return from == std::string::npos ? "" : line.substr(from);
  }
  return "";
}

std::string git_commit() {
  std::string text;
  const std::string command =
      "git -C '" FLASH_SOURCE_ROOT "' describe --always --dirty --abbrev=12 2>/dev/null";
  if (FILE* pipe = popen(command.c_str(), "r")) {
    char buffer[128];
    if (std::fgets(buffer, sizeof buffer, pipe)) text = buffer;
    pclose(pipe);
  }
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.empty() ? "unknown" : text;
}

std::string number(const json& value, int digits) {
  if (!value.is_number()) return "";
  std::ostringstream out;
  out << std::setprecision(digits) << value.get<double>();
  return out.str();
}

struct Share {
  double part = 0;
  std::string of;
};

/// The part of `limit` that a row reaches whose call does `work`, in bytes or FLOPs.
Share share(const Row& row, double work, const Limits::Limit& limit) {
  Samples parts;
  for (std::size_t round = 0; round < row.flash.values.size(); ++round) {
    const double seconds = row.flash.values[round] * seconds_of(row.options.unit) * row.options.per;
    parts.values.push_back(work / seconds / limit.rounds[row.limit_rounds[round]]);
  }
  return {parts.median(), limit.name};
}

/// Of the memory's limits the one that leaves a row the least, or that of arithmetic where the row
/// is nearer to it.
Share share(const Row& row, const Limits& limits) {
  const auto less = [](const Share& a, const Share& b) { return a.part < b.part; };
  std::vector<Share> of_bytes;
  for (const Limits::Limit& limit : limits.bandwidths())
    of_bytes.push_back(share(row, row.options.bytes, limit));
  return std::max(*std::min_element(of_bytes.begin(), of_bytes.end(), less),
                  share(row, row.options.flops, limits.flops()), less);
}

}  // namespace

json machine_facts(int threads) {
  const std::string governor = first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
  return {
    {"cpu", field("/proc/cpuinfo", "model name")}, {"cores", std::thread::hardware_concurrency()},
        {"threads", threads}, {"memory", field("/proc/meminfo", "MemTotal")},
        {"governor", governor.empty() ? "unknown" : governor},
        {"load", first_line("/proc/loadavg")},
#if defined(__clang__)
        {"compiler", "clang " __clang_version__},
#else
        {"compiler", "g++ " __VERSION__},
#endif
        {"flags", FLASH_BUILD_FLAGS}, {"commit", git_commit()},
  };
}

json limits_as_json(const Limits& limits) {
  json out = json::object();
  for (const Limits::Limit& limit : limits.bandwidths())
    out[limit.name + " GB/s"] = limit.median() * 1e-9;
  out[limits.flops().name + " GFLOP/s"] = limits.flops().median() * 1e-9;
  return out;
}

json rows_as_json(Suite& suite, const Limits& limits, const Peer* peer) {
  json rows = json::array();
  for (Row& row : suite.rows()) {
    const double value = row.flash.median();
    json out = {
        {"name", suite.workload() + "." + row.name},
        {"value", value},
        {"unit", row.options.unit},
        {"spread", row.flash.high() - row.flash.low()},
        {"min", *std::min_element(row.flash.values.begin(), row.flash.values.end())},
        {"max", *std::max_element(row.flash.values.begin(), row.flash.values.end())},
        {"rounds", row.flash.values.size()},
        {"peer", nullptr},
        {"peer_value", nullptr},
        {"ratio", nullptr},
        {"limit", nullptr},
        {"limit_share", nullptr},
        {"goal", row.options.goal},
    };
    if (peer && !row.peer.values.empty()) {
      out["peer"] = peer->name();
      out["peer_value"] = row.peer.median();
      out["peer_spread"] = row.peer.high() - row.peer.low();
      out["ratio"] = row.peer.median() / value;
    }
    if (row.bounded()) {
      const Share best = share(row, limits);
      out["limit"] = best.of;
      out["limit_share"] = best.part;
    }
    rows.push_back(std::move(out));
  }
  return rows;
}

void print_table(std::ostream& out, const json& rows) {
  const std::vector<std::string> head = {"name",  "value", "±",     "unit", "peer",
                                         "ratio", "share", "limit", "goal"};
  std::vector<std::vector<std::string>> lines = {head};
  for (const json& row : rows) {
    const json& limit = row.at("limit");
    lines.push_back(
        {row.at("name").get<std::string>(), number(row.at("value"), 4), number(row.at("spread"), 2),
         row.at("unit").get<std::string>(), number(row.at("peer_value"), 4),
         number(row.at("ratio"), 3), number(row.at("limit_share"), 2),
         limit.is_string() ? limit.get<std::string>() : "", row.at("goal").get<std::string>()});
  }
  std::vector<std::size_t> width(head.size(), 0);
  const auto columns = [](const std::string& text) {  // code points, not bytes
    return static_cast<std::size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
  };
  for (const auto& line : lines)
    for (std::size_t i = 0; i < line.size(); ++i) width[i] = std::max(width[i], columns(line[i]));
  for (const auto& line : lines) {
    std::string text;
    for (std::size_t i = 0; i < line.size(); ++i) {
      const std::string pad(width[i] - columns(line[i]), ' ');
      const bool left = i == 0 || i == 3 || i >= 7;
      text += (i ? "  " : "") + (left ? line[i] + pad : pad + line[i]);
    }
    text.erase(text.find_last_not_of(' ') + 1);
    out << text << '\n';
  }
}

}  // namespace flash::bench
