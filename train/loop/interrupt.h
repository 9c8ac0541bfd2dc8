// train/loop/interrupt.h -- Ctrl-C as a wish to stop after this step, not in the middle of it
#pragma once

#include <csignal>

namespace flash::train {

/// While one lives, the first SIGINT or SIGTERM is only noted; the second one ends the process as
/// it would have without this. One at a time; the handlers of before come back at the end.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  /// The signal that came, or 0.
  static int signal();

 private:
  struct sigaction int_before_, term_before_;
};

}  // namespace flash::train
