// tests/contract/bounded_test.cpp -- work, recorded operations and caches stay in proportion
//
// What is counted are flushes, operations in them, launches, plans and compilations (flash::stats),
// never time. The deep programs run on a thread with a small stack: nothing may recurse along them.
#include <doctest/doctest.h>

#include <pthread.h>

#include <exception>
#include <functional>

#include <flash/flash.h>

#include "contract/op_table.h"
#include "core/sanitizers.h"
#include "core/thread_traces.h"

using namespace flash;

namespace {

/// Runs `f` on a thread with a megabyte of stack, too little for 200,000 calls inside each other;
/// what it throws is thrown here.
#if FLASH_THREAD_SANITIZER  // g++ 12's run-time fails where a thread that made many atomics ends
void on_small_stack(const std::function<void()>& f) { f(); }
#else
void on_small_stack(std::function<void()> f) {
  struct Call {
    std::function<void()> f;
    std::exception_ptr error;
  } call{std::move(f), nullptr};
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  REQUIRE(pthread_attr_setstacksize(&attributes, 1024 * 1024) == 0);
  pthread_t thread;
  const auto body = [](void* p) -> void* {
    Call& c = *static_cast<Call*>(p);
    try {
      c.f();
    } catch (...) {
      c.error = std::current_exception();
    }
    return nullptr;
  };
  REQUIRE(pthread_create(&thread, &attributes, body, &call) == 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
  if (call.error) std::rethrow_exception(call.error);
}
#endif

struct Work {
  std::uint64_t flushes, nodes, launches, plan_misses, compiled;
};
/// What the engine did for `f`.
template <class F>
Work work(F&& f) {
  eval_all();
  const Stats a = stats();
  f();
  eval_all();
  const Stats b = stats();
  return {b.flushes - a.flushes, b.nodes - a.nodes, b.launches - a.launches,
          b.plan_misses - a.plan_misses, b.kernels_compiled - a.kernels_compiled};
}

/// Ten times the program must be at most ten times the work, and a flush more.
void check_proportional(const Work& one, const Work& ten) {
  CHECK(one.nodes > 0);
  CHECK(ten.nodes <= 10 * one.nodes + 16);
  CHECK(ten.flushes <= 10 * one.flushes + 1);
  CHECK(ten.launches <= 10 * one.launches + 4);
}

std::size_t recorded() { return this_trace(Device()).nodes.size(); }

}  // namespace

TEST_CASE("a chain of 1,000,000 additions is linear work, on a small stack") {
  for (const char* evaluator : {"fuse", "eager"}) {
    CAPTURE(std::string(evaluator));
    use_evaluator(evaluator);
    on_small_stack([] {
      const Tensor x = full({3}, 0.5, f64);
      const auto chain = [&](int n) {
        Tensor y = x;
        for (int i = 0; i < n; ++i) y = y + 1;
        CHECK(y.to_vector<double>() == std::vector<double>(3, n + 0.5));
      };
      chain(100'000);
      const Work one = work([&] { chain(100'000); }), ten = work([&] { chain(1'000'000); });
      check_proportional(one, ten);
      CHECK(ten.plan_misses <= 2);  // the piece behind the last limit is of another length
    });
  }
  use_evaluator("fuse");
}

TEST_CASE("a chain of 1,000,000 additions on the tape is walked back in linear work") {
  on_small_stack([] {
    const auto chain = [&](int n) {
      Tensor x = full({3}, 0.5, f64);
      x.set_requires_grad();
      Tensor y = x;
      for (int i = 0; i < n; ++i) y = y + x;
      sum(y).backward();
      CHECK(x.grad().to_vector<double>() == std::vector<double>(3, n + 1));
    };
    chain(100'000);
    const Work one = work([&] { chain(100'000); }), ten = work([&] { chain(1'000'000); });
    check_proportional(one, ten);
  });
}

TEST_CASE("100,000 writes in place are linear work and keep no version") {
  on_small_stack([] {
    const auto writes = [&](int n) {
      Tensor x = zeros({4, 3}, f64);
      Tensor row = x[1];
      for (int i = 0; i < n; ++i) {
        if (i % 2)
          x.add_(1);
        else
          row.add_(1);
      }
      CHECK(sum(x).item() == 12.0 * (n / 2) + 3.0 * (n - n / 2));
    };
    writes(10000);
    const Work one = work([&] { writes(10000); }), ten = work([&] { writes(100000); });
    check_proportional(one, ten);
  });
}

TEST_CASE("joining rows and walking back is linear in work and memory") {
  const auto joined = [](int n) {
    const Tensor w = ones({64}, f64).set_requires_grad();
    std::vector<Tensor> rows;
    for (int i = 0; i < n; ++i) rows.push_back(w * static_cast<double>(i));
    eval_all();
    reset_peak_memory_stats();
    const std::size_t before = memory_stats().live;
    (stack(rows) * cat(rows).view({n, 64})).sum().backward();
    CHECK(w.grad().to_vector<double>()[5] == 2.0 * (n - 1) * n * (2 * n - 1) / 6);
    return memory_stats().peak - before;
  };
  for (int n : {64, 640}) joined(n);  // a GPU's ArgBlocks grow
  std::size_t few = 0, many = 0;
  const Work one = work([&] { few = joined(64); }), ten = work([&] { many = joined(640); });
  check_proportional(one, ten);
  CHECK(many <= 11 * few);
}

TEST_CASE("a diamond of any depth stays as many operations as it has") {
  for (const char* evaluator : contract::kEvaluators) {
    CAPTURE(std::string(evaluator));
    use_evaluator(evaluator);
    for (const int depth : {24, 1000}) {
      CAPTURE(depth);
      on_small_stack([depth] {
        Tensor x = full({5}, 1e-3, f64);
        x.eval();
        x.set_requires_grad();
        const std::size_t before = recorded();
        Tensor y = x;
        double want = 1e-3;
        for (int i = 0; i < depth; ++i) {
          y = y * y + y;
          want = want * want + want;
          if (want > 0.5) {  // keep it in range, in both
            y = y * 0.001;
            want = want * 0.001;
          }
        }
        const std::size_t operations = recorded() - before;
        CHECK(operations <= static_cast<std::size_t>(4 * depth + 4));
        const Work forward =
            work([&] { CHECK(y.to_vector<double>() == std::vector<double>(5, want)); });
        CHECK(forward.nodes <= operations + 8);
        const Work backward = work([&] { sum(y).backward(); });
        CHECK(backward.nodes <= static_cast<std::size_t>(12 * depth + 32));
        CHECK(isfinite(x.grad()).to_vector<bool>() == std::vector<bool>(5, true));
      });
    }
  }
  use_evaluator("fuse");
}

TEST_CASE("a diamond inside of one kernel is computed once a level") {
  use_evaluator("fuse");
  const Tensor x = full({1000}, 1e-3);
  x.eval();
  const Work w = work([&] {
    Tensor y = x;
    for (int i = 0; i < 24; ++i) y = y * y + y;
    y.eval();
  });
  CHECK(w.launches == 1);
  CHECK(w.nodes <= 2 * 24 + 2);
}

TEST_CASE("one scalar tensor serves 40,000 operations as one input a trace") {
  for (const bool pending : {false, true}) {
    CAPTURE(pending);
    on_small_stack([pending] {
      const auto use = [&](int n) {
        Tensor s = full({}, 3.0, f64) * 1;
        if (!pending) s.eval();
        s.set_requires_grad();
        Tensor y = zeros({2}, f64);
        for (int i = 0; i < n; ++i) y = y + s;
        CHECK(y.to_vector<double>() == std::vector<double>(2, 3.0 * n));
        sum(y).backward();
        CHECK(s.grad().item() == 2.0 * n);
      };
      use(4000);
      const Work one = work([&] { use(4000); }), ten = work([&] { use(40000); });
      check_proportional(one, ten);
      // An addition forward; backward a view, a sum to the scalar's shape and an addition.
      // Where a limit cuts, the few inputs and numbers of the rest are recorded again.
      CHECK(ten.nodes <= 40000 * 4 + 4 * ten.flushes);
    });
  }
}

TEST_CASE("100,000 living tensors, evaluated or not, keep their values in few plans") {
  constexpr int kLiving = 100'000;
  const Tensor x = full({3}, 0.5);
  x.eval();
  std::size_t most = 0;
  const auto make = [&](int n) {
    std::vector<Tensor> all;
    for (int i = 0; i < n; ++i) {
      all.push_back(x + i);
      most = std::max(most, recorded());
    }
    return all;
  };
  make(8000);
  std::vector<Tensor> living;
  const Work record = work([&] { living = make(kLiving); });
  CHECK(most <= 4096 + 4);  // FLASH_TRACE_LIMIT, and what one operation records
  CHECK(record.flushes <= kLiving * 2 / 2048 + 2);
  CHECK(record.nodes <= kLiving * 2 + 4 * record.flushes);
  CHECK(record.plan_misses <= 2);  // the ends; between limits the same few traces return
  double total = 0;
  for (int i = 0; i < kLiving; ++i) {
    const std::vector<float> v = living[static_cast<std::size_t>(i)].to_vector<float>();
    total += v[0] + v[1] + v[2];
    if (i % 1000 == 0) CHECK(v == std::vector<float>(3, static_cast<float>(i) + 0.5f));
  }
  CHECK(total == 3 * (1.0 * kLiving * (kLiving - 1) / 2 + kLiving * 0.5));
  // All of them, evaluated, as operands of one joint.
  Tensor all;
  const Work join = work([&] { all = cat(living); });
  CHECK(sum(all.to(f64)).item() == total);
  CHECK(join.nodes <= kLiving * 4);
  CHECK(join.launches <= kLiving + 64);
}

TEST_CASE("after the first few lengths of 300 nothing is planned or compiled") {
  for (const char* evaluator : {"fuse", "eager"}) {
    CAPTURE(std::string(evaluator));
    use_evaluator(evaluator);
    Tensor w = full({1}, 0.5);
    w.eval();
    w.set_requires_grad();
    const auto step = [&](std::int64_t n) {
      const Tensor x = arange(n).to(f32) * 0.01;
      const Tensor y = softmax(x * w, 0) * exp(-x) + cat({x.slice(0, 1), x.slice(0, 0, 1)});
      const Tensor loss = sum(y * y) / static_cast<double>(n);
      w.zero_grad();
      loss.backward();
      CHECK(w.grad().item() == w.grad().item());  // no NaN
      CHECK(loss.item() > 0);
    };
    for (const std::int64_t n : {2, 3, 5, 100}) step(n);
    const Work w300 = work([&] {
      for (std::int64_t n = 2; n < 302; ++n) step(n);
    });
    CHECK(w300.compiled == 0);
    CHECK(w300.plan_misses == 0);
    CHECK(w300.flushes >= 300);
  }
  use_evaluator("fuse");
}

namespace {

/// One of 2^14 programs of 14 operations each: another trace, and another kernel.
void run_program(const Tensor& x, int number) {
  Tensor y = x;
  for (int bit = 0; bit < 14; ++bit) y = number >> bit & 1 ? y + x : y * x;
  y.eval();
}

}  // namespace

// The null device compiles nothing, so that thousands of kernels cost little; its caches are those
// of any device. Whatever other tests left in them is older than what is run here.
TEST_CASE("the caches keep the last 1,024 plans and 8,192 kernels, and forget the oldest") {
  use_evaluator("fuse");
  const Tensor x = full({7}, 1.0, {.device = Device(DeviceType::kNull)});
  x.eval();
  const auto run = [&](int number) { return work([&] { run_program(x, number); }); };
  for (int i = 0; i < 1024; ++i) CHECK(run(i).plan_misses == 1);
  CHECK(run(0).plan_misses == 0);     // the oldest of 1,024 is still there, and now the newest
  CHECK(run(1024).plan_misses == 1);  // takes the place of number 1
  CHECK(run(0).plan_misses == 0);
  CHECK(run(2).plan_misses == 0);
  const Work again = run(1);
  CHECK(again.plan_misses == 1);
  CHECK(again.compiled == 0);  // the kernel cache is larger
  for (int i = 1025; i < 8192; ++i) run_program(x, i);
  CHECK(run(5).compiled == 0);  // planned again, its kernel is the oldest but some
  for (int i = 8192; i < 8192 + 5; ++i) CHECK(run(i).compiled == 1);
  CHECK(run(5).compiled == 0);
  const Work forgotten = run(3);
  CHECK(forgotten.plan_misses == 1);
  CHECK(forgotten.compiled == 1);
}

TEST_CASE("a trace is flushed before more than FLASH_PENDING_BYTES wait in it") {
  // On the null device: its memory is address space only.
  use_evaluator("fuse");
  const Device null(DeviceType::kNull);
  const Tensor x = full({16 << 20}, 1.0, {.device = null});  // 64 MiB
  x.eval();
  const auto record = [&](int n) {
    std::vector<Tensor> living;
    return work([&] {
      for (int i = 0; i < n; ++i) living.push_back(x + i);
    });
  };
  const Work few = record(15), many = record(160);
  CHECK(few.flushes <= 2);  // less than 1 GiB: the end's
  CHECK(many.flushes >= 160 / 16);
  CHECK(many.flushes <= 160 / 8 + 2);
}

TEST_CASE("an expression of tensors above FLASH_PENDING_BYTES is one kernel all the same") {
  use_evaluator("fuse");
  const Tensor x = full({3, 512 << 20}, 1.0, {.device = Device(DeviceType::kNull)});  // 6 GiB
  x.eval();
  const Work map = work([&] { (tanh(x * x + x) * 0.5).eval(); });
  CHECK(map.flushes == 1);
  CHECK(map.launches == 1);
  const Work reduction = work([&] { (x * 2.0).sum().eval(); });
  CHECK(reduction.flushes == 1);
  CHECK(reduction.launches == 1);
}
