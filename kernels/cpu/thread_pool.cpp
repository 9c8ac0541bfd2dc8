// kernels/cpu/thread_pool.cpp -- workers that join the open job, and spin a little before they
// sleep
//
// One job at a time. The caller opens a gate; a worker that is awake enters through it, takes
// ranges until none is left and goes out; the caller works too, then shuts the gate and waits until
// the gate is empty. A worker that comes too late finds it shut: nobody ever waits for a sleeper.
#include "kernels/cpu/thread_pool.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "core/env.h"
#include "core/error.h"
#include "core/fp_environment.h"
#include "core/log.h"

namespace flash::cpu {
namespace {

using Body = FunctionRef<void(std::int64_t, std::int64_t)>;

constexpr auto kSpin = std::chrono::microseconds(20);
constexpr int kMaxThreads = 1024;

// The gate: bit 0 open, bits 1 … 12 workers inside, above them the number of the job. The number
// keeps a worker from entering the same job twice; it may wrap, since entering is never a duty.
constexpr std::uint32_t kOpen = 1, kOne = 2, kJob = 1u << 13;
constexpr std::uint32_t inside(std::uint32_t gate) { return gate & (kJob - kOne); }
constexpr std::uint32_t job_of(std::uint32_t gate) { return gate / kJob; }

thread_local bool t_in_parallel = false;

void relax() {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Spins until `done()` or about `limit` has passed; returns done().
template <class Done>
bool spin_until(Done done, std::chrono::nanoseconds limit) {
  const auto start = std::chrono::steady_clock::now();
  for (;;) {
    for (int i = 0; i < 16; ++i) {
      if (done()) return true;
      relax();
    }
    if (std::chrono::steady_clock::now() - start > limit) return done();
  }
}

int default_threads() {
  if (env::is_set(Env::kNumThreads)) return static_cast<int>(env::get_int(Env::kNumThreads));
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    return std::clamp(CPU_COUNT(&set), 1, kMaxThreads);
  }
#endif
  return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, kMaxThreads);
}

class Pool {
 public:
  explicit Pool(int threads) : threads_(threads) {}

  int threads() const { return threads_.load(std::memory_order_relaxed); }
  void resize(int threads);

  /// False when another thread is using the pool; then nothing was done.
  bool try_run(std::int64_t n, std::int64_t grain, Body body);

 private:
  struct Job {
    const Body* body = nullptr;
    std::int64_t n = 0, grain = 1;
  };

  void start_workers();
  void stop_workers();
  void work();
  void take_ranges();
  void wake(std::int64_t wanted);

  std::mutex dispatch_mutex_;  // held by the thread whose job runs, and by resize()
  std::atomic<int> threads_;
  int started_ = 0;  // workers; guarded by dispatch_mutex_
  Job job_;          // written while the gate is shut and empty, read inside it

  alignas(64) std::atomic<std::uint32_t> gate_{0};
  alignas(64) std::atomic<std::int64_t> next_{0};
  alignas(64) std::atomic<std::uint32_t> wake_{0};
  std::atomic<int> sleepers_{0};
  std::atomic<int> alive_{0};
  std::atomic<bool> stop_{false};

