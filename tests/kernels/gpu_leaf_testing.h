// tests/kernels/gpu_leaf_testing.h -- runs GPU leaf kernels on the host and compares them with the
// CPU's, bit by bit
#pragma once

#include <dlfcn.h>
#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "jit/emit/clike/clike.h"
#include "kernels/gpu/fault.h"
#include "kernels/gpu/leaf.h"
#include "leaf_testing.h"

namespace flash::test {

/// Texts compiled together by the host's compiler, each in a namespace and with macros of its own.
class EmulatedLeaves {
 public:
  explicit EmulatedLeaves(const std::map<std::string, std::string>& texts) {
    namespace fs = std::filesystem;
    static int count = 0;
    const std::string stem = "leaves" + std::to_string(count++);
    const fs::path folder = fs::temp_directory_path() / ("flash_leaf_" + std::to_string(getpid()));
    fs::create_directories(folder);
    const fs::path cpp = folder / (stem + ".cpp"), so = folder / (stem + ".so");
    std::ofstream file(cpp);
    file << "#include \"" FLASH_SOURCE_ROOT "/tests/jit/emulation.h\"\n"
         << emit::cuda_dialect().prelude;
    for (const auto& [entry, text] : texts)
      file << "namespace in_" << entry << " {\n" << text << "}\n" << undefined(text);
    file.close();
    const std::string command = std::string(FLASH_TEST_CXX) +
                                " -std=c++20 -O1 -ffp-contract=off -w -shared -fPIC -o " +
                                so.string() + " " + cpp.string();
    if (std::system(command.c_str()) == 0) library_ = dlopen(so.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library_ != nullptr) fs::remove_all(folder);  // left there when something is wrong
    REQUIRE((library_ != nullptr));
    emulate_ = reinterpret_cast<Emulate>(dlsym(library_, "emulate"));
    REQUIRE((emulate_ != nullptr));
  }
  ~EmulatedLeaves() {
    if (library_ != nullptr) dlclose(library_);
  }
  EmulatedLeaves(const EmulatedLeaves&) = delete;
  EmulatedLeaves& operator=(const EmulatedLeaves&) = delete;

  void run(const gpu::LeafLaunch& l) const {
    const auto kernel = reinterpret_cast<Kernel>(dlsym(library_, std::string(l.entry).c_str()));
    REQUIRE((kernel != nullptr));
    emulate_(kernel, static_cast<unsigned>(l.grid), static_cast<unsigned>(l.x),
             static_cast<unsigned>(l.y), reinterpret_cast<std::uintptr_t>(l.words.data()), l.tiles);
  }

 private:
  using Kernel = void (*)(unsigned long long, long long);
  using Emulate = void (*)(Kernel, unsigned, unsigned, unsigned, unsigned long long, long long);

  static std::string undefined(const std::string& text) {
    std::string all;
    const std::string define = "#define ";
    for (std::size_t at = text.find(define); at != std::string::npos;
         at = text.find(define, at + 1)) {
      const std::size_t first = at + define.size();
      all += "#undef " + text.substr(first, text.find_first_of(" (\n", first) - first) + "\n";
    }
    return all;
  }

  void* library_ = nullptr;
  Emulate emulate_ = nullptr;
};

/// Calls that are collected, then compiled together, run and compared.
class LeafCalls {
 public:
  explicit LeafCalls(const gpu::Capabilities& device = {}) : device_(device), faults_(faults()) {}

  /// The device for the calls that follow.
  void set_device(const gpu::Capabilities& device) { device_ = device; }

  /// Adds a call whose result the CPU's kernel gives now.
  void add(Prim op, std::initializer_list<const cpu::testing::Array*> inputs, DType t,
           const Shape& shape, const std::vector<std::int64_t>& attrs = {}) {
    std::vector<Operand> operands;
    for (const auto* x : inputs) operands.push_back(x->operand());
    add(op, operands, t, shape, attrs);
  }
  void add(Prim op, const std::vector<Operand>& inputs, DType t, const Shape& shape,
           const std::vector<std::int64_t>& attrs = {}) {
    Call& c = prepare(op, inputs, t, shape, attrs);
    cpu::testing::Array want(t, shape);
    LeafCall call = c.call();
    call.output.data = want.operand().data;
    cpu::run_leaf(call);
    c.want = want.bytes();
  }
  /// Adds a call that has a bad index.
  void add_bad(Prim op, std::initializer_list<const cpu::testing::Array*> inputs, DType t,
               const Shape& shape) {
    std::vector<Operand> operands;
    for (const auto* x : inputs) operands.push_back(x->operand());
    prepare(op, operands, t, shape, {});
  }

