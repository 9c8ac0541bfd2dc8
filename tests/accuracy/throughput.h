// tests/accuracy/throughput.h -- elements per ns of Flash and of a plain loop over the C library
#pragma once

#include "accuracy/functions.h"

namespace flash::accuracy {

struct Speed {
  double flash = 0, libm = 0;  // elements per ns: medians
};

/// One thread, 2^16 elements from the function's range (in and out fit the second-level cache), in
/// interleaved rounds. f16 and bf16 have no libm: there the plain loop converts to float, calls
/// libm and converts back. FLASH_NUM_THREADS has to be 1.
Speed measure_speed(const Function& f, DType dtype, int rounds);

}  // namespace flash::accuracy
