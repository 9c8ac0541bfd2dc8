// apps/flash/command.h -- the flash command: its verbs, flags and exit status
#pragma once

namespace flash::apps {

/// Exit status: 0 done, 1 an error in doing it, 2 a wrong command line, 128 + the signal when it
/// was stopped (130 for Ctrl-C). Every error is one line on standard error.
int run_command(int argc, char** argv);

}  // namespace flash::apps
