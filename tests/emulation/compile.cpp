// tests/emulation/compile.cpp -- CUDA and HIP sources to libraries, by the host's compiler
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "emulation/engine.h"

namespace fs = std::filesystem;

namespace flash::test::emulation {
namespace {

constexpr const char* kFolder = FLASH_SOURCE_ROOT "/tests/emulation";

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::uint64_t hash(const std::string& text, std::uint64_t h) {
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3;  // FNV-1a
  return h ^ h >> 29;
}

/// A file's name for what is made of `source` by `how`.
std::string name_of(const std::string& how, const std::string& source) {
  char name[40];
  std::snprintf(name, sizeof name, "%016llx%016llx",
                static_cast<unsigned long long>(hash(how + source, 1)),
                static_cast<unsigned long long>(hash(source + how, 2)));
  return name;
}

/// This process may have this file twice, in libraries with variables of their own.
std::string unique() {
  static std::atomic<int> count{0};
  return std::to_string(getpid()) + "_" + std::to_string(reinterpret_cast<std::uintptr_t>(&count)) +
         "_" + std::to_string(count.fetch_add(1));
}

/// Under its name at once and whole: other processes look for it.
void publish(const fs::path& path, const std::string& bytes) {
  std::error_code ignored;
  fs::create_directories(path.parent_path(), ignored);
  const fs::path fresh = path.string() + "." + unique();
  if (std::ofstream(fresh, std::ios::binary) << bytes) fs::rename(fresh, path, ignored);
  fs::remove(fresh, ignored);
}

std::string command(bool checks) {
  std::string s = FLASH_TEST_CXX
                  " -std=c++20 -O1 -ffp-contract=off -Wall -Wextra -Werror -Wno-unused-parameter"
                  " -Wno-unknown-pragmas -Wno-attributes -shared -fPIC -nostdlib -fno-exceptions "
                  "-fno-asynchronous-unwind-tables -I " +
                  std::string(kFolder);
  // Few mappings a kernel: a process may have 65,530, and a test thousands of kernels.
  s += " -Wl,-z,noseparate-code,-z,norelro";
  if (checks) s += " -fsanitize=thread -DEMULATION_CHECKS";
#if defined(__clang__)
  if (checks) s += " -mllvm -tsan-distinguish-volatile";
#else
  if (checks) s += " --param tsan-distinguish-volatile=1";
  // A number that is squared again and again, as by an integer's power, is one of 2^64 factors to
  // GCC's analysis of loops, which takes all memory to write it down.
  s += " --param scev-max-expr-size=10";
#endif
  return s;
}

}  // namespace

void keep_source(const std::string& source, const std::string& folder, const std::string& ending) {
  const fs::path path = fs::path(folder) / (name_of(ending, source) + ending);
  if (!fs::exists(path)) publish(path, source);
  if (!fs::exists(path)) throw std::runtime_error("cannot write " + path.string());
}

Compiled compile(const std::string& source, const CompileOptions& options) {
  static const std::string headers = [] {
    std::string all;
    for (const char* header : {"kernel.h", "kernel_state.h", "tensor_cores.h"})
      all += read(fs::path(kFolder) / header);
    return all;
  }();
  const std::string line = command(options.checks);
  const fs::path kept = options.folder.empty()
                            ? fs::path()
                            : fs::path(options.folder) / name_of(line + headers, source);
  std::error_code ignored;
  Compiled out;
  if (!kept.empty() && fs::exists(kept, ignored)) {
    out.library = read(kept);
    out.ok = !out.library.empty();
    if (out.ok) return out;
  }
  const fs::path work = fs::temp_directory_path() / ("flash_emulation_" + unique());
  fs::create_directories(work);
  std::ofstream(work / "kernel.cpp") << "#include \"kernel.h\"\n" << source;
  // A compiler that goes astray on one kernel takes no memory from others (KiB, seconds).
  const std::string all = "ulimit -v 8000000; exec timeout 300 " + line + " -o " +
                          (work / "kernel.so").string() + " " + (work / "kernel.cpp").string() +
                          " > " + (work / "log").string() + " 2>&1";
  const int status = std::system(all.c_str());
  out.log = read(work / "log");
  out.ok = status == 0;
  if (out.ok) {
    out.library = read(work / "kernel.so");
    if (!kept.empty()) publish(kept, out.library);
  }
  fs::remove_all(work, ignored);
  return out;
}

}  // namespace flash::test::emulation
