// tests/fuzz/main.cpp -- the fuzzer: workers over a range of seeds, what they found, what they
// reached
//
//   ./dev fuzz --programs 100000 --seed 1 --jobs 2
//
// Each worker is a process, so that one that crashes or hangs is a finding like any other.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <thread>

#include "fuzz/check.h"
#include "fuzz/guard.h"

namespace {

using namespace fuzz;
using Clock = std::chrono::steady_clock;

constexpr int kMostJobs = 64;

constexpr const char* kUsage =
    R"(usage: fuzz [--programs N] [--seed S] [--minutes M] [--jobs N] [--guard] [--all] [--first]
            [--reach] [--device NAME] [--print S...] [--values S...]

  --programs N   5000 of them by default
  --seed S       the first program's seed, 1 by default; the others follow
  --minutes M    stop after so long, or after --programs if given
  --jobs N       processes, 2 by default, 64 at most
  --guard        every buffer lies between pages that may not be touched
  --device NAME  run on this device and compare with the CPU; cpu by default
  --all          go on after the third finding
  --first        stop at the first one, as it is: neither made small nor printed
  --reach        also fail if a primitive was never evaluated on a dtype that it takes, or if
                 programs have fewer than 20 operations on average
  --print S...   print the programs of these seeds as C++ and end
  --values S...  print the lines that such a program prints and end
)";

struct Options {
  std::uint64_t programs = 5000, seed = 1;
  double minutes = 0;
  int jobs = 2;
  bool guard = false, all = false, first = false, reach = false;
  std::string device = "cpu";
  std::vector<std::uint64_t> print, values;
};

[[noreturn]] void refuse(const std::string& what) {
  std::fprintf(stderr, "fuzz: %s\n%s", what.c_str(), kUsage);
  std::exit(2);
}

/// A whole number, or for a double any, in [least, most].
template <class T>
T number(std::string_view option, const char* text, T least, T most) {
  T x{};
  const char* const end = text + std::strlen(text);
  const auto [at, error] = std::from_chars(text, end, x);
  if (error != std::errc() || at != end || !(x >= least && x <= most)) {
    std::ostringstream want;
    want << option << ": '" << text << "' is not a " << (std::is_integral_v<T> ? "whole " : "")
         << "number from " << least << " to " << most;
    refuse(want.str());
  }
  return x;
}

Options parse(int argc, char** argv) {
  constexpr std::uint64_t kMost = UINT64_MAX / 2;
  Options o;
  bool counted = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view arg = argv[i];
    const auto value = [&]<class T>(T least, T most) {
      if (i + 1 == argc) refuse(std::string(arg) + " wants a number");
      return number(arg, argv[++i], least, most);
    };
    const auto seeds = [&] {  // all that follow but options
      std::vector<std::uint64_t> all;
      do all.push_back(value(std::uint64_t{0}, kMost));
      while (i + 1 < argc && argv[i + 1][0] != '-');
      return all;
    };
    if (arg == "--programs") {
      o.programs = value(std::uint64_t{1}, kMost);
      counted = true;
    } else if (arg == "--seed") {
      o.seed = value(std::uint64_t{0}, kMost);
    } else if (arg == "--minutes") {
      o.minutes = value(0.0, 1e6);
    } else if (arg == "--jobs") {
      o.jobs = value(1, kMostJobs);
    } else if (arg == "--guard") {
      o.guard = true;
    } else if (arg == "--device") {
      if (i + 1 == argc) refuse("--device wants a name");
      o.device = argv[++i];
    } else if (arg == "--all") {
      o.all = true;
    } else if (arg == "--first") {
      o.first = true;
    } else if (arg == "--reach") {
      o.reach = true;
    } else if (arg == "--print") {
      o.print = seeds();
    } else if (arg == "--values") {
      o.values = seeds();
    } else if (arg == "--help") {
      std::fputs(kUsage, stdout);
      std::exit(0);
    } else {
      refuse("there is no option '" + std::string(arg) + "'");
    }
  }
  if (o.minutes > 0 && !counted) o.programs = kMost;
  return o;
}

/// What a worker says, in memory that the processes share.
struct Worker {
  std::atomic<std::uint64_t> at;    ///< number of the program that it runs
  std::atomic<std::uint64_t> done;  ///< programs
  std::atomic<std::uint64_t> findings;
  Coverage coverage;
};
struct Shared {
  std::atomic<bool> stop;
  std::atomic<std::uint64_t> findings;
  std::atomic<std::uint64_t> first_finding;  ///< programs done until then, at least 1
  Worker workers[kMostJobs];
};

