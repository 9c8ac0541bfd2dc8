// kernels/gpu/peer.h -- copies between two devices of one driver, in the order of both queues
#pragma once

#include <cstddef>

#include "kernels/gpu/context.h"

namespace flash::gpu {

/// Enqueues a copy on `to`. It begins when all that was enqueued on `from` is done, and what is
/// enqueued on `from` later waits for it: both ends may be freed when this returns. Which of the
/// two is current then is not said.
void copy_between(Context& to, Address at, Context& from, Address source, std::size_t bytes);

}  // namespace flash::gpu
