// core/env.cpp -- the table of environment variables, and its parsers
#include "core/env.h"

#include <charconv>
#include <cstdlib>

#include "core/device.h"
#include "core/error.h"

namespace flash::env {
namespace {

constexpr std::int64_t kMax = INT64_MAX;

constexpr Info kTable[kNumEnv] = {
    {Env::kLog, "FLASH_LOG", Kind::kChoice, "warn", 0, 0, "off|error|warn|info|debug",
     "Least important log messages that go to stderr.", "core/log.cpp"},
    {Env::kDebug, "FLASH_DEBUG", Kind::kInt, "0", 0, 5, "",
     "1: a line per flush; 2: per launch; 3: kernel IR; 4: assembly; 5: rewrites.",
     "jit/debug, kernels/cpu"},
    {Env::kEvaluator, "FLASH_EVALUATOR", Kind::kChoice, "fuse", 0, 0, "fuse|eager|interpret",
     "How traces become values: fused kernels, one kernel an op, or the reference interpreter.",
     "core/evaluator.cpp"},
    {Env::kDevice, "FLASH_DEVICE", Kind::kDevice, "cpu", 0, 0, "",
     "Where tensors are made unless their call says otherwise, as in cuda:0.", "core/device.cpp"},
    {Env::kValidate, "FLASH_VALIDATE", Kind::kInt, "0", 0, 1, "",
     "1: every flush is also run unfused, interpreted and with inputs left alone; other bits are "
     "an error.",
     "train/flash.cpp"},
    {Env::kIsa, "FLASH_ISA", Kind::kChoice, "", 0, 0, "avx512|avx2",
     "Instruction set of compiled kernels; the best one found when unset.",
     "jit/emit, kernels/cpu"},
    {Env::kJitSymbols, "FLASH_JIT_SYMBOLS", Kind::kChoice, "off", 0, 0, "off|perf|gdb",
     "Names of compiled code: for perf in /tmp/perf-PID.map, or for gdb's back traces.",
     "jit/emit/symbols.cpp"},
    {Env::kNumThreads, "FLASH_NUM_THREADS", Kind::kInt, "", 1, 1024, "",
     "Threads of the CPU pool, the caller included; all CPUs of the affinity mask when unset.",
     "kernels/cpu/thread_pool.cpp"},
    {Env::kTraceLimit, "FLASH_TRACE_LIMIT", Kind::kInt, "4096", 1, 1 << 24, "",
     "Recorded operations after which a trace is flushed.", "core/trace.cpp"},
    {Env::kPendingBytes, "FLASH_PENDING_BYTES", Kind::kBytes, "1G", 1 << 20, kMax, "",
     "Bytes of pending results, but for those in use, after which a trace is flushed.",
     "core/trace.cpp"},
    {Env::kCacheBytes, "FLASH_CACHE_BYTES", Kind::kBytes, "4G", 0, kMax, "",
     "Freed memory that is kept for reuse, at most, on each device.", "core/allocator.cpp"},
    {Env::kMemoryLimit, "FLASH_MEMORY_LIMIT", Kind::kBytes, "", 0, kMax, "",
     "Memory that tensors may take, that kept for reuse included, on each device; no limit when "
     "unset.",
     "core/allocator.cpp"},
    {Env::kCacheDir, "FLASH_CACHE_DIR", Kind::kFolder, "", 0, 0, "",
     "Where compiled kernels of GPUs are kept; $XDG_CACHE_HOME/flash or ~/.cache/flash when unset.",
     "jit/cache/cached_compile.cpp"},
    {Env::kCacheDirBytes, "FLASH_CACHE_DIR_BYTES", Kind::kBytes, "1G", 1 << 20, kMax, "",
     "Size of that folder beyond which the kernels used longest ago are deleted.",
     "jit/cache/cached_compile.cpp"},
    {Env::kNvrtc, "FLASH_NVRTC", Kind::kFolder, "", 0, 0, "",
     "Where NVIDIA's compiler libnvrtc lies (PyPI's nvidia-cuda-nvrtc has it in nvidia/cu13/lib); "
     "the loader's path, $CUDA_HOME and /usr/local/cuda when unset.",
     "kernels/cuda"},
    {Env::kHiprtc, "FLASH_HIPRTC", Kind::kFolder, "", 0, 0, "",
     "Where AMD's compiler libhiprtc lies; the loader's path, $ROCM_PATH and /opt/rocm when unset.",
     "kernels/hip"},
    {Env::kCublas, "FLASH_CUBLAS", Kind::kFolder, "", 0, 0, "",
     "Where libcublasLt lies (PyPI's nvidia-cublas has it in nvidia/cu13/lib), or off: own kernels "
     "compute all products; the loader's path, $CUDA_HOME and /usr/local/cuda when unset.",
     "kernels/cuda"},
    {Env::kTensorCores, "FLASH_TENSOR_CORES", Kind::kChoice, "on", 0, 0, "on|off",
     "off: products and convolutions of f16 and bf16 have the CPU's bits on NVIDIA's GPUs too, and "
     "are slow.",
     "kernels/cuda"},
    {Env::kCompile, "FLASH_COMPILE", Kind::kChoice, "background", 0, 0, "background|wait|generic",
     "Kernels of GPUs that were never compiled: a generic kernel stands in until they are, or a "
     "flush waits for them, or (for tests) it does all that it can. The results are the same. "
     "Vulkan always waits, and so does all without a disk cache.",
     "kernels/gpu"},
    {Env::kVulkanValidation, "FLASH_VULKAN_VALIDATION", Kind::kInt, "0", 0, 1, "",
     "1: Vulkan's validation layer checks every call; what it says is an error.",
     "kernels/vulkan/instance.cpp"},
};

constexpr bool in_order() {
  for (int i = 0; i < kNumEnv; ++i) {
    if (static_cast<int>(kTable[i].id) != i) return false;
  }
  return true;
}
static_assert(in_order(), "the table must follow the order of Env");

const Info& row(Env variable) { return kTable[static_cast<std::size_t>(variable)]; }

std::string_view text_of(const Info& row) {
  const char* text = std::getenv(row.name);
  return text && *text ? std::string_view(text) : std::string_view(row.default_value);
}

[[noreturn]] void refuse(const Info& row, std::string_view text, const std::string& want) {
  throw ValueError(std::string(row.name) + ": \"" + std::string(text.substr(0, 60)) +
                   "\" is not valid; want " + want + ". Fix the environment variable or unset it.");
}

}  // namespace

std::span<const Info> table() { return kTable; }

bool is_set(Env variable) {
  const char* text = std::getenv(row(variable).name);
  return text && *text;
}

std::int64_t get_int(Env variable) {
  const Info& r = row(variable);
  if (r.kind != Kind::kInt && r.kind != Kind::kBytes)
    throw InternalError(std::string(r.name) + " is not a number");
  const std::string_view text = text_of(r);
  if (text.empty()) return 0;
  std::int64_t value = 0;
  const char* const end = text.data() + text.size();
  auto [at, error] = std::from_chars(text.data(), end, value);
  bool ok = error == std::errc();
  if (ok && r.kind == Kind::kBytes && at + 1 == end) {
    const int shift = *at == 'K' ? 10 : *at == 'M' ? 20 : *at == 'G' ? 30 : 0;
    if (shift) ++at;
    ok = !__builtin_mul_overflow(value, std::int64_t{1} << shift, &value);
  }
  if (!ok || at != end || value < r.low || value > r.high) {
    std::string want = "an integer of " + std::to_string(r.low);
    want += r.high == kMax ? " or more" : " to " + std::to_string(r.high);
    if (r.kind == Kind::kBytes) want += ", with K, M or G behind it if you like";
    refuse(r, text, want);
  }
  return value;
}

std::string get_choice(Env variable) {
  const Info& r = row(variable);
  if (r.kind != Kind::kChoice) throw InternalError(std::string(r.name) + " is not a choice");
  const std::string_view text = text_of(r);
  if (text.empty()) return "";
  std::string_view rest = r.choices;
  while (!rest.empty()) {
    const std::size_t bar = rest.find('|');
    if (rest.substr(0, bar) == text) return std::string(text);
    rest = bar == std::string_view::npos ? std::string_view() : rest.substr(bar + 1);
  }
  refuse(r, text, std::string("one of ") + r.choices);
}

std::string get_device(Env variable) {
  const Info& r = row(variable);
  if (r.kind != Kind::kDevice) throw InternalError(std::string(r.name) + " is not a device");
  const std::string_view text = text_of(r);
  if (!parse_device(text)) refuse(r, text, "one of " + std::string(kDeviceNames));
  return std::string(text);
}

std::string get_folder(Env variable) {
  const Info& r = row(variable);
  if (r.kind != Kind::kFolder) throw InternalError(std::string(r.name) + " is not a folder");
  const std::string_view text = text_of(r);
  // A relative one would be another folder after each change of the working directory.
  if (!text.empty() && text != "off" && text[0] != '/')
    refuse(r, text, "the absolute path of a folder, or off");
  return std::string(text);
}

void check() {
  for (const Info& r : kTable) {
    switch (r.kind) {
      case Kind::kInt:
      case Kind::kBytes:
        get_int(r.id);
        break;
      case Kind::kChoice:
        get_choice(r.id);
        break;
      case Kind::kDevice:
        get_device(r.id);
        break;
      case Kind::kFolder:
        get_folder(r.id);
        break;
    }
  }
}

}  // namespace flash::env
