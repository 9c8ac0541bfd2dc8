// kernels/cpu/thread_sanitizer.h -- the steps of products without the thread sanitizer's calls
//
// With a call at each load of an inner loop three training steps of LeNet and a test took nine
// times as long. So these loops are not instrumented, and whoever runs them says once what they
// will read: a race with a thread that writes an operand is found all the same. What they write is
// instrumented.
#pragma once

#include <cstdint>

#include "core/sanitizers.h"

#if FLASH_THREAD_SANITIZER
/// A function that is not instrumented; inlined where it need not stand alone for that.
#define FLASH_UNSEEN __attribute__((noinline, no_sanitize("thread")))
extern "C" void __tsan_read_range(void* at, unsigned long bytes);
#else
#define FLASH_UNSEEN __attribute__((always_inline)) inline
#endif

namespace flash::cpu {

/// Says that elements [0, rows) × [0, cols) will be read of a Matrix (gemm.h).
template <class Matrix>
void will_read(const Matrix& m, std::int64_t rows, std::int64_t cols) {
#if FLASH_THREAD_SANITIZER
  if (m.col != 1 && m.row == 1) return will_read(m.transposed(), cols, rows);
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < cols; j += m.col == 1 ? cols : 1)
      __tsan_read_range(const_cast<void*>(static_cast<const void*>(m.data + i * m.row + j * m.col)),
                        sizeof *m.data * static_cast<unsigned long>(m.col == 1 ? cols : 1));
#else
  static_cast<void>(m), static_cast<void>(rows), static_cast<void>(cols);
#endif
}

}  // namespace flash::cpu
