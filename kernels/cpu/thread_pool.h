// kernels/cpu/thread_pool.h -- the one pool of threads that all CPU work runs on
#pragma once

#include <cstdint>

#include "core/export.h"
#include "core/function_ref.h"

namespace flash::cpu {

/// Calls f(begin, end) on ranges that cover [0, n) once, on the pool's threads and the caller's.
///
/// Ranges hold `grain` items (the last may hold fewer), start in ascending order and are handed out
/// one at a time, so uneven items balance. One call f(0, n) on the caller's thread is made instead
/// when n <= grain, when there is one thread, inside another parallel_for, and while another thread
/// is using the pool. So a result must not depend on where ranges are cut: number work by item.
///
/// Returns when all of f is done. When f throws, no further ranges start, and the exception of the
/// lowest range that threw is rethrown here. Threads of the pool run with IEEE default rounding and
/// subnormals kept. Dispatch costs about a microsecond while the threads are still awake (they spin
/// for 20 µs after each job), and a system call a thread when they sleep.
void parallel_for(std::int64_t n, std::int64_t grain,
                  FunctionRef<void(std::int64_t begin, std::int64_t end)> f);

/// Threads that work, the caller included. At first FLASH_NUM_THREADS, or the number of CPUs this
/// process may run on.
FLASH_API int num_threads();

/// Changes it; waits for running work. Throws ValueError unless 1 <= n <= 1024, and when called
/// from inside parallel_for.
FLASH_API void set_num_threads(int n);

/// True on a thread that is inside parallel_for.
bool in_parallel();

}  // namespace flash::cpu