Shared& make_shared_memory() {
  void* memory =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) refuse("no memory for the workers");
  return *static_cast<Shared*>(memory);  // zeros are what all of it begins with
}

std::string comment(const Program& p, const std::string& wrong, const Options& o) {
  return "// random program of seed " + std::to_string(p.seed) + "\n// " + wrong +
         "\n//\n// Again: ./dev fuzz --programs 1 --seed " + std::to_string(p.seed) +
         (o.guard ? " --guard" : "") + (o.device == "cpu" ? "" : " --device " + o.device) +
         "\n// Build: g++ -std=c++20 this.cpp -lflash; FLASH_ISA=avx2 and FLASH_NUM_THREADS=1 are "
         "worth a try.\n";
}

/// One finding is one piece of output, whatever other workers write.
void say(std::uint64_t seed, const std::string& wrong, const std::string& program) {
  const std::string head = "\n==== seed " + std::to_string(seed) + ": " + wrong + "\n" + program;
  std::fwrite(head.data(), 1, head.size(), stdout);
  std::fflush(stdout);
}

void report(const Program& p, const std::string& wrong, const Options& o) {
  say(p.seed, wrong,
      to_cpp({&p, 1}, comment(p, wrong, o)) + "==== end of seed " + std::to_string(p.seed) + "\n");
}

void set_up(const Options& o, Coverage& coverage) {
  if (o.guard) install_guards();
  prepare(coverage, o.device);
}

/// Programs first, first + step, … until told to stop.
void work(const Options& o, Shared& s, Worker& w, std::uint64_t first, std::uint64_t step) {
  set_up(o, w.coverage);
  for (std::uint64_t k = first; k < o.programs && !s.stop; k += step) {
    w.at = k;
    const Program p = generate(o.seed + k);
    const std::string wrong = check(p);
    ++w.done;
    if (wrong.empty()) continue;
    ++s.findings;
    std::uint64_t none = 0, sum = 0;
    for (const Worker& other : s.workers) sum += other.done;
    s.first_finding.compare_exchange_strong(none, sum);
    if (s.findings >= 3 && !o.all) s.stop = true;
    if (o.first) {
      s.stop = true;
      say(p.seed, wrong, "");
      break;
    }
    const Program small = shrink(p, check);
    const std::string still = check(small);
    // What hangs on earlier programs may be gone in a smaller one.
    report(still.empty() ? p : small, still.empty() ? wrong : still, o);
  }
  std::fflush(nullptr);
  _exit(0);
}

pid_t fork_to(const std::function<void()>& f) {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child < 0) refuse("no process for a worker");
  if (child > 0) return child;
  std::signal(SIGINT, SIG_IGN);  // the parent says when to stop
  f();
  _exit(0);
}

/// How a process ended that was to exit with 0; sanitizers exit with another status.
std::string death(int status) {
  if (WIFSIGNALED(status)) return std::string("signal ") + strsignal(WTERMSIG(status));
  const int code = WEXITSTATUS(status);
  return code ? "exit status " + std::to_string(code) : "";
}

/// As check(), in a process of its own: for programs that end it.
std::string check_apart(const Program& p) {
  const pid_t child = fork_to([&] {
    alarm(60);
    std::signal(SIGALRM, SIG_DFL);
    check(p);
    _exit(0);
  });
  int status = 0;
  waitpid(child, &status, 0);
  return death(status);
}

void investigate(const Options& o, std::uint64_t seed, const std::string& how) {
  if (o.first) return say(seed, how, "");
  const pid_t child = fork_to([&] {
    static Coverage unused;
    set_up(o, unused);
    const Program p = generate(seed);
    const std::string again = check_apart(p);
    if (again.empty())
      report(p, how + " (not by this program alone)", o);
    else
      report(shrink(p, check_apart), again, o);
    std::fflush(nullptr);
    _exit(0);
  });
  int status = 0;
  waitpid(child, &status, 0);
  if (!death(status).empty()) say(seed, how + ", also while it was being generated or printed", "");
}

volatile std::sig_atomic_t interrupted = 0;

/// Whether the device is there, asked in a process of its own: an open driver survives no fork.
bool device_is_there(const std::string& name) {
  const pid_t child = fork_to([&] {
    try {
      const Device device(name);
    } catch (const Error& e) {
      std::fprintf(stderr, "fuzz: --device: %s\n", e.what());
      _exit(2);
    }
    _exit(0);
  });
  int status = 0;
  waitpid(child, &status, 0);
  return death(status).empty();
}

