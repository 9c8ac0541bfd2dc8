// core/ref.h -- counted references to objects that threads share
#pragma once

#include <atomic>
#include <utility>

namespace flash {

/// The count inside such an object: it begins at one, its maker's.
class RefCount {
 public:
  int get() const { return n_.load(std::memory_order_acquire); }
  void retain() { n_.fetch_add(1, std::memory_order_relaxed); }
  /// True for the last one. Who holds the only reference needs no locked instruction to know it:
  /// nobody else is there to count.
  bool release() {
    return n_.load(std::memory_order_acquire) == 1 ||
           n_.fetch_sub(1, std::memory_order_acq_rel) == 1;
  }

  /// Nobody holds the object any more; it waits for its end.
  void end() { n_.store(0, std::memory_order_relaxed); }

 private:
  std::atomic<int> n_{1};
};

/// A reference that is counted by the object itself: T has retain() and release().
template <class T>
class Ref {
 public:
  Ref() = default;
  Ref(T* p) : p_(p) {
    if (p_) p_->retain();
  }
  Ref(const Ref& o) : Ref(o.p_) {}
  Ref(Ref&& o) noexcept : p_(o.p_) { o.p_ = nullptr; }
  ~Ref() {
    if (p_) p_->release();
  }
  Ref& operator=(Ref o) noexcept {
    std::swap(p_, o.p_);
    return *this;
  }
  static Ref adopt(T* p) {  ///< takes over one reference
    Ref r;
    r.p_ = p;
    return r;
  }
  T* get() const { return p_; }
  T* operator->() const { return p_; }
  T& operator*() const { return *p_; }
  explicit operator bool() const { return p_ != nullptr; }
  void reset() { *this = Ref(); }

 private:
  T* p_ = nullptr;
};

}  // namespace flash