  std::mutex error_mutex_;  // guards the two below
  std::exception_ptr error_;
  std::int64_t error_begin_ = 0;
};

void Pool::start_workers() {
  const int wanted = threads() - 1;
  while (started_ < wanted) {
    try {
      alive_.fetch_add(1);
      // Detached: they sleep when the process exits, and stop_workers() counts them instead.
      std::thread([this] { work(); }).detach();
      ++started_;
    } catch (const std::system_error& e) {
      alive_.fetch_sub(1);
      threads_.store(started_ + 1, std::memory_order_relaxed);
      logging::warn("thread pool: the system gives only " + std::to_string(started_ + 1) + " of " +
                    std::to_string(wanted + 1) + " threads (" + e.what() + ")");
    }
  }
}

void Pool::stop_workers() {
  stop_.store(true);
  wake_.fetch_add(1);
  wake_.notify_all();
  for (int left = alive_.load(); left != 0; left = alive_.load()) alive_.wait(left);
  stop_.store(false);
  started_ = 0;
}

void Pool::resize(int threads) {
  std::lock_guard lock(dispatch_mutex_);
  if (threads - 1 < started_) stop_workers();
  threads_.store(threads, std::memory_order_relaxed);
}

void Pool::work() {
  std::fesetenv(FE_DFL_ENV);  // a new thread inherits its creator's
  t_in_parallel = true;
  std::uint32_t last_job = ~0u;
  for (;;) {
    auto called = [&] {
      const std::uint32_t gate = gate_.load(std::memory_order_relaxed);
      return ((gate & kOpen) && job_of(gate) != last_job) || stop_.load(std::memory_order_relaxed);
    };
    if (!spin_until(called, kSpin)) {
      // Either this thread sees the job that was opened meanwhile, or the caller sees a sleeper
      // and changes wake_: the order of all four accesses is sequentially consistent.
      const std::uint32_t before = wake_.load();
      sleepers_.fetch_add(1);
      const std::uint32_t gate = gate_.load();
      const bool news = ((gate & kOpen) && job_of(gate) != last_job) || stop_.load();
      if (!news) wake_.wait(before);
      sleepers_.fetch_sub(1);
    }
    if (stop_.load()) break;
    std::uint32_t gate = gate_.load(std::memory_order_relaxed);
    while ((gate & kOpen) && job_of(gate) != last_job) {
      if (!gate_.compare_exchange_weak(gate, gate + kOne, std::memory_order_acquire,
                                       std::memory_order_relaxed)) {
        continue;
      }
      last_job = job_of(gate);
      take_ranges();
      gate_.fetch_sub(kOne, std::memory_order_release);
      break;
    }
  }
  if (alive_.fetch_sub(1) == 1) alive_.notify_all();
}

void Pool::take_ranges() {
  const Job job = job_;
  for (;;) {
    const std::int64_t begin = next_.fetch_add(job.grain, std::memory_order_relaxed);
    if (begin >= job.n) return;
    try {
      (*job.body)(begin, std::min(begin + job.grain, job.n));
    } catch (...) {
      // Ranges start in ascending order and those that started finish, so the lowest range that
      // throws always gets here: the error that is reported does not depend on timing.
      next_.store(job.n, std::memory_order_relaxed);
      std::lock_guard lock(error_mutex_);
      if (!error_ || begin < error_begin_) {
        error_ = std::current_exception();
        error_begin_ = begin;
      }
    }
  }
}

void Pool::wake(std::int64_t wanted) {
  const int asleep = sleepers_.load();
  if (asleep == 0) return;
  wake_.fetch_add(1);
  if (wanted >= asleep) {
    wake_.notify_all();
  } else {
    for (std::int64_t i = 0; i < wanted; ++i) wake_.notify_one();
  }
}

bool Pool::try_run(std::int64_t n, std::int64_t grain, Body body) {
  std::unique_lock lock(dispatch_mutex_, std::try_to_lock);
  if (!lock) return false;
  if (started_ < threads() - 1) [[unlikely]]
    start_workers();
  job_ = {&body, n, grain};
  next_.store(0, std::memory_order_relaxed);
  const std::uint32_t job = job_of(gate_.load(std::memory_order_relaxed)) + 1;
  gate_.store(job * kJob | kOpen);
  wake((n - 1) / grain);

  t_in_parallel = true;
  take_ranges();
  t_in_parallel = false;

  gate_.fetch_and(~kOpen, std::memory_order_relaxed);
  auto empty = [this] { return inside(gate_.load(std::memory_order_acquire)) == 0; };
  while (!spin_until(empty, 10 * kSpin)) std::this_thread::yield();
  if (error_) [[unlikely]]
    std::rethrow_exception(std::exchange(error_, nullptr));
  return true;
}

// Never destroyed: threads may use it until the process ends. After a fork the child has none of
// the workers, and a lock may be held by a thread that is gone: the child starts with a new pool.
std::atomic<Pool*> g_pool{nullptr};

void forget_pool() {
  if (Pool* old = g_pool.load()) g_pool.store(new Pool(old->threads()));
}

Pool& pool() {
  if (Pool* existing = g_pool.load(std::memory_order_acquire)) [[likely]]
    return *existing;
  auto made = std::make_unique<Pool>(default_threads());
  Pool* expected = nullptr;
  if (!g_pool.compare_exchange_strong(expected, made.get())) return *expected;
  pthread_atfork(nullptr, nullptr, forget_pool);
  return *made.release();
}

}  // namespace

void parallel_for(std::int64_t n, std::int64_t grain, Body f) {
  if (n <= 0) return;
  grain = std::max<std::int64_t>(grain, 1);
  if (n > grain && !t_in_parallel) {
    Pool& p = pool();
    if (p.threads() > 1 && p.try_run(n, grain, f)) return;
  }
  f(0, n);
}

int num_threads() { return pool().threads(); }

void set_num_threads(int n) {
  if (n < 1 || n > kMaxThreads) {
    throw ValueError("set_num_threads: " + std::to_string(n) + " threads asked for (want 1 to " +
                     std::to_string(kMaxThreads) + ")");
  }
  if (t_in_parallel) {
    throw ValueError("set_num_threads: called from inside parallel work; call it before");
  }
  pool().resize(n);
}

bool in_parallel() { return t_in_parallel; }

}  // namespace flash::cpu
