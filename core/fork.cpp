// core/fork.cpp -- the list of locks around a fork
#include "core/fork.h"

#include <pthread.h>

#include <algorithm>
#include <mutex>
#include <vector>

namespace flash {
namespace {

struct Entries {
  std::mutex mutex;
  std::vector<ForkLock> list;  // in ForkOrder
};
Entries& entries();

void before() {
  entries().mutex.lock();
  for (const ForkLock& l : entries().list) l.lock(l.object);
}
void after() {
  auto& list = entries().list;
  std::for_each(list.rbegin(), list.rend(), [](const ForkLock& l) { l.unlock(l.object); });
  entries().mutex.unlock();
}

Entries& entries() {
  static Entries& made = []() -> Entries& {
    pthread_atfork(before, after, after);
    return *new Entries;  // never destroyed: who forks last is not known
  }();
  return made;
}

}  // namespace

void add_fork_lock(const ForkLock& lock) {
  auto& [mutex, list] = entries();
  std::lock_guard guard(mutex);
  const auto behind = [](ForkOrder a, const ForkLock& b) { return a < b.order; };
  list.insert(std::upper_bound(list.begin(), list.end(), lock.order, behind), lock);
}

void forget_at_fork(void* lock) {
  auto& [mutex, list] = entries();
  std::lock_guard guard(mutex);
  std::erase_if(list, [&](const ForkLock& l) { return l.object == lock; });
}

}  // namespace flash
