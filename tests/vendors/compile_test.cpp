// tests/vendors/compile_test.cpp -- the vendors' own compilers take what Flash emits, without a
// warning
//
// No GPU is needed: NVRTC (FLASH_TEST_NVRTC, or what ./dev setup brings) and hiprtc (Debian's
// libamdhip64-5) compile for architectures that are not there.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "core/error.h"
#include "jit/emit/clike/clike.h"
#include "jit/emit/clike/generic.h"
#include "jit/random_kernel.h"
#include "kernels/cuda/runtime.h"
#include "kernels/gpu/leaf.h"
#include "kernels/gpu/limits.h"
#include "kernels/hip/runtime.h"

using namespace flash;
using namespace flash::test;

namespace {

std::vector<std::string> cuda_folders() {
  const char* folder = std::getenv("FLASH_TEST_NVRTC");
  return {folder && *folder ? folder : FLASH_TEST_NVRTC_FOLDER};
}
std::vector<std::string> hip_folders() { return {"", "/opt/rocm/lib"}; }

struct Job {
  std::string source, name, architecture;
};

/// Random kernels, without the prelude in front.
std::vector<Job> random_kernels() {
  std::vector<Job> all;
  const int begin = first_kernel(), count = kernels_wanted(16);
  for (int seed = begin; seed < begin + count; ++seed) {
    RandomKernel k(static_cast<std::uint64_t>(seed));
    ir::Kernel kernel = k.kernel();
    const auto add = [&](ir::Mode mode, const std::string& name) {
      kernel.mode = mode;
      all.push_back({emit::clike_function(kernel, name), name, ""});
    };
    add(ir::Mode::kWhole, "k" + std::to_string(seed));
    if (k.can_split()) add(ir::Mode::kSplit, "s" + std::to_string(seed));
  }
  return all;
}

/// Leaf kernels of each kind that call an epilogue, which is a random map.
std::vector<Job> leaves_with_epilogues(const std::vector<gpu::LeafSource>& leaves,
                                       std::initializer_list<const char*> kinds) {
  std::vector<Job> all;
  std::uint64_t seed = 0;
  for (const char* kind : kinds) {
    const auto leaf = std::find_if(leaves.begin(), leaves.end(), [&](const gpu::LeafSource& l) {
      return l.entry.starts_with(kind);
    });
    REQUIRE((leaf != leaves.end()));
    std::unique_ptr<RandomKernel> map;
    do map = std::make_unique<RandomKernel>(++seed);
    while (map->kernel().has_reduce());
    ir::Kernel kernel = map->kernel();
    kernel.mode = ir::Mode::kEpilogue;
    all.push_back(
        {gpu::with_epilogue(leaf->source, emit::clike_epilogue(kernel), seed % 2 ? "i32" : "i64"),
         std::string(leaf->entry) + "+epilogue", ""});
  }
  return all;
}

struct Outcome {
  std::vector<std::string> wrong;
  std::string slowest;
  double slowest_s = 0;
};

/// Compiles all on as many threads as the compiler can use.
Outcome compile_all(gpu::Compiler& compiler, const std::vector<Job>& jobs) {
  std::vector<std::string> wrong(jobs.size());
  std::vector<double> seconds(jobs.size());
  std::atomic<std::size_t> next{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < compiler.threads(); ++t)
    threads.emplace_back([&] {
      for (std::size_t i; (i = next.fetch_add(1)) < jobs.size();) {
        const Job& job = jobs[i];
        const auto start = std::chrono::steady_clock::now();
        try {
          const gpu::Code code = compiler.compile(job.source, job.name, job.architecture);
          if (!code.log.empty()) wrong[i] = job.name + ", " + job.architecture + ": " + code.log;
          if (code.image.empty()) wrong[i] = job.name + ", " + job.architecture + ": no code";
        } catch (const std::exception& e) {
          wrong[i] = e.what();
        }
        seconds[i] =
            std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        constexpr std::size_t kLine = 500;
        if (jobs.size() > 2 * kLine && (i + 1) % kLine == 0)
          std::fprintf(stderr, "%zu of %zu sources\n", i + 1, jobs.size());
      }
    });
  for (std::thread& t : threads) t.join();
  std::erase(wrong, "");
  const auto most = std::max_element(seconds.begin(), seconds.end()) - seconds.begin();
  const Job& slowest = jobs[static_cast<std::size_t>(most)];
  return {wrong, slowest.name + " for " + slowest.architecture,
          seconds[static_cast<std::size_t>(most)]};
}

/// What programs asked for: the sources in FLASH_TEST_SOURCES, a folder that the fake compilers of
/// tests/gpu write into. Fused kernels are joined, `together` in one source at most: hiprtc takes
/// 0.3 s for a source that is empty.
std::vector<Job> asked_for(const std::string& ending, const emit::Prelude& prelude,
                           std::size_t together) {
  std::vector<Job> out;
  const char* folder = std::getenv("FLASH_TEST_SOURCES");
  if (!folder) return out;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().extension() == ending) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::string joined, first;
  std::size_t alone = 0, number = 0;
  const auto flush = [&] {
    if (number > 0)
      out.push_back({prelude.source(joined), first + " and " + std::to_string(number - 1), ""});
    joined = "";
    number = 0;
  };
  for (const auto& file : files) {
    std::ifstream in(file, std::ios::binary);
    const std::string source{std::istreambuf_iterator<char>(in), {}}, name = file.stem().string();
    // What stands behind the prelude of a fused kernel begins with a line that says its ops.
    const std::size_t kernel = source.find("\nKERNEL(flash");
    const std::size_t begin = source.rfind("\n// ", kernel) + 1;
    if (together < 2 || kernel == std::string::npos || begin == 0 ||
        prelude.source(source.substr(begin)) != source) {
      ++alone;
      out.push_back({source, name, ""});
      continue;
    }
    // The kernel's name begins those of its shared memory and tables.
    const std::size_t named = kernel + std::string_view("\nKERNEL(").size();
    const std::string entry = source.substr(named, source.find(')', named) - named);
    std::string one = source.substr(begin);
    for (std::size_t at = 0; (at = one.find(entry, at)) != std::string::npos; at += name.size() + 1)
      one.replace(at, entry.size(), "k" + name);
    joined += one;
    if (number == 0) first = name;
    if (++number == together) flush();
  }
  flush();
  MESSAGE(files.size(), " sources in FLASH_TEST_SOURCES; ", alone, " are compiled alone");
  return out;
}

