// core/thread_object.h -- what each thread has one of, for as long as anything computes on it
#pragma once

#include <pthread.h>

#include <optional>

namespace flash {

/// The calling thread's T, made at the first call and deleted at the thread's end. Objects of a
/// thread, and the main thread's static ones, may compute when they go after that: then there is
/// another one, which goes with the last of the thread, and with the main thread never.
template <class T>
T& thread_object() {
  static constinit thread_local T* object = nullptr;
  static constinit thread_local bool ended = false;
  struct End {
    ~End() { end(nullptr); }
    static void end(void*) {
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
    } else {
      static const std::optional<pthread_key_t> key = []() -> std::optional<pthread_key_t> {
        pthread_key_t made{};
        if (pthread_key_create(&made, End::end) != 0) return {};  // all are taken: it stays
        return made;
      }();
      if (key) pthread_setspecific(*key, object);  // its end comes after those of C++'s objects
    }
  }
  return *object;
}

}  // namespace flash
