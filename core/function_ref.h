// core/function_ref.h -- a reference to a callable: two words, no allocation, for calls downwards
#pragma once

#include <concepts>
#include <memory>
#include <type_traits>
#include <utility>

namespace flash {

template <class Signature>
class FunctionRef;

/// Refers to a callable that outlives it, as a parameter does: `void each(FunctionRef<void(int)>)`.
template <class R, class... Args>
class FunctionRef<R(Args...)> {
 public:
  template <class F>
  requires(!std::same_as<std::remove_cvref_t<F>, FunctionRef> &&
           std::is_invocable_r_v<R, F&, Args...> && !std::is_function_v<std::remove_reference_t<F>>)
      FunctionRef(F&& f)  // NOLINT: converts on purpose
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(f)))),
        call_([](void* object, Args... args) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(object))(std::forward<Args>(args)...);
        }) {}

  R operator()(Args... args) const { return call_(object_, std::forward<Args>(args)...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

}  // namespace flash
