// jit/emit/symbols.h -- names of compiled code for perf and gdb (FLASH_JIT_SYMBOLS)
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

namespace flash::emit {

/// True if somebody wants to see compiled code: then it keeps frame pointers, for back traces.
bool wants_symbols();

/// The name of a piece of code, "flash_jit_" and the kernel's, known to others while this lives.
class Symbol {
 public:
  virtual ~Symbol() = default;
};

/// Makes the code of kernel `name` known as FLASH_JIT_SYMBOLS says: "perf" appends it to
/// /tmp/perf-PID.map, which perf report reads; "gdb" tells a debugger, by GDB's JIT interface. Null
/// when it is off. Failures are logged once and change nothing else.
std::unique_ptr<Symbol> make_symbol(std::string_view name, const void* code, std::size_t size);

}  // namespace flash::emit
