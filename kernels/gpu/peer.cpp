// kernels/gpu/peer.cpp -- copies between two devices of one driver, in the order of both queues
#include "kernels/gpu/peer.h"

#include "core/error.h"
#include "core/log.h"
#include "kernels/gpu/event.h"

namespace flash::gpu {
namespace {

/// Lets `to`, which is current, read the memory of `from` itself where it can; asked once. A driver
/// copies without it as well, through the host's memory.
void give_access(Context& to, const Context& from) {
  if (!to.first_copy_from(from)) return;
  const DriverCalls& d = to.calls();
  try {
    int can = 0;
    to.check(d.can_access_peer(&can, to.device(), from.device()), "asking for access to a peer");
    if (!can) return;
    const int error = d.enable_peer(from.peer(), 0);
    if (error != kPeerIsEnabled) to.check(error, "getting access to a peer");
  } catch (const DeviceError& e) {
    if (to.lost()) throw;
    logging::info(std::string(e.what()) + " Copies from " + from.name() +
                  " go through the host's memory.");
  }
}

}  // namespace

void copy_between(Context& to, Address at, Context& from, Address source, std::size_t bytes) {
  from.enter();
  Event written(from);
  written.record();
  to.enter();
  give_access(to, from);
  Event copied(to);
  written.hold_back(to);
  to.check(to.calls().copy_peer(at, to.peer(), source, from.peer(), bytes, to.queue()),
           "copying from another device");
  try {
    copied.record();
    from.enter();
    copied.hold_back(from);
  } catch (...) {
    // Nothing keeps the source's next user from writing there: let it be read first.
    if (!to.lost()) to.calls().synchronize(to.queue());
    throw;
  }
}

}  // namespace flash::gpu
