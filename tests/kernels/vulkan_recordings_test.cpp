// tests/kernels/vulkan_recordings_test.cpp -- recorded commands in flight: their words, their end,
// and what a driver does that refuses to record
#include <doctest/doctest.h>

#include <memory>
#include <vector>

#include "core/log.h"
#include "in_child.h"
#include "kernels/vulkan/instance.h"
#include "kernels/vulkan/recordings.h"
#include "vulkan_here.h"

using namespace flash;
using namespace flash::test;

namespace {

constexpr std::int64_t kN = 1000;
constexpr std::size_t kOwnBuffer = std::size_t{65} << 20;  // bytes that share a buffer with nothing

// Word 0: the first of ARG(2) numbers; each becomes itself times 3 plus word 1.
constexpr const char* kSource = R"source(
KERNEL(step) {
  const i64 i = i64(BLOCK_X) * SIZE_X + THREAD_X;
  if (i >= ARG(2)) return;
  const u64 at = u64(ARG(0) + i * 8);
  store_i64(at, load_i64(at) * i64(3) + ARG(1));
}
)source";

/// A device of its own, with one kernel that does not commute: a run out of order, or with
/// another's words, would be seen.
class Bench {
 public:
  static constexpr int kSteps = 5;  // of a run

  Bench()
      : gpu_(std::make_shared<vulkan::Gpu>(*vulkan::instance(), vulkan::candidates().at(0), 0)),
        engine_(std::make_shared<vulkan::Engine>(gpu_)),
        memory_(engine_->take_memory()),
        program_(std::make_unique<vulkan::Program>(gpu_, kSource, "step")),
        recordings_(std::make_unique<vulkan::Recordings>(engine_)) {
    data_ = memory_->allocate(kN * 8);
    copy_ = memory_->allocate(kOwnBuffer);
    args_ = memory_->allocate(1 << 12);
    const std::vector<std::int64_t> zeros(kN);
    engine_->from_host(data_, zeros.data(), kN * 8, {});
  }

  /// One run of steps, a copy among them; not waited for. True if it was replayed.
  bool run(std::int64_t scalar) {
    std::vector<vulkan::Command> commands;
    std::vector<std::int64_t> words;
    for (int i = 0; i < kSteps; ++i) {
      vulkan::Command c{.program = program_.get(), .x = 64, .blocks = (kN + 63) / 64, .tiles = kN};
      c.args = words.size() * 8;
      commands.push_back(c);
      words.insert(words.end(), {reinterpret_cast<std::intptr_t>(data_), scalar + i, kN});
      const auto wraps = static_cast<std::uint64_t>(want_) * 3;  // as the kernel's integers do
      want_ = static_cast<std::int64_t>(wraps + static_cast<std::uint64_t>(scalar + i));
    }
    commands.push_back(
        {.to = engine_->place_of(copy_), .from = engine_->place_of(data_), .bytes = kN * 8});
    return recordings_->run({commands, words, args_}, {});
  }
  void check() {
    std::vector<std::int64_t> got(kN);
    engine_->to_host(got.data(), copy_, kN * 8, {});  // throws what the validation layer says
    CHECK((got == std::vector<std::int64_t>(kN, want_)));
  }

  void drop_recordings() { recordings_.reset(); }
  void new_recordings() { recordings_ = std::make_unique<vulkan::Recordings>(engine_); }
  void drop_engine() {
    engine_->drain();
    memory_.reset();
    program_.reset();
    engine_.reset();
  }
  /// The copy goes to another buffer, which has the handle of the former where the driver likes to.
  void move_copy() {
    memory_->free(copy_, kOwnBuffer);
    copy_ = memory_->allocate(kOwnBuffer);
  }
  /// The driver's functions, to be broken.
  vulkan::Api& api() { return const_cast<vulkan::Api&>(gpu_->vk()); }
  vulkan::Engine& engine() { return *engine_; }

 private:
  std::shared_ptr<vulkan::Gpu> gpu_;
  std::shared_ptr<vulkan::Engine> engine_;
  std::unique_ptr<RawMemory> memory_;
  std::unique_ptr<vulkan::Program> program_;
  std::unique_ptr<vulkan::Recordings> recordings_;
  void *data_ = nullptr, *copy_ = nullptr, *args_ = nullptr;
  std::int64_t want_ = 0;
};

PFN_vkAllocateCommandBuffers the_drivers = nullptr;
int asked = 0;
VKAPI_ATTR VkResult VKAPI_CALL refuse(VkDevice, const VkCommandBufferAllocateInfo*,
                                      VkCommandBuffer*) {
  ++asked;
  return VK_ERROR_OUT_OF_DEVICE_MEMORY;
}

}  // namespace

TEST_CASE("replayed runs in flight each have their own words") {
  if (vulkan_here() == nullptr) return;
  Bench bench;
  CHECK_FALSE(bench.run(1));
  for (int i = 0; i < 200; ++i) CHECK(bench.run(i * i % 7));
  bench.check();
}

TEST_CASE("recordings may be dropped while the device runs them") {
  if (vulkan_here() == nullptr) return;
  Bench bench;
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 4; ++i) CHECK(bench.run(i) == (i > 0));
    bench.drop_recordings();
    bench.new_recordings();
  }
  bench.check();
}

TEST_CASE("recordings may outlive the runtime") {
  if (vulkan_here() == nullptr) return;
  Bench bench;
  for (int i = 0; i < 4; ++i) bench.run(i);
  bench.check();
  bench.drop_engine();
  bench.drop_recordings();
}

TEST_CASE("what was recorded of a copy is of no use when its memory went and came back") {
  if (vulkan_here() == nullptr) return;
  Bench bench;
  for (int i = 0; i < 3; ++i) bench.run(i);
  bench.move_copy();
  CHECK_FALSE(bench.run(1));
  CHECK(bench.run(2));
  bench.check();
}

TEST_CASE("what was retired on several streams is kept until the last of them has run it") {
  if (vulkan_here() == nullptr) return;
  Bench bench;
  const std::int64_t nothing = 0;
  bench.engine().bind_args({&nothing, 1}, Stream{1});
  for (int i = 0; i < 4; ++i) bench.run(i);
  bench.drop_recordings();
  bench.engine().synchronize(Stream{1});
  bench.check();
  bench.new_recordings();
  for (int i = 0; i < 4; ++i) bench.run(i);
  bench.check();
}

TEST_CASE("where a driver refuses to record, runs are launched one by one") {
  if (vulkan_here() == nullptr) return;
  Bench bench;
  bench.run(0);
  the_drivers = bench.api().AllocateCommandBuffers;
  bench.api().AllocateCommandBuffers = refuse;
  asked = 0;
  const logging::Level before = logging::level();
  logging::set_level(logging::Level::kOff);
  for (int i = 0; i < 4; ++i) CHECK_FALSE(bench.run(i));
  logging::set_level(before);
  CHECK(asked == 1);
  bench.check();
  bench.api().AllocateCommandBuffers = the_drivers;
  bench.new_recordings();
  for (int i = 0; i < 3; ++i) CHECK(bench.run(i) == (i > 0));
  bench.check();
}

TEST_CASE("a child of fork() drops recordings without a word") {
  if (vulkan_here() == nullptr) return;
#if FLASH_THREAD_SANITIZER
  MESSAGE("skipped: the thread sanitizer does not follow threads through a fork");
#else
  Bench bench;
  for (int i = 0; i < 4; ++i) bench.run(i);
  CHECK(in_child([&] {
          bench.drop_recordings();
          return 0;
        }) == 0);
  bench.run(5);
  bench.check();
#endif
}
