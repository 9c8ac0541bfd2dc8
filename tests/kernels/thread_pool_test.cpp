// tests/kernels/thread_pool_test.cpp -- every item once, errors carried over, threads change
// nothing
#include "kernels/cpu/thread_pool.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cfenv>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/fp_environment.h"
#include "core/sanitizers.h"

using namespace flash;
using cpu::parallel_for;

namespace {
/// Runs a test with a number of threads, then goes back to what was.
struct Threads {
  explicit Threads(int n) : before(cpu::num_threads()) { cpu::set_num_threads(n); }
  ~Threads() { cpu::set_num_threads(before); }
  int before;
};

/// Whether additions round to nearest and subnormals are kept, by doing it.
bool ieee_defaults() {
  volatile float one = 1.0f, small = 1e-9f, subnormal = 1e-39f;
  return one + small == 1.0f && subnormal * one != 0.0f;
}
}  // namespace

TEST_CASE("every item runs exactly once, whatever the grain and the threads") {
  for (const int threads : {1, 2, 3, 8}) {
    Threads scope(threads);
    CHECK(cpu::num_threads() == threads);
    for (const std::int64_t n : {0, 1, 2, 63, 64, 65, 1000}) {
      for (const std::int64_t grain : {1, 3, 64, 5000}) {
        std::vector<std::atomic<int>> count(static_cast<std::size_t>(n));
        parallel_for(n, grain, [&](std::int64_t begin, std::int64_t end) {
          for (; begin < end; ++begin) count[static_cast<std::size_t>(begin)].fetch_add(1);
        });
        int wrong = 0;
        for (const auto& c : count) wrong += c != 1;
        CHECK(wrong == 0);
      }
    }
  }
}

TEST_CASE("plain writes of the workers are seen by the caller, job after job") {
  Threads scope(4);
  std::vector<std::int64_t> out(257);
  std::int64_t wrong = 0;
  for (std::int64_t job = 0; job < 3000; ++job) {
    parallel_for(257, 16, [&](std::int64_t begin, std::int64_t end) {
      for (; begin < end; ++begin) out[static_cast<std::size_t>(begin)] = begin * job;
    });
    for (std::int64_t i = 0; i < 257; ++i) wrong += out[static_cast<std::size_t>(i)] != i * job;
    if (job % 1000 == 999) std::this_thread::sleep_for(std::chrono::milliseconds(1));  // they sleep
  }
  CHECK(wrong == 0);
}

TEST_CASE("more than one thread really works") {
  Threads scope(2);
  // Two ranges that wait for each other end only if two threads run them.
  std::atomic<int> arrived{0};
  std::set<std::thread::id> ids;
  std::mutex mutex;
  parallel_for(2, 1, [&](std::int64_t, std::int64_t) {
    arrived.fetch_add(1);
    const auto start = std::chrono::steady_clock::now();
    while (arrived.load() < 2 &&
           std::chrono::steady_clock::now() - start < std::chrono::seconds(20)) {
      std::this_thread::yield();
    }
    std::lock_guard lock(mutex);
    ids.insert(std::this_thread::get_id());
  });
  CHECK(ids.size() == 2);
}

TEST_CASE("small and nested work runs inline, in one piece") {
  Threads scope(4);
  std::vector<std::pair<std::int64_t, std::int64_t>> calls;
  const auto me = std::this_thread::get_id();
  parallel_for(10, 10, [&](std::int64_t begin, std::int64_t end) {
    CHECK(std::this_thread::get_id() == me);
    calls.push_back({begin, end});
  });
  CHECK(calls == std::vector<std::pair<std::int64_t, std::int64_t>>{{0, 10}});
  std::atomic<int> inner_calls{0}, wrong{0};
  parallel_for(8, 1, [&](std::int64_t, std::int64_t) {
    wrong += !cpu::in_parallel();
    const auto outer = std::this_thread::get_id();
    parallel_for(100, 1, [&](std::int64_t begin, std::int64_t end) {
      wrong += std::this_thread::get_id() != outer || begin != 0 || end != 100;
      ++inner_calls;
    });
  });
  CHECK(inner_calls == 8);
  CHECK(wrong == 0);
  CHECK_FALSE(cpu::in_parallel());
}

TEST_CASE("the exception of the lowest range that threw reaches the caller, and the pool goes on") {
  for (const int threads : {1, 4}) {
    Threads scope(threads);
    for (int round = 0; round < 200; ++round) {
      std::string what;
      try {
        parallel_for(100, 1, [&](std::int64_t begin, std::int64_t end) {
          for (; begin < end; ++begin) {
            if (begin % 10 == 7) throw std::runtime_error("item " + std::to_string(begin));
          }
        });
      } catch (const std::runtime_error& e) {
        what = e.what();
      }
      REQUIRE(what == "item 7");
    }
    std::atomic<std::int64_t> sum{0};
    parallel_for(100, 1, [&](std::int64_t b, std::int64_t e) {
      for (; b < e; ++b) sum += b;
    });
    CHECK(sum == 4950);
  }
}

TEST_CASE("several user threads may call at once") {
  Threads scope(3);
  std::vector<std::thread> users;
  std::atomic<std::int64_t> total{0};
  for (int u = 0; u < 4; ++u) {
    users.emplace_back([&] {
      for (int job = 0; job < 300; ++job) {
        parallel_for(50, 4, [&](std::int64_t b, std::int64_t e) { total += e - b; });
      }
    });
  }
  for (int i = 0; i < 20; ++i) cpu::set_num_threads(2 + i % 3);  // also while they run
  for (auto& u : users) u.join();
  CHECK(total == 4 * 300 * 50);
}

TEST_CASE("workers round to nearest and keep subnormals, whatever their creator did") {
  cpu::set_num_threads(1);
  std::fesetround(FE_UPWARD);
  Threads scope(3);
  std::atomic<int> wrong{0}, arrived{0};
  const auto me = std::this_thread::get_id();
  parallel_for(3, 1, [&](std::int64_t, std::int64_t) {
    arrived.fetch_add(1);
    const auto start = std::chrono::steady_clock::now();
    while (arrived < 3 && std::chrono::steady_clock::now() - start < std::chrono::seconds(20)) {
      std::this_thread::yield();
    }
    if (std::this_thread::get_id() == me) return;
    wrong += !ieee_defaults();
  });
  {
    ScopedFpEnvironment ieee;
    CHECK(ieee_defaults());
  }
  CHECK_FALSE(ieee_defaults());
  std::fesetround(FE_TONEAREST);
  CHECK(arrived == 3);
  CHECK(wrong == 0);
}

#if !FLASH_THREAD_SANITIZER  // that runtime refuses threads after a fork
TEST_CASE("a forked child has a pool of its own") {
  Threads scope(3);
  parallel_for(10, 1, [](std::int64_t, std::int64_t) {});
  const pid_t child = fork();
  if (child == 0) {
    std::atomic<int> sum{0};
    parallel_for(1000, 1, [&](std::int64_t b, std::int64_t e) { sum += static_cast<int>(e - b); });
    _exit(sum == 1000 && cpu::num_threads() == 3 ? 0 : 1);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}
#endif

TEST_CASE("impossible numbers of threads are refused") {
  CHECK_THROWS_WITH_AS(cpu::set_num_threads(0),
                       "set_num_threads: 0 threads asked for (want 1 to 1024)", ValueError);
  CHECK_THROWS_AS(cpu::set_num_threads(1025), ValueError);
  Threads scope(2);
  CHECK_THROWS_AS(parallel_for(4, 1, [](std::int64_t, std::int64_t) { cpu::set_num_threads(3); }),
                  ValueError);
}
