// kernels/gpu/compiler.cpp -- a vendor's run-time compiler: source text to what its driver loads
#include "kernels/gpu/compiler.h"

#include <algorithm>
#include <charconv>
#include <thread>

#include "core/error.h"
#include "core/log.h"
#include "kernels/gpu/library.h"

namespace flash::gpu {
namespace {

/// Destroys a program however its scope is left.
class Program {
 public:
  Program(const CompilerCalls& calls, Handle handle) : calls_(calls), handle_(handle) {}
  ~Program() { calls_.destroy(&handle_); }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  operator Handle() const { return handle_; }

 private:
  const CompilerCalls& calls_;
  Handle handle_;
};

std::string trimmed(std::string s) {
  while (!s.empty() && (s.back() == '\0' || s.back() == '\n' || s.back() == ' ')) s.pop_back();
  return s;
}

}  // namespace

void Compiler::open() {
  const std::vector<std::string> folders = vendor_.compiler_folders();
  const Library library = Library::open(folders, vendor_.compiler_libraries);
  const std::string name = vendor_.compiler;
  if (!library) {
    missing_ = "no " + name + ": looked for " + library.tried() + ". " + vendor_.get_compiler;
    return;
  }
  path_ = library.path();
  const char* absent = nullptr;
#define X(member, type, cuda_name, hip_name)                                           \
  if (const char* symbol = vendor_.hip ? hip_name : cuda_name) {                       \
    calls_.member = reinterpret_cast<decltype(calls_.member)>(library.symbol(symbol)); \
    if (!calls_.member) absent = symbol;                                               \
  }
  FLASH_COMPILER_CALLS(X)
#undef X
  if (absent) {
    missing_ =
        name + " " + path_ + " is too old: it has no " + absent + ". " + vendor_.get_compiler;
    return;
  }
  int major = 0, minor = 0, count = 0;
  if (const int error = calls_.version(&major, &minor)) {
    missing_ = name + " " + path_ + " does not start: " + calls_.error_text(error) + ". " +
               vendor_.get_compiler;
    return;
  }
  version_ = std::to_string(major) + "." + std::to_string(minor);
  if (calls_.count_architectures && calls_.count_architectures(&count) == kSuccess && count > 0) {
    known_.resize(static_cast<std::size_t>(count));
    if (calls_.architectures(known_.data()) != kSuccess) known_.clear();
    std::sort(known_.begin(), known_.end());
  }
}

const std::string& Compiler::missing() {
  std::call_once(opened_, [this] { open(); });
  return missing_;
}

std::string Compiler::version() { return missing().empty() ? version_ : std::string(); }
std::string Compiler::path() { return missing().empty() ? path_ : std::string(); }

std::string Compiler::architecture(const std::string& native) {
  if (!missing().empty()) throw DeviceError(missing_);
  if (vendor_.hip || known_.empty()) return native;
  int number = 0;
  std::from_chars(native.data() + 3, native.data() + native.size(), number);  // behind "sm_"
  const auto above = std::upper_bound(known_.begin(), known_.end(), number);
  if (above == known_.begin())
    throw DeviceError("NVRTC " + version_ + " (" + path_ + ") compiles for sm_" +
                      std::to_string(known_.front()) + " and later, and this device is " + native +
                      ". Name an older NVRTC's folder by FLASH_NVRTC.");
  // Code for a device's very architecture, or an older one's in the form that the driver
  // translates.
  return *(above - 1) == number ? native : "compute_" + std::to_string(*(above - 1));
}

std::vector<std::string> Compiler::options() const {
  // What is computed is a contract: no contraction, subnormals kept, division and square root
  // rounded correctly (hiprtc's default, for which older ones take no option). An explicit fma() is
  // not touched by any of these.
  if (vendor_.hip)
    return {"-O3", "-std=c++17", "-ffp-contract=off", "-fno-gpu-flush-denormals-to-zero"};
  return {"--std=c++17", "--fmad=false", "--ftz=false", "--prec-div=true", "--prec-sqrt=true"};
}

int Compiler::threads() const {
  // hiprtc's LLVM reads its options into variables of the process: two threads at once end it.
  if (vendor_.hip) return 1;
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

void Compiler::check(int error, const char* what) const {
  if (error == kSuccess) return;
  throw DeviceError(std::string(vendor_.compiler) + ": " + what + " failed: " +
                    calls_.error_text(error) + " (" + std::to_string(error) + "), by " + path_);
}

Code Compiler::compile(const std::string& source, const std::string& name,
                       const std::string& architecture) {
  if (!missing().empty()) throw DeviceError(missing_);
  std::vector<std::string> given = options();
  given.push_back((vendor_.hip ? "--offload-arch=" : "--gpu-architecture=") + architecture);
  std::vector<const char*> list;
  for (const std::string& option : given) list.push_back(option.c_str());

  Handle handle = nullptr;
  check(calls_.create(&handle, source.c_str(), (name + ".cu").c_str(), 0, nullptr, nullptr),
        "creating a program");
  const Program program(calls_, handle);
  std::unique_lock lock(one_at_a_time_, std::defer_lock);
  if (threads() == 1) lock.lock();
  const int error = calls_.compile(program, static_cast<int>(list.size()), list.data());
  Code code;
  std::size_t bytes = 0;
  if (calls_.log_size(program, &bytes) == kSuccess && bytes > 1) {
    code.log.resize(bytes);
    if (calls_.log(program, code.log.data()) != kSuccess) code.log.clear();
    code.log = trimmed(std::move(code.log));
  }
  if (error != kSuccess)
    throw DeviceError(std::string(vendor_.compiler) + " " + version_ + " could not compile " +
                      name + " for " + architecture + ": " + calls_.error_text(error) + " (" +
                      std::to_string(error) + ")" + (code.log.empty() ? "" : "\n" + code.log) +
                      "\nPlease report this, with what FLASH_DEBUG=4 prints.");
  const bool ptx = architecture.rfind("compute_", 0) == 0;
  check((ptx ? calls_.ptx_size : calls_.code_size)(program, &bytes), "asking for the code's size");
  code.image.resize(bytes);
  check((ptx ? calls_.ptx : calls_.code)(program, reinterpret_cast<char*>(code.image.data())),
        "reading the code");
  if (!code.log.empty() && logging::enabled(logging::Level::kDebug))
    logging::debug(name + ": " + code.log);
  return code;
}

}  // namespace flash::gpu
