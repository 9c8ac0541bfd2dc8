// tests/core/allocator_test.cpp -- reuse, statistics, the cap, and running out of memory
#include "core/allocator.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/error.h"

using namespace flash;

namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

/// A device with `total` bytes that counts what it is asked for. Thread-safe, as it must be.
struct SmallMemory final : RawMemory {
  explicit SmallMemory(std::size_t total_bytes) : total(total_bytes) {}
  void* allocate(std::size_t bytes) override {
    std::lock_guard lock(mutex);
    if (bytes > total - used) return nullptr;
    used += bytes;
    ++allocations;
    return std::aligned_alloc(64, 64);  // no test below writes to it
  }
  void free(void* data, std::size_t bytes) override {
    std::lock_guard lock(mutex);
    used -= bytes;
    std::free(data);
  }
  std::size_t total, used = 0;
  int allocations = 0;
  std::mutex mutex;
};

struct Fixture {
  explicit Fixture(std::size_t total, std::size_t cap = std::size_t{1} << 40)
      : raw(new SmallMemory(total)),
        allocator(std::unique_ptr<RawMemory>(raw), std::make_unique<AllocationPolicy>(cap)) {}
  SmallMemory* raw;  // owned by the allocator
  Allocator allocator;
};

}  // namespace

TEST_CASE("size classes hold the request and waste at most an eighth, large ones less") {
  CHECK(size_class_bytes(0) == 64);
  CHECK(size_class_bytes(64) == 64);
  CHECK(size_class_bytes(65) == 128);
  CHECK(size_class_bytes(4096) == 4096);
  CHECK(size_class_bytes(4097) == 4608);
  CHECK(size_class_bytes(8192) == 8192);
  CHECK(size_class_bytes(8193) == 9216);
  std::size_t last = 0;
  for (std::size_t n = 1; n < 100 * kMiB; n += 1 + n / 50) {
    const std::size_t size = size_class_bytes(n);
    REQUIRE(size >= n);
    REQUIRE(size % 64 == 0);
    REQUIRE(size >= last);
    REQUIRE(size_class_bytes(size) == size);
    if (n > 4096) REQUIRE(size - n <= n / (n <= 16 * kMiB ? 8 : 32));
    last = size;
  }
}

TEST_CASE("a freed block serves the next request of its size class") {
  Fixture f(100 * kMiB);
  Block* a = f.allocator.allocate(1000);
  void* data = a->data;
  f.allocator.free(a);
  Block* b = f.allocator.allocate(970);  // both round to 1024
  CHECK(b->data == data);
  CHECK(b->bytes == 970);
  CHECK(b->capacity == 1024);
  Block* c = f.allocator.allocate(2000);
  CHECK(c->data != data);
  CHECK(f.raw->allocations == 2);
  f.allocator.free(b);
  f.allocator.free(c);
  f.allocator.free(nullptr);
}

TEST_CASE("statistics tell live, cached, peak, hits, and who holds what") {
  Fixture f(100 * kMiB);
  Block* a = f.allocator.allocate(kMiB, "weight");
  Block* b = f.allocator.allocate(2 * kMiB, "grad");
  Block* c = f.allocator.allocate(kMiB, "weight");
  Block* d = f.allocator.allocate(64);
  MemoryStats s = f.allocator.stats();
  CHECK(s.live == 4 * kMiB + 64);
  CHECK(s.cached == 0);
  CHECK(s.live_blocks == 4);
  REQUIRE(s.by_label.size() == 3);
  CHECK(s.by_label[0].bytes == 2 * kMiB);
  CHECK(s.by_label[2].label == "(unlabelled)");
  std::size_t weight = 0;
  for (const auto& l : s.by_label) {
    if (l.label == "weight") weight = l.blocks;
  }
  CHECK(weight == 2);
  f.allocator.free(b);
  f.allocator.set_label(c, "other");
  s = f.allocator.stats();
  CHECK(s.live == 2 * kMiB + 64);
  CHECK(s.cached == 2 * kMiB);
  CHECK(s.peak == 4 * kMiB + 64);
  f.allocator.reset_peak();
  CHECK(f.allocator.stats().peak == 2 * kMiB + 64);
  b = f.allocator.allocate(2 * kMiB);
  s = f.allocator.stats();
  CHECK(s.allocations == 5);
  CHECK(s.cache_hits == 1);
  CHECK(s.peak == 4 * kMiB + 64);
  CHECK(s.peak_reserved == 4 * kMiB + 64);
  for (Block* block : {a, b, c, d}) f.allocator.free(block);
  CHECK(f.allocator.trim() == 4 * kMiB + 64);
  CHECK(f.raw->used == 0);
}

