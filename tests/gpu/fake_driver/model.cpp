// tests/gpu/fake_driver/model.cpp -- memory that only queues may touch, and queues that are late
#include "model.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>

namespace flash::test::fake {
namespace {

constexpr unsigned char kCanary = 0xc5;

struct Mapped {
  char* map = nullptr;
  std::size_t mapped = 0, bytes = 0;
  int device = 0;
};
struct Memory {
  std::mutex mutex;                // guards blocks
  std::map<char*, Mapped> blocks;  // by their address
  // Nobody but a device's queues has its key's rights; -1 where the processor has none left.
  std::array<int, kDevices> keys;
  Memory() {
    for (int& key : keys) key = pkey_alloc(0, PKEY_DISABLE_ACCESS);
  }
};
Memory& memory() {
  static Memory& m = *new Memory;
  return m;
}

int key_of(int device) { return memory().keys[static_cast<std::size_t>(device)]; }

void let_touch(int device, bool may) {
  if (key_of(device) >= 0) pkey_set(key_of(device), may ? 0u : PKEY_DISABLE_ACCESS);
}

thread_local int here = -1;  // the device that this thread is a queue of

}  // namespace

void* allocate(std::size_t bytes, int device) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::size_t room = (std::max<std::size_t>(bytes, 1) + page - 1) / page * page;
  Mapped m{nullptr, room + 2 * page, bytes, device};
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
  if (const int key = key_of(device); key >= 0)
    pkey_mprotect(m.map + page, room, PROT_READ | PROT_WRITE, key);
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
  let_touch(m.device, true);
  *spoiled = std::any_of(m.map + page, begin, differs) ||
             std::any_of(begin + m.bytes, m.map + m.mapped - page, differs);
  let_touch(m.device, false);
  munmap(m.map, m.mapped);
  return true;
}

bool is_device_memory(const void* at, std::size_t bytes, int device) {
  const std::lock_guard lock(memory().mutex);
  auto* p = static_cast<char*>(const_cast<void*>(at));
  auto it = memory().blocks.upper_bound(p);
  if (it == memory().blocks.begin()) return false;
  --it;
  return p + bytes <= it->first + it->second.bytes && it->second.device == device;
}
bool is_memory_here(const void* at, std::size_t bytes) { return is_device_memory(at, bytes, here); }

void Progress::wait(std::uint64_t number) {
  std::unique_lock lock(mutex_);
  wanted_ = std::max(wanted_, number);
  changed_.notify_all();
  changed_.wait(lock, [&] { return done_ >= number; });
}

Queue::Queue(int device) : device_(device), thread_([this] { run(); }) {}
Queue::~Queue() {
  {
    const std::lock_guard lock(progress_->mutex_);
    ends_ = true;
  }
  progress_->changed_.notify_all();
  thread_.join();
}

std::uint64_t Queue::submit(std::function<void()> work, int peer) {
  constexpr std::size_t kMuch = 256;
  Progress& p = *progress_;
  const std::lock_guard lock(p.mutex_);
  work_.push_back({std::move(work), peer});
  if (work_.size() > kMuch) {
    p.wanted_ = std::max(p.wanted_, p.submitted_ + 1);
    p.changed_.notify_all();
  }
  return ++p.submitted_;
}
std::uint64_t Queue::submitted() {
  const std::lock_guard lock(progress_->mutex_);
  return progress_->submitted_;
}

void Queue::run() {
  here = device_;
  let_touch(device_, true);
  Progress& p = *progress_;
  std::unique_lock lock(p.mutex_);
  for (;;) {
    p.changed_.wait(lock, [&] { return ends_ || (!work_.empty() && p.done_ < p.wanted_); });
    if (work_.empty() && ends_) return;
    if (work_.empty()) continue;
    const Work work = std::move(work_.front());
    work_.pop_front();
    lock.unlock();
    if (work.peer >= 0) let_touch(work.peer, true);
    work.run();
    if (work.peer >= 0 && work.peer != device_) let_touch(work.peer, false);
    lock.lock();
    ++p.done_;
    p.changed_.notify_all();
  }
}

}  // namespace flash::test::fake
