// tests/gpu/fake_driver/model.cpp -- memory that only queues may touch, and queues that are late
#include "model.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>

namespace flash::test::fake {
namespace {

constexpr unsigned char kCanary = 0xc5;

struct Mapped {
  char* map = nullptr;
  std::size_t mapped = 0, bytes = 0;
};
struct Memory {
  std::mutex mutex;                // guards blocks
  std::map<char*, Mapped> blocks;  // by their address
  // Nobody but queues has its rights; -1 where the processor has none.
  const int key = pkey_alloc(0, PKEY_DISABLE_ACCESS);
};
Memory& memory() {
  static Memory& m = *new Memory;
  return m;
}

void let_touch(bool may) {
  if (memory().key >= 0) pkey_set(memory().key, may ? 0 : PKEY_DISABLE_ACCESS);
}

}  // namespace

void* allocate(std::size_t bytes) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::size_t room = (std::max<std::size_t>(bytes, 1) + page - 1) / page * page;
  Mapped m{nullptr, room + 2 * page, bytes};
  void* map =
      mmap(nullptr, m.mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (map == MAP_FAILED) return nullptr;
  m.map = static_cast<char*>(map);
  mprotect(m.map + page, room, PROT_READ | PROT_WRITE);
  // Ends as near to the forbidden page as its alignment lets it.
  char* const at = m.map + page + (room - bytes) / 64 * 64;
  std::memset(m.map + page, kCanary, static_cast<std::size_t>(at - (m.map + page)));
  // NaN, until somebody writes; more of a large block would only take time.
  std::memset(at, 0xff, std::min<std::size_t>(bytes, 1 << 20));
  std::memset(at + bytes, kCanary, static_cast<std::size_t>(m.map + page + room - (at + bytes)));
  if (memory().key >= 0) pkey_mprotect(m.map + page, room, PROT_READ | PROT_WRITE, memory().key);
  const std::lock_guard lock(memory().mutex);
  memory().blocks[at] = m;
  return at;
}

bool release(void* at, bool* spoiled, std::size_t* bytes) {
  Mapped m;
  {
    const std::lock_guard lock(memory().mutex);
    const auto it = memory().blocks.find(static_cast<char*>(at));
    if (it == memory().blocks.end()) return false;
    m = it->second;
    memory().blocks.erase(it);
  }
  *bytes = m.bytes;
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const auto differs = [](char c) { return static_cast<unsigned char>(c) != kCanary; };
  char* const begin = static_cast<char*>(at);
  let_touch(true);
  *spoiled = std::any_of(m.map + page, begin, differs) ||
             std::any_of(begin + m.bytes, m.map + m.mapped - page, differs);
  let_touch(false);
  munmap(m.map, m.mapped);
  return true;
}

bool is_device_memory(const void* at, std::size_t bytes) {
  const std::lock_guard lock(memory().mutex);
  auto* p = static_cast<char*>(const_cast<void*>(at));
  auto it = memory().blocks.upper_bound(p);
  if (it == memory().blocks.begin()) return false;
  --it;
  return p + bytes <= it->first + it->second.bytes;
}

Queue::Queue() : thread_([this] { run(); }) {}
Queue::~Queue() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

std::uint64_t Queue::submit(std::function<void()> work) {
  constexpr std::size_t kMuch = 256;
  const std::lock_guard lock(mutex_);
  work_.push_back(std::move(work));
  if (work_.size() > kMuch) {
    wanted_ = std::max(wanted_, submitted_ + 1);
    changed_.notify_all();
  }
  return ++submitted_;
}
std::uint64_t Queue::submitted() {
  const std::lock_guard lock(mutex_);
  return submitted_;
}
void Queue::wait(std::uint64_t number) {
  std::unique_lock lock(mutex_);
  wanted_ = std::max(wanted_, number);
  changed_.notify_all();
  changed_.wait(lock, [&] { return done_ >= number; });
}

void Queue::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return ends_ || (!work_.empty() && done_ < wanted_); });
    if (work_.empty() && ends_) return;
    if (work_.empty()) continue;
    const std::function<void()> work = std::move(work_.front());
    work_.pop_front();
    lock.unlock();
    let_touch(true);
    work();
    lock.lock();
    ++done_;
    changed_.notify_all();
  }
}

}  // namespace flash::test::fake