TEST_CASE("beyond the cap the longest unused blocks go back") {
  Fixture f(100 * kMiB, 3 * kMiB);
  Block* a = f.allocator.allocate(2 * kMiB);
  Block* b = f.allocator.allocate(kMiB);
  Block* c = f.allocator.allocate(kMiB);
  Block* huge = f.allocator.allocate(4 * kMiB);
  f.allocator.free(a);
  f.allocator.free(b);
  CHECK(f.allocator.stats().cached == 3 * kMiB);
  f.allocator.free(c);  // `a` was freed first
  CHECK(f.allocator.stats().cached == 2 * kMiB);
  f.allocator.free(huge);  // larger than the cap: never kept
  CHECK(f.allocator.stats().cached == 2 * kMiB);
  CHECK(f.raw->used == 2 * kMiB);
}

TEST_CASE("without memory the cache is trimmed and the request tried again") {
  Fixture f(10 * kMiB);
  f.allocator.free(f.allocator.allocate(6 * kMiB));
  Block* b = f.allocator.allocate(8 * kMiB);
  CHECK(f.allocator.stats().cached == 0);
  f.allocator.free(b);
}

TEST_CASE("the error of a full device lists the largest live blocks") {
  Fixture f(10 * kMiB);
  Block* a = f.allocator.allocate(5 * kMiB, "embedding.weight");
  Block* b = f.allocator.allocate(2 * kMiB);
  CHECK_THROWS_WITH_AS(
      f.allocator.allocate(4 * kMiB, "matmul"),
      "out of memory on cpu: 4 MiB for matmul could not be had, with the cache trimmed; 7 MiB are "
      "live in 2 blocks, the largest: 5 MiB embedding.weight, 2 MiB (unlabelled). Use a smaller "
      "batch, or free tensors that are no longer needed.",
      OutOfMemory);
  CHECK_THROWS_AS(f.allocator.allocate(SIZE_MAX), OutOfMemory);
  CHECK_THROWS_AS(f.allocator.allocate(SIZE_MAX / 4), OutOfMemory);
  f.allocator.free(a);
  f.allocator.free(b);
  f.allocator.free(f.allocator.allocate(4 * kMiB));  // it goes on working
}

TEST_CASE("a limit counts the cache, which makes room first") {
  auto* raw = new SmallMemory(100 * kMiB);
  Allocator allocator(std::unique_ptr<RawMemory>(raw),
                      std::make_unique<AllocationPolicy>(SIZE_MAX, 10 * kMiB));
  Block* a = allocator.allocate(4 * kMiB, "weights");
  allocator.free(allocator.allocate(5 * kMiB));
  allocator.free(allocator.allocate(kMiB));
  CHECK(raw->used == 10 * kMiB);
  Block* b = allocator.allocate(3 * kMiB);  // 2 MiB too many: the oldest of the cache goes
  CHECK(raw->used == 8 * kMiB);
  CHECK_THROWS_WITH_AS(
      allocator.allocate(4 * kMiB, "matmul"),
      "out of memory on cpu: 4 MiB for matmul could not be had, the limit is 10 MiB; 7 MiB are "
      "live in 2 blocks, the largest: 4 MiB weights, 3 MiB (unlabelled). Use a smaller batch, or "
      "free tensors that are no longer needed.",
      OutOfMemory);
  CHECK_THROWS_AS(allocator.allocate(SIZE_MAX), OutOfMemory);
  allocator.free(b);
  allocator.free(allocator.allocate(6 * kMiB));
  CHECK(raw->used <= 10 * kMiB);
  // Another policy, while blocks live.
  const auto former = allocator.set_policy(std::make_unique<AllocationPolicy>(0, 4 * kMiB));
  CHECK(former->limit() == 10 * kMiB);
  CHECK(raw->used == 4 * kMiB);
  CHECK_THROWS_AS(allocator.allocate(1), OutOfMemory);
  allocator.free(a);
  CHECK(raw->used == 0);
  allocator.free(allocator.allocate(4 * kMiB));
}

