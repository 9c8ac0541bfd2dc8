// core/pool.h -- thread-local free lists for the small objects that every operation makes
#pragma once

#include <cstddef>
#include <new>

namespace flash::detail {

/// operator new / delete of T through a list per thread: a few nanoseconds instead of malloc's
/// twenty. An object may be freed on another thread; it then joins that thread's list.
template <class T>
class Pool {
 public:
  static void* take(std::size_t size) {
    if (List* list = local(); list && list->head) {
      Link* l = list->head;
      list->head = l->next;
      --list->count;
      return l;
    }
    return ::operator new(size);
  }
  static void give(void* p) {
    List* list = local();
    if (!list || list->count >= kMost) return ::operator delete(p);
    Link* l = static_cast<Link*>(p);
    l->next = list->head;
    list->head = l;
    ++list->count;
  }

 private:
  struct Link {
    Link* next;
  };
  static constexpr int kMost = 8192;
  struct List {
    Link* head = nullptr;
    int count = 0;
    ~List() {
      while (head) {
        Link* next = head->next;
        ::operator delete(head);
        head = next;
      }
      *gone() = true;
    }
  };
  // Objects that die after this thread's list (statics, other thread-locals) go to the heap.
  static bool* gone() {
    static thread_local bool value = false;
    return &value;
  }
  static List* local() {
    if (*gone()) return nullptr;
    static thread_local List list;
    return &list;
  }
};

}  // namespace flash::detail
