// tests/gpu/fake_driver/objects.h -- what a fake library's handles stand for
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "control.h"

namespace flash::test::fake {

/// Objects by handle: what is not among them is no object.
template <class T>
class Objects {
 public:
  explicit Objects(const char* what) : what_(what) {}
  template <class... Args>
  T* make(Args&&... args) {
    auto object = std::make_unique<T>(std::forward<Args>(args)...);
    T* const handle = object.get();
    const std::lock_guard lock(mutex_);
    all_[handle] = std::move(object);
    fake::live(what_, 1);
    return handle;
  }
  T* find(void* handle) {
    const std::lock_guard lock(mutex_);
    const auto it = all_.find(handle);
    return it == all_.end() ? nullptr : it->second.get();
  }
  bool destroy(void* handle) {
    std::unique_ptr<T> object;
    const std::lock_guard lock(mutex_);
    const auto it = all_.find(handle);
    if (it == all_.end()) return false;
    object = std::move(it->second);
    all_.erase(it);
    fake::live(what_, -1);
    return true;
  }
  template <class F>
  void each(F f) {
    const std::lock_guard lock(mutex_);
    for (auto& [handle, object] : all_) f(*object);
  }

 private:
  const char* const what_;
  std::mutex mutex_;  // guards all_
  std::map<void*, std::unique_ptr<T>> all_;
};

}  // namespace flash::test::fake
