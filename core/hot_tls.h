// core/hot_tls.h -- thread-locals that every recorded operation reads
#pragma once

/// Read by an offset from the thread's register instead of a call. The loader keeps little room for
/// such variables in libraries that are opened late, so they are few and small, and need no
/// construction.
#if defined(__ELF__)
#define FLASH_HOT_TLS __attribute__((tls_model("initial-exec")))
#else
#define FLASH_HOT_TLS
#endif
