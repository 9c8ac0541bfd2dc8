// train/loop/interrupt.cpp -- the signal handler: one flag, one line, and the default action from
// then on
#include "train/loop/interrupt.h"

#include <unistd.h>

#include <cerrno>

namespace flash::train {
namespace {

volatile std::sig_atomic_t noted = 0;

void note(int signal) {
  noted = signal;
  constexpr char kSaid[] = "\nstopping after this step; once more ends at once\n";
  const int before = errno;                                               // of what was interrupted
  if (write(STDERR_FILENO, kSaid, sizeof kSaid - 1) < 0) errno = before;  // nobody to tell
  std::signal(SIGINT, SIG_DFL);  // both are async-signal-safe
  std::signal(SIGTERM, SIG_DFL);
}

}  // namespace

InterruptGuard::InterruptGuard() {
  noted = 0;
  struct sigaction action = {};
  action.sa_handler = note;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;  // files being written go on
  sigaction(SIGINT, &action, &int_before_);
  sigaction(SIGTERM, &action, &term_before_);
}

InterruptGuard::~InterruptGuard() {
  sigaction(SIGINT, &int_before_, nullptr);
  sigaction(SIGTERM, &term_before_, nullptr);
}

int InterruptGuard::signal() { return noted; }

}  // namespace flash::train
