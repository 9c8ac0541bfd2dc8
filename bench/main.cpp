// bench/main.cpp -- the bench command: which workloads there are, and how they are run
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <thread>

#include "bench/report.h"
#include "bench/workloads.h"

namespace flash::bench {
namespace {

struct Workload {
  const char* name;
  const char* says;
  void (*fill)(Suite&);
  int rounds = 7;
};

constexpr Workload kWorkloads[] = {
    {"trace", "what recording, replaying and compiling cost", trace},
    {"elementwise", "element-wise work and sums over 2^24 floats", elementwise, 15},
    {"leaf", "matrix products, convolutions and pools", leaf},
    {"train", "AdamW training steps: MLP 784-512-512-10 and LeNet", train},
    {"memory", "tensor bytes of a training step: 12 layers with GELU", memory},
    {"scale", "a million operations, 10,000 steps, 1,000 lengths: time and memory", scale},
    {"coldstart", "process start to the end of the first LeNet step", coldstart},
    {"gpu", "a GPU beside its own limits: bandwidth, products, launches", gpu, 3},
    {"header", "what including flash.h costs a compilation", header},
    {"machine", "plain loops against the limits of this machine", machine},
};

struct Arguments {
  std::vector<std::string> names;
  std::string json_path;
  std::vector<std::string> peer_command;
  std::string rss_of;  ///< a child's task: run this row a few times, then print the peak memory
  int rounds = 0;      ///< 0: as many as the workload says
  int threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
};

std::vector<std::string> words(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> out;
  for (std::string word; in >> word;) out.push_back(word);
  return out;
}

[[noreturn]] void usage(const std::string& problem) {
  std::cerr << "bench: " << problem << "\n"
            << "usage: ./dev bench [NAME...] [--json FILE] [--peers torch] [--rounds N] "
               "[--threads N]\nworkloads:\n";
  for (const Workload& w : kWorkloads)
    std::cerr << "  " << w.name << " -- " << w.says << " (" << w.rounds << " rounds)\n";
  std::exit(2);
}

int positive(const std::string& flag, const std::string& text) {
  char* end = nullptr;
  const long n = std::strtol(text.c_str(), &end, 10);
  if (text.empty() || *end != '\0' || n < 1 || n > 10'000)
    usage(flag + " takes a number from 1 to 10000, not '" + text + "'");
  return static_cast<int>(n);
}

Arguments parse(int argc, char** argv) {
  Arguments out;
  for (int i = 1; i < argc; ++i) {
    std::string word = argv[i], value;
    if (!word.starts_with("--")) {
      const bool known = std::any_of(std::begin(kWorkloads), std::end(kWorkloads),
                                     [&](const Workload& w) { return w.name == word; });
      if (!known) usage("there is no workload '" + word + "'");
      out.names.push_back(word);
      continue;
    }
    if (const std::size_t equals = word.find('='); equals != std::string::npos) {
      value = word.substr(equals + 1);
      word.erase(equals);
    } else if (++i < argc) {
      value = argv[i];
    } else {
      usage(word + " needs a value or is not known");
    }
    if (word == "--json")
      out.json_path = value;
    else if (word == "--peer-command")
      out.peer_command = words(value);
    else if (word == "--rss-of")
      out.rss_of = value;
    else if (word == "--rounds")
      out.rounds = positive(word, value);
    else if (word == "--threads")
      out.threads = positive(word, value);
    else if (word != "--peers")  // ./dev bench turned it into --peer-command
      usage("there is no option " + word);
    else if (value != "torch")
      usage("the only peer is torch, not '" + value + "'");
  }
  return out;
}

/// Not getrusage's: that starts from the size of the process that forked this one.
double peak_megabytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::strtod(line.c_str() + 6, nullptr) / 1024;
  throw std::runtime_error("bench: /proc/self/status has no VmHWM");
}

int print_peak_memory(const Arguments& args) {
  for (const Workload& w : kWorkloads) {
    if (args.names.size() != 1 || w.name != args.names[0]) continue;
    Suite suite(w.name);
    w.fill(suite);
    for (Row& row : suite.rows()) {
      if (row.name != args.rss_of || !row.call) continue;
      for (int i = 0; i < 20; ++i) row.call();
      std::cout << "{\"mb\": " << peak_megabytes() << "}\n";
      return 0;
    }
  }
  return 1;
}

int run(const Arguments& args) {
  // Before Flash starts its pool; children inherit it.
  setenv("FLASH_NUM_THREADS", std::to_string(args.threads).c_str(), 1);
  if (!args.rss_of.empty()) return print_peak_memory(args);
  std::ofstream json_file;
  if (!args.json_path.empty()) {
    json_file.open(args.json_path);
    if (!json_file) usage("cannot write " + args.json_path);
  }
  std::unique_ptr<Peer> peer;
  if (!args.peer_command.empty()) peer = std::make_unique<Peer>(args.peer_command, args.threads);

  nlohmann::json machine = machine_facts(args.threads);
  if (peer) machine["peer"] = peer->name() + ", threads: " + std::to_string(peer->threads());
  std::cout << machine.at("cpu").get<std::string>() << ", " << args.threads
            << " threads; ratio > 1: Flash is ahead\n";
  Limits limits(args.threads);
  nlohmann::json all = nlohmann::json::array();
  for (const Workload& w : kWorkloads) {
    const auto& names = args.names;
    if (!names.empty() && std::find(names.begin(), names.end(), w.name) == names.end()) continue;
    Suite suite(w.name);
    w.fill(suite);
    const int rounds = args.rounds ? args.rounds : w.rounds;
    std::cout << '\n' << w.name << ", " << rounds << " rounds\n" << std::flush;
    suite.run(rounds, limits, peer.get());
    const nlohmann::json rows = rows_as_json(suite, limits, peer.get());
    print_table(std::cout, rows);
    all.insert(all.end(), rows.begin(), rows.end());
  }
  machine["limits"] = limits_as_json(limits);
  std::cout << '\n';
  for (const auto& [name, value] : machine["limits"].items())
    std::cout << "limit: " << name << ' ' << value.get<double>() << '\n';
  if (json_file.is_open()) {
    json_file << nlohmann::json{{"machine", machine}, {"rows", all}}.dump(2) << '\n';
    if (!json_file.flush()) usage("cannot write " + args.json_path);
  }
  return 0;
}

}  // namespace
}  // namespace flash::bench

int main(int argc, char** argv) {
  try {
    setenv("FLASH_COMPILE", "wait", 0);  // kernels' own code is measured, in children as well
    if (argc == 2 && std::string_view(argv[1]) == "--first-step")
      return flash::bench::first_step(), 0;
    if (argc == 2 && std::string_view(argv[1]) == "--compile-times")
      return flash::bench::compile_times(), 0;
    if (argc == 2 && std::string_view(argv[1]) == "--ten-thousand-steps")
      return flash::bench::ten_thousand_steps(), 0;
    if (argc == 2 && std::string_view(argv[1]) == "--thousand-lengths")
      return flash::bench::thousand_lengths(), 0;
    if (argc == 2 && std::string_view(argv[1]) == "--gpu-product")
      return flash::bench::gpu_product(), 0;
    return flash::bench::run(flash::bench::parse(argc, argv));
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