  /// Runs all calls; checks each result, that nothing else was written, and that no fault came.
  void check() {
    run();
    CHECK(message() == std::nullopt);
    for (const Call& c : calls_) {
      if (difference(c) == "") continue;
      INFO(c.about());
      CHECK(difference(c) == "");
    }
    MESSAGE(calls_.size() << " calls, " << launches << " launches of " << texts_.size()
                          << " sources, " << elements << " elements compared");
  }
  void run() {
    const EmulatedLeaves code(texts_);
    for (const Call& c : calls_)
      for (const gpu::LeafLaunch& l : c.launches) {
        code.run(l);
        ++launches;
      }
  }
  std::optional<std::string> message() const { return gpu::fault_message(faults_); }
  const std::set<std::string>& entries() const { return entries_; }

  std::size_t launches = 0, elements = 0;

 private:
  static constexpr std::size_t kGuard = 64;
  static constexpr std::byte kUnset{0xfe};

  struct Call {
    Prim op{};
    std::vector<Operand> inputs;
    Operand output;
    std::vector<std::int64_t> attrs;
    std::vector<std::byte> memory;
    std::deque<std::vector<std::byte>> scratch;
    std::vector<gpu::LeafLaunch> launches;
    std::string want;

    LeafCall call() const {
      LeafCall c;
      c.op = op;
      c.inputs = inputs;
      c.output = output;
      c.attrs = attrs;
      return c;
    }
    std::string about() const {
      std::string s(info(op).name);
      s += " " + std::string(name(output.dtype));
      for (const Operand& x : inputs) s += " " + x.shape.str() + "/" + x.strides.str();
      s += " ->";
      for (const gpu::LeafLaunch& l : launches) s += " " + std::string(l.entry);
      return s;
    }
  };

  static std::vector<std::int64_t> faults() {
    return std::vector<std::int64_t>(static_cast<std::size_t>(gpu::kFaultWords), 0);
  }

  Call& prepare(Prim op, const std::vector<Operand>& inputs, DType t, const Shape& shape,
                const std::vector<std::int64_t>& attrs) {
    Call& c = calls_.emplace_back();
    c.op = op;
    c.inputs = inputs;
    c.attrs = attrs;
    const auto bytes = static_cast<std::size_t>(shape.numel() * size_of(t));
    c.memory.assign(bytes + 2 * kGuard, kUnset);
    c.output = {c.memory.data() + kGuard, t, shape, contiguous_strides(shape)};
    const auto scratch = [&](std::size_t n) -> void* {
      return c.scratch.emplace_back(n, kUnset).data();
    };
    c.launches = gpu::leaf_launches(c.call(), device_, {scratch, faults_.data(), ++serial_});
    for (const gpu::LeafLaunch& l : c.launches) {
      texts_.emplace(l.entry, l.source);
      entries_.insert(std::string(l.entry));
    }
    return c;
  }

  /// What differs, NaNs alike.
  std::string difference(const Call& c) {
    using cpu::testing::get;
    const std::byte* got = c.memory.data() + kGuard;
    const auto size = static_cast<std::size_t>(size_of(c.output.dtype));
    const std::int64_t count = c.output.shape.numel();
    for (std::size_t i = 0; i < kGuard; ++i)
      if (c.memory[i] != kUnset || c.memory[c.memory.size() - 1 - i] != kUnset)
        return "written beside the output";
    for (std::int64_t i = 0; i < count; ++i) {
      const auto at = static_cast<std::size_t>(i) * size;
      if (std::memcmp(got + at, c.want.data() + at, size) == 0) continue;
      const double g = get(c.output.dtype, got, i), w = get(c.output.dtype, c.want.data(), i);
      if (g != g && w != w) continue;
      return "element " + std::to_string(i) + ": " + std::to_string(g) + ", the CPU " +
             std::to_string(w);
    }
    elements += static_cast<std::size_t>(count);
    return "";
  }

  gpu::Capabilities device_;
  std::vector<std::int64_t> faults_;
  std::int64_t serial_ = 0;
  std::deque<Call> calls_;
  std::map<std::string, std::string> texts_;
  std::set<std::string> entries_;
};

}  // namespace flash::test
