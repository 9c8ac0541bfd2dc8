// tests/contract/fuzz.cpp -- random programs give the same bits however they are evaluated
//
//   FLASH_FUZZ_PROGRAMS=20000 FLASH_FUZZ_SEED=7 build/tests/test_contract -tc='random programs*'
//
// runs other programs than CI does. A failure is shrunk and printed with its seed.
#include <doctest/doctest.h>

#include <unistd.h>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>

#include "contract/fuzz_program.h"
#include "core/evaluator.h"
#include "jit/evaluators/jit_evaluator.h"
#include "kernels/cpu/thread_pool.h"

using namespace flash;

namespace {

/// Fuses as the default one does, but never has a plan or a kernel from before.
class FreshEvaluator final : public Evaluator {
 public:
  std::string_view name() const override { return "fresh"; }
  void evaluate(const EvaluationRequest& request, bool& ran) override {
    jit::make_fusing_evaluator()->evaluate(request, ran);
  }
};

std::int64_t number(const char* variable, std::int64_t otherwise) {
  const char* text = std::getenv(variable);
  return text && *text ? std::strtoll(text, nullptr, 10) : otherwise;
}

volatile std::sig_atomic_t g_running = 0;
volatile std::uint64_t g_seed = 0;

/// A crash cannot be shrunk, but its seed must be known.
void on_crash(int signal) {
  char text[96];
  const int n = std::snprintf(text, sizeof text, "fuzz: signal %d in the program of seed %llu\n",
                              signal, static_cast<unsigned long long>(g_seed));
  if (g_running && write(2, text, static_cast<std::size_t>(n)) < 0) std::_Exit(3);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

std::vector<fuzz::Outcome> run_under(const char* evaluator, int threads, const fuzz::Program& p,
                                     const fuzz::RunOptions& o) {
  use_evaluator(evaluator);
  cpu::set_num_threads(threads);
  return fuzz::run(p, o);
}

/// Empty, or what went wrong.
std::string check(const fuzz::Program& p) {
  try {
    for (int variant : {0, 1}) {
      const auto fused = run_under("fuse", 2, p, {variant, false});
      struct Other {
        const char* name;
        const char* evaluator;
        int threads;
        bool flush_points;
      };
      // Sizes and scalars of variant 1 are replayed through the plans of variant 0.
      const Other others[] = {{"with flush points", "fuse", 2, true},
                              {"eager", "eager", 2, false},
                              {"interpreted", "interpret", 2, false},
                              {"a fresh plan", "fresh", 2, false},
                              {"other threads", "fuse", p.seed % 2 ? 1 : 3, false}};
      for (const Other& other : others) {
        if (variant == 0 && std::string_view(other.evaluator) == "fresh") continue;
        if (variant == 1 && std::string_view(other.evaluator) == "eager") continue;
        const auto o = run_under(other.evaluator, other.threads, p, {variant, other.flush_points});
        const std::string d = fuzz::difference(fused, o);
        if (!d.empty())
          return "variant " + std::to_string(variant) + ", fused against " + other.name + ": " + d;
      }
    }
  } catch (const std::exception& e) {
    return std::string("an evaluation threw: ") + e.what();
  }
  return "";
}

/// Drops instructions while the program still fails.
fuzz::Program shrink(fuzz::Program p) {
  for (std::size_t size = p.code.size() / 2; size >= 1; size = size == 1 ? 0 : size / 2)
    for (int round = 0; round < 3; ++round) {
      bool smaller = false;
      for (std::size_t at = 0; at < p.code.size(); at += size) {
        fuzz::Program q = p;
        bool any = false;
        for (std::size_t i = at; i < std::min(at + size, q.code.size()); ++i) {
          any = any || q.code[i].op != fuzz::Op::kNop;
          q.code[i] = {};
        }
        if (!any || check(q).empty()) continue;
        p = std::move(q);
        smaller = true;
      }
      if (!smaller) break;
    }
  return p;
}

}  // namespace

TEST_CASE(
    "random programs give the same bits fused, eager, interpreted, replayed and on any number of "
    "threads") {
  const std::int64_t programs = number("FLASH_FUZZ_PROGRAMS", 2000);
  const auto first = static_cast<std::uint64_t>(number("FLASH_FUZZ_SEED", 1));
  use_evaluator("fuse");  // devices and evaluators are installed before ours is added
  install_evaluator(std::make_unique<FreshEvaluator>());
  std::signal(SIGSEGV, on_crash);
  std::signal(SIGABRT, on_crash);
  std::signal(SIGFPE, on_crash);
  const int threads = cpu::num_threads();
  int failures = 0;
  std::size_t instructions = 0;
  g_running = 1;
  for (std::int64_t i = 0; i < programs && failures < 3; ++i) {
    g_seed = first + static_cast<std::uint64_t>(i);
    const fuzz::Program p = fuzz::generate(g_seed);
    instructions += p.code.size();
    const std::string wrong = check(p);
    if (wrong.empty()) continue;
    ++failures;
    const fuzz::Program small = shrink(p);
    const std::string still = check(small);
    const bool kept =
        !still.empty();  // what hangs on earlier programs may be gone in a smaller one
    FAIL_CHECK("program of seed " << p.seed << ": " << (kept ? still : wrong) << "\n"
                                  << fuzz::to_text(kept ? small : p, 0));
  }
  g_running = 0;
  cpu::set_num_threads(threads);
  use_evaluator("fuse");
  MESSAGE(programs << " programs, " << instructions << " instructions");
  CHECK(instructions >= static_cast<std::size_t>(programs) * 5);
}