TEST_CASE("threads that ask at once stay in the limit together") {
  struct Slow final : RawMemory {  // memory that is long on its way
    void* allocate(std::size_t) override {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      return std::aligned_alloc(64, 64);
    }
    void free(void* data, std::size_t) override { std::free(data); }
  };
  Allocator allocator(std::make_unique<Slow>(),
                      std::make_unique<AllocationPolicy>(SIZE_MAX, 10 * kMiB));
  std::vector<Block*> blocks(8, nullptr);
  std::vector<std::thread> threads;
  for (Block*& b : blocks)
    threads.emplace_back([&] {
      try {
        b = allocator.allocate(4 * kMiB);
      } catch (const OutOfMemory&) {
      }
    });
  for (std::thread& t : threads) t.join();
  CHECK(allocator.stats().live_blocks == 2);
  CHECK(allocator.stats().peak_reserved <= 10 * kMiB);
  for (Block* b : blocks) allocator.free(b);
  allocator.free(allocator.allocate(10 * kMiB));  // nothing stays promised
}

TEST_CASE("a policy of one's own decides rounding and keeping") {
  struct Exact final : AllocationPolicy {
    Exact() : AllocationPolicy(kMiB) {}
    std::size_t round(std::size_t bytes) const override { return bytes ? bytes : 1; }
    bool keep(std::size_t bytes) const override { return bytes >= 100; }
  };
  auto* raw = new SmallMemory(kMiB);
  Allocator allocator(std::unique_ptr<RawMemory>(raw), std::make_unique<Exact>());
  allocator.free(allocator.allocate(99));
  CHECK(raw->used == 0);
  Block* a = allocator.allocate(5000);
  CHECK(a->capacity == 5000);
  void* data = a->data;
  allocator.free(a);
  Block* larger = allocator.allocate(5001);  // the same class, but it does not fit
  CHECK(larger->capacity == 5001);
  Block* smaller = allocator.allocate(4999);
  CHECK(smaller->data == data);
  allocator.free(larger);
  allocator.free(smaller);
}

TEST_CASE("threads may share an allocator") {
  Fixture f(100 * kMiB);
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&f, t] {
      std::vector<Block*> mine;
      for (unsigned i = 0; i < 2000; ++i) {
        mine.push_back(f.allocator.allocate((i * 37 + t * 11) % 3000, "thread"));
        if (mine.size() > 20) {
          f.allocator.free(mine[i % 20]);
          mine[i % 20] = mine.back();
          mine.pop_back();
        }
      }
      for (Block* b : mine) f.allocator.free(b);
    });
  }
  for (auto& t : threads) t.join();
  const MemoryStats s = f.allocator.stats();
  CHECK(s.live == 0);
  CHECK(s.live_blocks == 0);
  CHECK(s.allocations == 8000);
  CHECK(s.by_label.empty());
}

TEST_CASE("byte counts read well") {
  CHECK(format_bytes(0) == "0 B");
  CHECK(format_bytes(1023) == "1023 B");
  CHECK(format_bytes(1536) == "1.5 KiB");
  CHECK(format_bytes(64 * kMiB) == "64 MiB");
  CHECK(format_bytes(1024 * kMiB) == "1 GiB");
}
