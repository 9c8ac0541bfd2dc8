// jit/cache/lru.h -- a bounded map that forgets what was used longest ago
#pragma once

#include <list>
#include <mutex>
#include <unordered_map>
#include <utility>

namespace flash::jit {

/// Values are shared pointers or cheap to copy: what is evicted in use lives on in its users'
/// hands. Thread-safe.
template <class Key, class Value, class Hash>
class Lru {
 public:
  explicit Lru(std::size_t most) : most_(most) {}

  bool find(const Key& key, Value& value) {
    std::lock_guard lock(mutex_);
    auto it = map_.find(key);
    if (it == map_.end()) return false;
    order_.splice(order_.begin(), order_, it->second);
    value = it->second->second;
    return true;
  }
  void insert(const Key& key, Value value) {
    std::lock_guard lock(mutex_);
    if (auto it = map_.find(key); it != map_.end()) {
      it->second->second = std::move(value);
      return;
    }
    order_.emplace_front(key, std::move(value));
    map_.emplace(key, order_.begin());
    if (map_.size() > most_) {
      map_.erase(order_.back().first);
      order_.pop_back();
    }
  }

 private:
  const std::size_t most_;
  mutable std::mutex mutex_;  // guards order_ and map_
  std::list<std::pair<Key, Value>> order_;
  std::unordered_map<Key, typename std::list<std::pair<Key, Value>>::iterator, Hash> map_;
};

}  // namespace flash::jit
