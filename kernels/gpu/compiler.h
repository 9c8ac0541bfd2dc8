// kernels/gpu/compiler.h -- a vendor's run-time compiler: source text to what its driver loads
#pragma once

#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/file.h"
#include "kernels/gpu/driver.h"

namespace flash::gpu {

/// What a driver loads, and what the compiler had to say.
struct Code {
  io::Bytes image;
  std::string log;  ///< warnings; empty when there are none
};

/// Opened at first use: a process that computes on the CPU never pays for it. Thread-safe.
class Compiler {
 public:
  explicit Compiler(const Vendor& vendor) : vendor_(vendor) {}

  /// Why it cannot be used and how to get it; empty when it can.
  const std::string& missing();
  std::string version();  ///< "13.0"; empty when it is missing
  std::string path();     ///< of the library

  /// The architecture to compile for on a device that reports `native` ("sm_90", "gfx90a"): the
  /// same, or the best that this compiler knows and the driver can translate. Throws DeviceError
  /// when there is none.
  std::string architecture(const std::string& native);

  /// The options that every source is compiled with, but for the architecture.
  std::vector<std::string> options() const;

  /// Compiles; `name` shows in messages. Throws DeviceError with the compiler's log.
  Code compile(const std::string& source, const std::string& name, const std::string& architecture);
  /// As many threads at once are worth while: a processor each, or one, which others wait for.
  int threads() const;

 private:
  void open();
  void check(int error, const char* what) const;

  const Vendor& vendor_;
  std::once_flag opened_;
  CompilerCalls calls_;
  std::string missing_, version_, path_;
  std::mutex one_at_a_time_;
  std::vector<int> known_;  ///< architectures, ascending; empty: the compiler does not say
};

}  // namespace flash::gpu
