// tests/gpu/fake_driver/control.cpp -- how tests steer the fake drivers and compilers
#include "control.h"

#include <cstdlib>
#include <map>
#include <mutex>

namespace flash::test::fake {
namespace {

struct Control {
  std::mutex mutex;  // guards what follows
  std::map<std::string, long> calls, live;
  std::string failing;
  int in = 0, error = 0, lost = 0;

  Control() {
    // CALL:N or CALL:N:ERROR
    const char* const text = std::getenv("FAKE_GPU_FAIL");
    if (!text) return;
    const std::string all = text;
    const std::size_t colon = all.find(':');
    if (colon == std::string::npos) return;
    failing = all.substr(0, colon);
    in = std::atoi(all.c_str() + colon + 1);
    const std::size_t second = all.find(':', colon + 1);
    error = second == std::string::npos ? 999 : std::atoi(all.c_str() + second + 1);
  }
};
Control& control() {
  static Control& c = *new Control;  // queues may outlive main
  return c;
}

bool loses_the_device(int error) { return error >= 700; }

}  // namespace

int enter(const char* call) {
  Control& c = control();
  const std::lock_guard lock(c.mutex);
  ++c.calls[call];
  if (c.in > 0 && c.failing == call && --c.in == 0) {
    if (loses_the_device(c.error)) c.lost = c.error;
    return c.error;
  }
  return c.lost;
}

void live(const std::string& what, long by) {
  const std::lock_guard lock(control().mutex);
  control().live[what] += by;
}
long live(const std::string& what) {
  const std::lock_guard lock(control().mutex);
  return control().live[what];
}
int lost() {
  const std::lock_guard lock(control().mutex);
  return control().lost;
}
void lose(int error) {
  const std::lock_guard lock(control().mutex);
  if (!control().lost) control().lost = error;
}

long number(const char* variable, long otherwise) {
  const char* text = std::getenv(variable);
  return text && *text ? std::atol(text) : otherwise;
}

}  // namespace flash::test::fake

using namespace flash::test;
#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT void fake_gpu_fail(const char* call, int nth, int error) {
  fake::Control& c = fake::control();
  const std::lock_guard lock(c.mutex);
  c.failing = call;
  c.in = nth;
  c.error = error;
}
EXPORT long fake_gpu_calls(const char* call) {
  const std::lock_guard lock(fake::control().mutex);
  return fake::control().calls[call];
}
EXPORT long fake_gpu_live(const char* what) { return fake::live(what); }
EXPORT void fake_gpu_reset() {
  fake::Control& c = fake::control();
  const std::lock_guard lock(c.mutex);
  c.calls.clear();
  c.failing.clear();
  c.in = c.lost = 0;
}