void check_compiler(const gpu::Vendor& like, std::vector<std::string> (*folders)(),
                    const std::vector<std::string>& architectures, const emit::Dialect& dialect,
                    const std::string& ending, std::size_t together) {
  static std::vector<std::unique_ptr<gpu::Vendor>> vendors;  // compilers outlive the test
  gpu::Vendor& vendor = *vendors.emplace_back(std::make_unique<gpu::Vendor>(like));
  vendor.compiler_folders = folders;
  static auto& compilers = *new std::vector<gpu::Compiler*>;  // are never closed
  gpu::Compiler& compiler = *compilers.emplace_back(new gpu::Compiler(vendor));
  if (!compiler.missing().empty()) {
    MESSAGE("skipped: ", compiler.missing());
    return;
  }
  const auto start = std::chrono::steady_clock::now();
  const emit::Prelude& prelude = *dialect.prelude;
  // A fault has to be found: of a source that is wrong, and of one that a compiler warns of.
  CHECK(compile_all(compiler,
                    {{prelude.source("KERNEL(k) { no_such_op(1); }\n"), "wrong", architectures[0]}})
            .wrong.size() == 1);
  CHECK(compile_all(compiler, {{prelude.source("KERNEL(k) { i32 unused; }\n#warning shown\n"),
                                "warns", architectures[0]}})
            .wrong.size() == 1);
  const std::string generic = emit::generic_function("generic");
  std::vector<Job> all = random_kernels();
  for (const gpu::LeafSource& loop : gpu::limit_sources())
    all.push_back({std::string(loop.source), std::string(loop.entry), ""});
  const std::vector<Job> given = asked_for(ending, prelude, together);
  const std::vector<gpu::LeafSource> leaves = gpu::leaf_sources({.processors = 100});
  std::vector<gpu::LeafSource> for_tensor_cores =
      gpu::leaf_sources({.processors = 100, .tensor_cores = true});
  std::erase_if(for_tensor_cores, [](const gpu::LeafSource& l) {
    return l.entry.find("_mma_") == std::string_view::npos;
  });
  REQUIRE(!for_tensor_cores.empty());
  const std::vector<Job> calling = leaves_with_epilogues(
      leaves, {"matmul_f32_32x32", "conv2d_bf16_32x32", "fold_f16", "max_pool2d_f64"});
  const std::vector<Job> calling_from_tensor_cores =
      leaves_with_epilogues(for_tensor_cores, {"matmul_bf16_64x64", "conv2d_f16_128x128"});
  std::vector<Job> jobs;
  for (std::size_t a = 0; a < architectures.size(); ++a) {
    const auto add = [&](std::string_view source, std::string_view name) {
      jobs.push_back({prelude.source(source), std::string(name), architectures[a]});
    };
    for (const Job& job : all) add(job.source, job.name);
    // There are many leaf kernels: each architecture takes a few of its own, or all of them where
    // many kernels are asked for.
    constexpr std::size_t kFew = 2;
    const bool few = kernels_wanted(0) < 1000;
    for (std::size_t i = few ? a : 0; i < leaves.size(); i += few ? leaves.size() / kFew + 1 : 1)
      add(leaves[i].source, leaves[i].entry);
    for (std::size_t i = few ? a : 0; i < (few ? a + 1 : calling.size()); ++i)
      add(calling[i].source, calling[i].name);
    const std::string& name = architectures[a];
    if (name.starts_with("sm_") && std::atoi(name.c_str() + 3) >= 80) {
      for (std::size_t i = few ? a * 7 : 0; i < for_tensor_cores.size();
           i += few ? for_tensor_cores.size() / kFew + 1 : 1)
        add(for_tensor_cores[i].source, for_tensor_cores[i].entry);
      for (std::size_t i = few ? a % 2 : 0; i < calling_from_tensor_cores.size(); i += few ? 2 : 1)
        add(calling_from_tensor_cores[i].source, calling_from_tensor_cores[i].name);
    }
    add(generic, "generic");
    for (const Job& job : given) jobs.push_back({job.source, job.name, architectures[a]});
  }
  const Outcome outcome = compile_all(compiler, jobs);
  for (std::size_t i = 0; i < std::min<std::size_t>(outcome.wrong.size(), 3); ++i)
    FAIL_CHECK(outcome.wrong[i]);
  CHECK(outcome.wrong.empty());
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  MESSAGE(std::string(vendor.compiler), " ", compiler.version(), ": ", jobs.size(), " sources for ",
          architectures.size(), " architectures in ", took.count(),
          " s; the slowest: ", outcome.slowest, ", ", outcome.slowest_s, " s");
}

}  // namespace

TEST_CASE("NVRTC compiles what Flash emits, for every generation") {
  check_compiler(cuda::vendor(), cuda_folders, {"sm_75", "sm_80", "sm_90a", "sm_100"},
                 emit::cuda_dialect(), ".cu", 32);
}

TEST_CASE("hiprtc compiles what Flash emits, for every generation") {
  check_compiler(hip::vendor(), hip_folders, {"gfx906", "gfx90a", "gfx1030"}, emit::hip_dialect(),
                 ".hip", 32);
}
