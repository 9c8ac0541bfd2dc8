// core/fork.cpp -- the list of locks around a fork
#include "core/fork.h"

#include <pthread.h>

#include <algorithm>
#include <mutex>
#include <vector>

#include "core/error.h"

namespace flash {
namespace {

struct Entries {
  std::mutex forking;  // held around a fork, and while a lock is forgotten
  std::vector<ForkLock> held;
  std::mutex mutex;            // guards list; never held while another lock is waited for
  std::vector<ForkLock> list;  // in ForkOrder
};
Entries& entries();
int forks = 0;  // between the process that asked first and this one

void before() {
  Entries& e = entries();
  e.forking.lock();
  {
    std::lock_guard lock(e.mutex);
    e.held = e.list;
  }
  for (const ForkLock& l : e.held) l.lock(l.object);
  e.mutex.lock();  // for the child
}
void after() {
  Entries& e = entries();
  e.mutex.unlock();
  std::for_each(e.held.rbegin(), e.held.rend(), [](const ForkLock& l) { l.unlock(l.object); });
  e.forking.unlock();
}
void after_in_child() {
  ++forks;
  after();
}

Entries& entries() {
  static Entries& made = []() -> Entries& {
    pthread_atfork(before, after, after_in_child);
    return *new Entries;  // never destroyed: who forks last is not known
  }();
  return made;
}

}  // namespace

void add_fork_lock(const ForkLock& lock) {
  Entries& e = entries();
  std::lock_guard guard(e.mutex);
  const auto behind = [](ForkOrder a, const ForkLock& b) { return a < b.order; };
  e.list.insert(std::upper_bound(e.list.begin(), e.list.end(), lock.order, behind), lock);
}

ThisProcess::ThisProcess() : forks_((entries(), forks)) {}  // from here on they are counted
bool ThisProcess::here() const { return forks_ == forks; }
void ThisProcess::check(const std::string& device) const {
  if (!here()) [[unlikely]]
    throw DeviceError(device +
                      " was opened by the process that this one is a fork of, and drivers of GPUs "
                      "survive no fork. Fork before a GPU is named first, or start a program anew "
                      "(exec).");
}

void forget_at_fork(void* lock) {
  Entries& e = entries();
  std::lock_guard not_now(e.forking);
  std::lock_guard guard(e.mutex);
  std::erase_if(e.list, [&](const ForkLock& l) { return l.object == lock; });
}

}  // namespace flash
