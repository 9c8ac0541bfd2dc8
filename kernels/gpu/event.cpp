// kernels/gpu/event.cpp -- marks places in a device's queue, for the host and other queues to wait
// at
#include "kernels/gpu/event.h"

namespace flash::gpu {

Event::Event(Context& context, unsigned flags) : context_(context) {
  context.check(context.calls().create_event(&handle_, flags), "making an event");
}
Event::~Event() {
  if (handle_ && context_.usable()) context_.calls().destroy_event(handle_);
}
void Event::record() {
  context_.check(context_.calls().record_event(handle_, context_.queue()), "recording an event");
}
void Event::wait(const char* what) { context_.check(context_.calls().wait_event(handle_), what); }
double Event::since(const Event& earlier) {
  float ms = 0;
  context_.check(context_.calls().elapsed(&ms, earlier.handle_, handle_), "asking for a time");
  return 1e3 * static_cast<double>(ms);
}
void Event::hold_back(Context& other) {
  other.check(other.calls().queue_waits(other.queue(), handle_, 0), "waiting for another device");
}

}  // namespace flash::gpu
