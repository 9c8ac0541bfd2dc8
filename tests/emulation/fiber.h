// tests/emulation/fiber.h -- a stack of its own for code that stops in the midst and goes on later
#pragma once

#include <cstddef>
#include <memory>

namespace flash::test::emulation {

/// Not for code that throws out of it. Sanitizers do not follow a change of stacks: what changes
/// them is compiled without (tests/emulation/meson.build).
class Fiber {
 public:
  /// Runs `body` on this stack until it calls give_back(). It must not return.
  void begin(void (*body)());
  /// Goes on where give_back() was called, until it is called again.
  void go_on();
  /// Called on this stack: begin() or go_on() returns.
  void give_back();
  bool contains(const void* at) const { return at >= memory_.get() && at < memory_.get() + kBytes; }

 private:
  static constexpr std::size_t kBytes = 128 << 10;
  std::unique_ptr<char[]> memory_{new char[kBytes]};
  void* inside_ = nullptr;   // where code on this stack halted
  void* outside_ = nullptr;  // where it was called
};

}  // namespace flash::test::emulation
