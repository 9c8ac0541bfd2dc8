// core/pool.h -- thread-local free lists for the small objects that every operation makes
#pragma once

#include <cstddef>
#include <new>

#include "core/hot_tls.h"

namespace flash::detail {

/// operator new / delete of T through a list per thread: a few nanoseconds instead of malloc's
/// twenty. An object may be freed on another thread; it then joins that thread's list.
template <class T>
class Pool {
 public:
  static void* take(std::size_t size) {
    Link* l = list.head;
    if (!l) return ::operator new(size);
    list.head = l->next;
    ++list.room;
    return l;
  }
  static void give(void* p) {
    if (list.room == 0 && !open()) return ::operator delete(p);
    Link* l = static_cast<Link*>(p);
    l->next = list.head;
    list.head = l;
    --list.room;
  }

 private:
  struct Link {
    Link* next;
  };
  struct List {
    Link* head;
    int room;     ///< for how many more objects
    bool opened;  ///< once in a thread's life
  };
  struct AtThreadEnd {
    ~AtThreadEnd() {
      while (Link* l = list.head) {
        list.head = l->next;
        ::operator delete(l);
      }
      list.room = 0;  // what dies later (statics, other thread-locals) goes to the heap
    }
  };
  static bool open() {
    if (list.opened) return false;
    static thread_local AtThreadEnd at_thread_end;
    static_cast<void>(&at_thread_end);
    list.opened = true;
    list.room = 8192;
    return true;
  }
  static inline constinit thread_local List list FLASH_HOT_TLS = {};
};

}  // namespace flash::detail
