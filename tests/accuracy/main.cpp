// tests/accuracy/main.cpp -- the accuracy command: every function, every dtype, then sums
#include <unistd.h>

#include <algorithm>
#include <cfloat>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <stdexcept>
#include <string_view>

#include "accuracy/digest.h"
#include "accuracy/report.h"

namespace flash::accuracy {
namespace {

std::atomic<bool> interrupted = false;

struct Stopped : std::runtime_error {
  Stopped() : std::runtime_error("accuracy: stopped; nothing was written") {}
};

struct Arguments {
  bool quick = false;
  bool digest = false;
  std::string page;   // where docs/accuracy.md goes
  std::string torch;  // a Python that has PyTorch
  int threads = 2;
  std::vector<const Function*> functions;
};

[[noreturn]] void usage(const std::string& problem) {
  std::cerr << "accuracy: " << problem
            << "\nusage: ./dev accuracy [--quick] [--write] [--threads N] [--peers torch] "
               "[FUNCTION...]\nfunctions:";
  for (const Function& f : functions()) std::cerr << " '" << f.name << "'";
  std::cerr << "\n";
  std::exit(2);
}

Arguments parse(int argc, char** argv) {
  Arguments out;
  const auto value = [&](int& i) {
    if (i + 1 == argc) usage(std::string(argv[i]) + " needs a value");
    return std::string(argv[++i]);
  };
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--quick")
      out.quick = true;
    else if (word == "--digest")
      out.digest = true;
    else if (word == "--page")  // ./dev accuracy turns --write into it
      out.page = value(i);
    else if (word == "--torch")  // and --peers torch
      out.torch = value(i);
    else if (word == "--threads")
      out.threads = std::clamp(std::atoi(value(i).c_str()), 1, 256);
    else if (word.starts_with("--"))
      usage("there is no option " + std::string(word));
    else {
      const auto all = functions();
      const auto found =
          std::find_if(all.begin(), all.end(), [&](const Function& f) { return f.name == word; });
      if (found == all.end()) usage("there is no function '" + std::string(word) + "'");
      out.functions.push_back(&*found);
    }
  }
  if (!out.page.empty() && (out.quick || !out.functions.empty()))
    usage("--write takes the full run: no --quick and no names");
  if (out.functions.empty())
    for (const Function& f : functions()) out.functions.push_back(&f);
  return out;
}

/// A line that is written over on a terminal, and left out in a pipe.
class Progress {
 public:
  explicit Progress(std::string what) : what_(std::move(what)) {}
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void operator()(double share) {
    const auto now = std::chrono::steady_clock::now();
    if (!on_terminal_ || now - shown_ < std::chrono::milliseconds(100)) return;
    shown_ = now;
    std::cerr << "\r\033[K" << what_ << " " << static_cast<int>(share * 100) << " %" << std::flush;
  }
  void clear() {
    if (on_terminal_) std::cerr << "\r\033[K" << std::flush;
  }

