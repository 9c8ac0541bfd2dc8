// core/fork.h -- locks that a fork must find free, so that the child can go on
//
// A child has one thread: the one that forked. A lock that another held at that moment would never
// be given back there. So every lock of the library that outlives a call is taken before a fork and
// given back after it, in the parent and in the child. (The thread pool starts anew in the child,
// the data loader as well.)
#pragma once

#include <cstdint>
#include <string>

namespace flash {

/// In this order, so that nobody waits for what the forking thread holds: who has one of these
/// locks may take those of later rows.
enum class ForkOrder : std::uint8_t {
  kGradients,  // of leaves: adding one records operations
  kTraces,     // all of them: evaluation happens under a trace's lock
  kReports,    // of what was planned: reading them asks for the names of scopes
  kLast        // short, and nothing else is taken under them
};

struct ForkLock {
  ForkOrder order;
  void* object;
  void (*lock)(void*);
  void (*unlock)(void*);
};
void add_fork_lock(const ForkLock& lock);

/// From now on takes `lock` before every fork and gives it back afterwards.
template <class Lock>
Lock& hold_at_fork(ForkOrder order, Lock& lock) {
  add_fork_lock({order, &lock, [](void* l) { static_cast<Lock*>(l)->lock(); },
                 [](void* l) { static_cast<Lock*>(l)->unlock(); }});
  return lock;
}
/// The same for the lock inside of an object, which is returned.
template <class Object, class Lock>
Object& hold_at_fork(ForkOrder order, Object& object, Lock Object::*lock) {
  hold_at_fork(order, object.*lock);
  return object;
}
/// The lock's end; not under one of these locks.
void forget_at_fork(void* lock);

/// The process that made it: where a driver of a GPU can be used, which survives no fork.
class ThisProcess {
 public:
  ThisProcess();
  bool here() const;  ///< false in children
  /// Throws DeviceError naming the device unless it is used where it was opened.
  void check(const std::string& device) const;

 private:
  const int forks_;
};

}  // namespace flash