int fuzz_range(const Options& o) {
  if (!device_is_there(o.device)) return 2;
  Shared& s = make_shared_memory();
  const auto step = static_cast<std::uint64_t>(o.jobs);
  std::signal(SIGINT, [](int) { interrupted = 1; });
  const auto start = Clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  struct Child {
    pid_t pid = 0;
    std::uint64_t at = 0;
    double since = 0;
  };
  std::vector<Child> children(step);
  const auto launch = [&](std::size_t i, std::uint64_t first) {
    children[i] = {0, first, seconds()};
    s.workers[i].at = first;
    children[i].pid = fork_to([&, i, first] { work(o, s, s.workers[i], first, step); });
  };
  for (std::size_t i = 0; i < step; ++i) launch(i, i);
  const auto sum = [&](auto member) {
    std::uint64_t n = 0;
    for (const Worker& w : s.workers) n += w.*member;
    return n;
  };
  double told = 0;
  for (std::size_t running = step; running > 0;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    if (interrupted || (o.minutes > 0 && seconds() > o.minutes * 60)) s.stop = true;
    for (std::size_t i = 0; i < step; ++i) {
      Child& c = children[i];
      if (!c.pid) continue;
      const std::uint64_t at = s.workers[i].at;
      if (at != c.at) c.at = at, c.since = seconds();
      constexpr double kHangs = 300;
      if (seconds() - c.since > kHangs) kill(c.pid, SIGABRT);
      int status = 0;
      if (waitpid(c.pid, &status, WNOHANG) != c.pid) continue;
      c.pid = 0;
      const std::string how = death(status);
      if (how.empty()) {
        --running;
        continue;
      }
      ++s.findings;
      std::uint64_t none = 0;
      s.first_finding.compare_exchange_strong(none, sum(&Worker::done) + 1);
      investigate(o, o.seed + at, how);
      if (o.first || (s.findings >= 3 && !o.all)) s.stop = true;
      if (at + step < o.programs)
        launch(i, at + step);
      else
        --running;
    }
    if (seconds() - told >= 10) {
      told = seconds();
      const auto done = static_cast<double>(sum(&Worker::done));
      std::fprintf(stderr, "%8.0f programs, %5.0f a second, %llu findings\n", done, done / told,
                   static_cast<unsigned long long>(s.findings.load()));
    }
  }
  static Coverage all;
  for (const Worker& w : s.workers) all.add(w.coverage);
  const std::uint64_t done = sum(&Worker::done), findings = s.findings;
  const double mean = done ? static_cast<double>(all.nodes) / (2 * static_cast<double>(done)) : 0;
  std::printf("%s", table_of(all).c_str());
  const double replayed =
      done ? 100 * static_cast<double>(all.replayed) / static_cast<double>(done) : 0;
  std::printf(
      "%llu programs from seed %llu in %.0f s (%.0f a second), %.1f operations each, %.0f %% "
      "replayed, %llu findings\n",
      static_cast<unsigned long long>(done), static_cast<unsigned long long>(o.seed), seconds(),
      static_cast<double>(done) / seconds(), mean, replayed,
      static_cast<unsigned long long>(findings));
  if (findings)
    std::printf("the first after %llu programs\n",
                static_cast<unsigned long long>(s.first_finding.load()));
  bool good = findings == 0;
  if (good && !s.stop && done != o.programs) {
    std::printf("only %llu of %llu programs were run\n", static_cast<unsigned long long>(done),
                static_cast<unsigned long long>(o.programs));
    good = false;
  }
  if (o.reach) {
    for (std::size_t p = 0; p < kPrimCount; ++p)
      for (std::size_t d = 0; d < kDTypes; ++d) {
        const auto prim = static_cast<Prim>(p);
        const auto dtype = static_cast<DType>(d);
        if (impossible(prim, dtype) || all.reached(prim, dtype)) continue;
        std::printf("never evaluated: %s of %s\n", std::string(flash::info(prim).name).c_str(),
                    std::string(flash::name(dtype)).c_str());
        good = false;
      }
    if (mean < 20) {
      std::printf("programs are too short: 20 operations each are wanted\n");
      good = false;
    }
  }
  return good ? 0 : 1;
}

std::vector<Program> programs_of(const std::vector<std::uint64_t>& seeds) {
  std::vector<Program> all;
  for (const std::uint64_t seed : seeds) all.push_back(generate(seed));
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  const Options o = parse(argc, argv);
  setenv("FLASH_LOG", "error", 0);  // what random programs do is rarely meant
  if (!o.print.empty())
    std::fputs(to_cpp(programs_of(o.print), "// random programs\n").c_str(), stdout);
  if (!o.values.empty()) std::fputs(expected_lines(programs_of(o.values)).c_str(), stdout);
  if (!o.print.empty() || !o.values.empty()) return 0;
  return fuzz_range(o);
}