 private:
  std::string what_;
  bool on_terminal_ = isatty(STDERR_FILENO) != 0;
  std::chrono::steady_clock::time_point shown_ = {};
};

Measured measure(const Function& f, DType dtype, const Arguments& args,
                 const std::vector<double>& angles) {
  const auto start = std::chrono::steady_clock::now();
  Progress progress(std::string(f.name) + " " + std::string(name(dtype)));
  const Runner runner{args.threads, std::ref(progress), &interrupted};
  Sweep sweep;
  if (dtype == DType::kF32)
    sweep = sweep_f32(f, args.quick ? 997 * 4 + 1 : 1, runner);
  else if (dtype == DType::kF64)
    sweep = sweep_f64(f, args.quick ? 500'000 : 100'000'000,
                      is_trigonometric(f) ? angles : std::vector<double>{}, runner);
  else
    sweep = sweep_half(f, dtype);
  if (interrupted) throw Stopped();
  Measured m{.function = &f,
             .dtype = dtype,
             .inputs = sweep.inputs,
             .not_nearest = sweep.not_nearest,
             .verdict = judge(f, dtype, sweep),
             .speed = measure_speed(f, dtype, args.quick ? 3 : 9)};
  m.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return m;
}

/// The functions whose results are not the same under all kinds of code.
std::vector<std::string> differing(const Arguments& args, const std::vector<Code>& kinds) {
  std::vector<std::string> names, out;
  for (const Function* f : args.functions) names.emplace_back(f->name);
  std::vector<std::vector<std::string>> all;
  for (const Code& code : kinds) {
    if (interrupted) throw Stopped();
    Progress(std::string("bits of ") + code.name)(0);
    all.push_back(digests_under(code, names));
  }
  for (std::size_t i = 0; i < names.size(); ++i)
    for (const auto& lines : all)
      if (lines[i] != all.front()[i] && (out.empty() || out.back() != names[i]))
        out.push_back(names[i]);
  return out;
}

int run(const Arguments& args) {
  Findings findings;
  findings.surroundings = surroundings();
  for (const std::string& s : findings.surroundings) std::cout << s << '\n';
  if (!judge_name())
    std::cout << "accuracy: built without MPFR (libmpfr-dev): the worst points stay as the "
                 "references have them\n";
  bool good = true;
  const std::vector<double> angles = hardest_angles();
  for (const DType dtype : {DType::kF32, DType::kF64, DType::kF16, DType::kBF16}) {
    if (dtype == DType::kF64 && LDBL_MANT_DIG < 64) {
      std::cout << "f64: left out, long double is no wider than double here\n";
      continue;
    }
    for (const Function* f : args.functions) {
      findings.measured.push_back(measure(*f, dtype, args, angles));
      const Measured& m = findings.measured.back();
      good &= m.within_bound();
      std::cout << line(m) << std::endl;
      std::vector<Special> specials = ends(*f, dtype);
      for (const Special& s : limits(*f, dtype)) specials.push_back(s);
      for (const Special& s : specials) {
        good &= s.good;
        if (!s.good)
          std::cout << "  special value: " << f->name << "(" << hex(s.x) << ") = " << hex(s.got)
                    << ", not " << hex(s.want) << std::endl;
      }
    }
  }
  const std::vector<Code> kinds = kinds_of_code();
  for (const Code& code : kinds) findings.code.emplace_back(code.name);
  findings.differing = differing(args, kinds);
  std::cout << "bits under";
  for (const std::string& code : findings.code) std::cout << ' ' << code;
  std::cout << ": " << (findings.differing.empty() ? "equal" : "DIFFERENT for");
  for (const std::string& f : findings.differing) std::cout << " " << f;
  std::cout << std::endl;
  good &= findings.differing.empty();
  if (args.functions.size() == functions().size()) {
    findings.sums = measure_sums(args.quick ? 1000 : 10'000, args.torch, [](const std::string& c) {
      if (interrupted) throw Stopped();
      Progress("sums: " + c)(0);
      return true;
    });
    for (const SumCase& c : findings.sums.cases) {
      std::cout << "sum of " << c.name << ": relative error " << c.flash.sum;
      if (!args.torch.empty()) std::cout << ", PyTorch's " << c.torch.sum;
      std::cout << std::endl;
    }
  }
  if (!args.page.empty()) {
    std::ofstream out(args.page);
    write_page(
        out, findings,
        args.torch.empty() ? "./dev accuracy --write" : "./dev accuracy --write --peers torch");
    if (!out.flush()) throw std::runtime_error("accuracy: cannot write " + args.page);
  }
  return good ? 0 : 1;
}

}  // namespace
}  // namespace flash::accuracy

int main(int argc, char** argv) {
  using namespace flash::accuracy;
  // Before Flash starts its pool: the threads here are the sweeps', and throughput is one thread's.
  setenv("FLASH_NUM_THREADS", "1", 1);
  std::signal(SIGINT, [](int) {
    if (interrupted.exchange(true)) std::_Exit(130);  // asked twice
  });
  try {
    const Arguments args = parse(argc, argv);
    if (!args.digest) return run(args);
    for (const Function* f : args.functions)
      if (!interrupted) std::cout << digest(*f) << std::endl;
    return 0;
  } catch (const std::exception& error) {
    // A child that Ctrl-C ended too complains first: what counts is that it was asked for.
    std::cerr << (interrupted ? Stopped().what() : error.what()) << '\n';
    return interrupted ? 130 : 1;
  }
}
