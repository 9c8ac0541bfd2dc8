// core/callback.h -- a callable that is kept: what hooks, releases and a trainer's events are given
#pragma once

#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

namespace flash {

template <class Signature>
class Callback;

/// Takes any callable, lambdas and std::function alike; copies share it. An empty one is false, and
/// must not be called. (std::function itself would be a fifth of the time that flash.h takes to
/// compile: its header brings hash maps and searches.)
template <class R, class... Args>
class Callback<R(Args...)> {
 public:
  Callback() = default;
  Callback(std::nullptr_t) {}
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, Callback> &&
           !std::is_member_pointer_v<std::decay_t<F>> &&
           std::is_invocable_r_v<R, std::decay_t<F>&, Args...>) Callback(F&& f) {
    using Kept = std::decay_t<F>;
    auto kept = std::make_shared<Kept>(std::forward<F>(f));
    if constexpr (requires { *kept == nullptr; })
      if (*kept == nullptr) return;  // an empty std::function, a null pointer
    object_ = std::move(kept);
    call_ = [](void* object, Args... args) -> R {
      return static_cast<R>((*static_cast<Kept*>(object))(std::forward<Args>(args)...));
    };
  }

  explicit operator bool() const { return object_ != nullptr; }
  R operator()(Args... args) const { return call_(object_.get(), std::forward<Args>(args)...); }

 private:
  std::shared_ptr<void> object_;
  R (*call_)(void*, Args...) = nullptr;
};

}  // namespace flash
