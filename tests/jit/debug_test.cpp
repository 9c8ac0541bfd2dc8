// tests/jit/debug_test.cpp -- what people see: launches, reasons for compiling, graphs, FLASH_DEBUG
#include <doctest/doctest.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <string>
#include <vector>

#include "core/log.h"
#include "core/ops/create.h"
#include "core/ops/elementwise.h"
#include "core/ops/linalg.h"
#include "core/ops/reduce.h"
#include "core/scope.h"
#include "core/stats.h"
#include "core/tensor.h"

using namespace flash;

namespace {

template <class F>
std::vector<KernelRecord> history_of(F&& f) {
  eval_all();
  record_kernels(true);
  kernel_history();
  f();
  record_kernels(false);
  return kernel_history();
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

int count(const std::string& text, const std::string& part) {
  int n = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++n;
  return n;
}

/// What goes to stderr while `f` runs.
template <class F>
std::string stderr_of(F&& f) {
  std::FILE* file = std::tmpfile();
  REQUIRE(file);
  std::fflush(stderr);
  const int before = dup(STDERR_FILENO);
  dup2(fileno(file), STDERR_FILENO);
  f();
  std::fflush(stderr);
  dup2(before, STDERR_FILENO);
  close(before);
  std::string text;
  std::rewind(file);
  for (int c; (c = std::fgetc(file)) != EOF;) text += static_cast<char>(c);
  std::fclose(file);
  return text;
}

/// Runs one test case of this program with FLASH_DEBUG set, and returns all that it printed.
std::string run_case(const char* name, int level) {
  std::array<char, 4096> self{};
  REQUIRE(readlink("/proc/self/exe", self.data(), self.size() - 1) > 0);
  const std::string command = "FLASH_DEBUG=" + std::to_string(level) + " '" + self.data() +
                              "' --no-skip -tc='" + name + "' 2>&1";
  std::FILE* pipe = popen(command.c_str(), "r");
  REQUIRE(pipe);
  std::string text;
  for (int c; (c = std::fgetc(pipe)) != EOF;) text += static_cast<char>(c);
  CHECK(pclose(pipe) == 0);
  return text;
}

}  // namespace

TEST_CASE("the history lists every launch with its bytes and arithmetic") {
  const Tensor x = randn({64, 128}), row = randn({128}), w = randn({128, 32});
  eval_all();
  const std::uint64_t before = stats().launches;
  Tensor y, z, s, i;
  const auto h = history_of([&] {
    y = exp(x + row);
    eval_all();
    z = matmul(x, w);
    eval_all();
    s = x.sum();
    eval_all();
    i = x.t().slice(0, 0, 8) * 2;
    eval_all();
  });
  CHECK(h.size() == stats().launches - before);
  REQUIRE(h.size() >= 4);
  CHECK(h[0].name == "add_exp");
  CHECK(!h[0].leaf);
  CHECK(h[0].bytes == (2 * 64 * 128 + 128) * 4);  // the row is read once
  CHECK(h[0].flops == 0);
  CHECK(h[0].tiles > 0);
  CHECK(h[0].microseconds > 0);
  CHECK(h[0].gb_per_s() > 0);
  const MachineLimits limits = machine_limits();
  CHECK(limits.gb_per_s > 0.1);
  CHECK(limits.gflop_per_s > 0.1);
  CHECK(h[0].share(limits) == doctest::Approx(h[0].gb_per_s() / limits.gb_per_s));
  CHECK(KernelRecord{.name = "x", .microseconds = 1, .bytes = 8000}.share({4, 0}) == 2);
  CHECK(machine_limits(Device(DeviceType::kNull)).gb_per_s == 0);
  CHECK(h[1].leaf);
  CHECK(h[1].name == "matmul");
  CHECK(h[1].flops == 2.0 * 64 * 128 * 32);
  CHECK(h[1].bytes == (64 * 128 + 128 * 32 + 64 * 32) * 4);
  CHECK(h[2].bytes == (64 * 128 + 1) * 4);
  CHECK(h.back().bytes == 2 * 8 * 64 * 4);  // a slice is only what it shows
  CHECK(kernel_history().empty());
  CHECK(history_of([] {}).empty());
}

TEST_CASE("a leaf's finished tiles are not counted as read again") {
  const Tensor x = randn({32, 64}), w = randn({64, 16}), b = randn({16});
  eval_all();
  Tensor y;
  const auto h = history_of([&] {
    y = relu(matmul(x, w) * b);
    eval_all();
  });
  REQUIRE(h.size() == 1);
  CHECK(h[0].bytes == (32 * 64 + 64 * 16 + 16 + 32 * 16) * 4);
  Tensor product;  // kept, it is written beside the epilogue's result
  const auto kept = history_of([&] {
    product = matmul(x, w);
    y = relu(product * b);
    eval_all();
  });
  REQUIRE(kept.size() == 1);
  CHECK(kept[0].bytes == (32 * 64 + 64 * 16 + 16 + 2 * 32 * 16) * 4);
}

TEST_CASE("a copy of memory is in the history too") {
  Tensor x = randn({1024});
  eval_all();
  const Tensor keep = x * 1;  // x's buffer must stay as it is
  Tensor y = x.clone();
  eval_all();
  const std::uint64_t before = stats().launches;
  const Tensor old = y.detach().clone();
  const auto h = history_of([&] {
    y.slice(0, 0, 10).fill_(1);
    eval_all();
  });
  CHECK(h.size() + 1 >= stats().launches - before);
}

TEST_CASE("explain_last_compile names the first difference to the nearest plan") {
  use_evaluator("fuse");
  const auto run = [](const Tensor& x, const Tensor& y) {
    const Scope scope("explained");
    Tensor a = sin(x) * cos(y);
    Tensor b = tanh(a) - sqrt(abs(y));
    a = Tensor();
    b.eval();
  };
  const Tensor x = randn({3, 4}), y = randn({3, 4}), one = randn({1, 4}), d = x.to(f64),
               e = y.to(f64);
  eval_all();
  run(x, y);
  const std::uint64_t planned = stats().plan_misses;
  run(y, x);
  run(randn({5, 6}), randn({5, 6}));  // other sizes: the same plan but for the random numbers
  CHECK(stats().plan_misses <= planned + 1);
  run(x, one);
  CHECK(has(explain_last_compile(), "has size 1 in dimension 0 and had another"));
  CHECK(has(explain_last_compile(), "input"));
  run(d, e);
  CHECK(has(explain_last_compile(), "is f64 and was f32"));
  {
    const Scope scope("explained");
    Tensor a = sin(x) * cos(y);
    Tensor b = tanh(a) - sqrt(abs(y));
    b.eval();  // a is kept as well
  }
  CHECK(has(explain_last_compile(), "mul in 'explained'"));
  CHECK(has(explain_last_compile(), "kept by the program and was not kept"));
  {
    const Scope scope("explained");
    Tensor a = sin(x) * cos(y);
    Tensor b = tanh(a) - sqrt(exp(y));
    a = Tensor();
    b.eval();
  }
  CHECK(has(explain_last_compile(), "exp in 'explained': was abs"));
  use_evaluator("eager");
  CHECK(explain_last_compile().size() > 0);
  use_evaluator("fuse");
}

TEST_CASE("a call site that is planned again and again is warned of once") {
  use_evaluator("fuse");
  const logging::Level before = logging::level();
  logging::set_level(logging::Level::kWarn);
  const Tensor x = randn({3});
  eval_all();
  const auto grow = [&](int steps) {
    const Scope scope("growing site");
    Tensor y = x;
    for (int i = 0; i < steps; ++i) y = sin(y) + cos(y) * 0.5;
    y.eval();
  };
  const std::string first = stderr_of([&] {
    for (int i = 3; i < 40; ++i) grow(i);
  });
  CHECK(count(first, "one call site was planned") == 1);
  CHECK(has(first, "in 'growing site'"));
  CHECK(count(stderr_of([&] {
                for (int i = 40; i < 60; ++i) grow(i);
              }),
              "one call site") == 0);
  // A loop that meets one trace is never mentioned.
  CHECK(stderr_of([&] {
          for (int i = 0; i < 100; ++i) {
            const Scope scope("steady site");
            Tensor y = exp(x) + i;
            y.eval();
          }
        }).empty());
  logging::set_level(before);
}

// Here and not with the losses: nothing else of this program broadcasts in mse_loss before.
TEST_CASE("mse_loss of two shapes that broadcast is warned of once") {
  use_evaluator("fuse");
  const logging::Level before = logging::level();
  logging::set_level(logging::Level::kWarn);
  const auto loss = [](const Shape& target) {
    return stderr_of([&] { mse_loss(ones({4, 1}), zeros(target)).eval(); });
  };
  CHECK(loss({4, 1}).empty());
  CHECK(stderr_of([&] {
          CHECK_THROWS_AS(mse_loss(ones({4, 2}), zeros({3, 2})), ShapeError);
        }).empty());
  const std::string told = loss({4});
  CHECK(has(told, "mse_loss: [4, 1] and target [4] are broadcast against each other"));
  CHECK(loss({4}).empty());
  logging::set_level(before);
}

TEST_CASE("the trace as a graph shows operations, scopes and, fused, their kernels") {
  eval_all();
  const Tensor x = randn({4, 4});
  eval_all();
  {
    Tensor y, m;
    {
      const Scope scope("my \"block\"");
      y = exp(x + 1) * 2;
    }
    m = matmul(y, x);
    tanh(x);  // nobody keeps it
    const std::string plain = trace_to_dot();
    CHECK(has(plain, "exp"));
    CHECK(has(plain, "my \\\"block\\\""));
    CHECK(!has(plain, "cluster"));
    CHECK(has(plain, " -> "));
    const std::string fused = trace_to_dot({}, true);
    CHECK(count(fused, "subgraph cluster_") == 2);
    CHECK(count(fused, "dashed") >= 1);
    CHECK(count(fused, "[label=") == count(plain, "[label="));
    CHECK(count(fused, "{") == count(fused, "}"));
  }
  eval_all();
}

TEST_CASE("a small program for FLASH_DEBUG" * doctest::skip()) {
  const Tensor x = from_vector(std::vector<float>(64, 1.0f), {8, 8});
  Tensor y = relu(matmul(x, x));
  y.eval();
  Tensor z = neg(neg(exp(y)));
  CHECK(z.sum().item() != 0);
}

TEST_CASE("FLASH_DEBUG prints flushes, launches, kernel IR, code and rewrites") {
  const char* name = "a small program for FLASH_DEBUG";
  const std::string one = run_case(name, 1);
  CHECK(count(one, "flash: flush (") == 2);
  CHECK(has(one, "plan miss"));
  CHECK(has(one, "launches"));
  CHECK(!has(one, "matmul"));
  const std::string two = run_case(name, 2);
  CHECK(has(two, "leaf matmul"));
  CHECK(has(two, "FLOP/s"));
  CHECK(has(two, "exp"));
  CHECK(has(two, "B/s"));
  CHECK(!has(two, "kernel "));
  const std::string three = run_case(name, 3);
  CHECK(has(three, "kernel "));
  CHECK(has(three, "loop:"));
  CHECK(!has(three, "code of"));
  CHECK(has(run_case(name, 4), "code of"));
  CHECK(has(run_case(name, 5), "flash: rewrite"));
  CHECK(!has(run_case(name, 0), "flash:"));
}
