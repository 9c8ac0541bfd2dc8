// tests/gpu/fake_driver/control.h -- how tests steer the fake drivers and compilers
//
// Each library exports these beside the calls that it fakes; tests find them by dlsym.
//
//   FAKE_GPU_FAIL=CALL:N[:ERROR]   the N-th call of CALL fails, also in programs that know nothing
//                                  of this; an error that loses a real device loses this one
//   FAKE_GPU_DEVICES=N             that many devices; 2 otherwise
//   FAKE_GPU_MEMORY=BYTES          of each; 1 GiB otherwise
//   FAKE_GPU_CHECKS=1              kernels are compiled with checks: races and accesses out of
//                                  bounds are errors of the launch
//   FAKE_GPU_CACHE=FOLDER          where libraries of kernels are kept from run to run
//   FAKE_GPU_SOURCES=FOLDER        every source is written there, once: NAME.cu or NAME.hip
#pragma once

#include <string>

extern "C" {
/// The nth call of `call` from now on gives `error`; "" takes it back.
void fake_gpu_fail(const char* call, int nth, int error);
/// Calls of `call` since the start or the last reset.
long fake_gpu_calls(const char* call);
/// How many there are now: "memory" (bytes), "blocks", "pinned", "stream", "event", "module",
/// "context", "program", "graph", "executable".
long fake_gpu_live(const char* what);
/// Forgets failures, counts and that the device was lost.
void fake_gpu_reset();
}

namespace flash::test::fake {

/// To be asked first in every call: counts it, and gives the error that it shall return, or 0.
int enter(const char* call);
/// Counts objects of a kind up or down.
void live(const std::string& what, long by);
long live(const std::string& what);
/// The error that all further calls give; 0: none.
int lost();
void lose(int error);

long number(const char* variable, long otherwise);

}  // namespace flash::test::fake
