// core/thread_object.h -- what each thread has one of, for as long as anything computes on it
#pragma once

namespace flash {

/// The calling thread's T, made at the first call and deleted at the thread's end. Static objects
/// may compute when they go, which the main thread's own do not live to see: from then on it has
/// another one, which stays.
template <class T>
T& thread_object() {
  static constinit thread_local T* object = nullptr;
  static constinit thread_local bool ended = false;
  struct End {
    ~End() {
      delete object;
      object = nullptr;
      ended = true;
    }
  };
  if (!object) [[unlikely]] {
    object = new T;
    if (!ended) {
      static thread_local End end;
      static_cast<void>(&end);
    }
  }
  return *object;
}

}  // namespace flash
