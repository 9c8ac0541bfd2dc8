// tests/kernels/gpu_leaf_testing.h -- runs GPU leaf kernels on the host and compares them with the
// CPU's, bit by bit
#pragma once

#include <doctest/doctest.h>

#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "emulation/engine.h"
#include "epilogue_testing.h"
#include "jit/emit/clike/clike.h"
#include "kernels/gpu/fault.h"
#include "kernels/gpu/leaf.h"
#include "leaf_testing.h"

namespace flash::test {

/// Memory that the running kernel may touch.
class Touchable {
 public:
  static void clear() { ranges().clear(); }
  static void add(const void* at, std::size_t bytes) {
    const auto first = reinterpret_cast<std::uintptr_t>(at);
    ranges().push_back({first, first + bytes});
  }
  static void add(const Operand& x) {  // from its lowest element to its highest one
    std::int64_t low = 0, high = 0;
    if (x.shape.numel() == 0) return;
    for (int d = 0; d < x.shape.rank(); ++d) {
      const std::int64_t reach = (x.shape[d] - 1) * x.strides[d];
      (reach < 0 ? low : high) += reach;
    }
    const std::int64_t size = size_of(x.dtype);
    add(static_cast<const char*>(x.data) + low * size,
        static_cast<std::size_t>((high - low + 1) * size));
  }
  static bool covers(const void* at, std::size_t bytes) {
    const auto first = reinterpret_cast<std::uintptr_t>(at);
    for (const auto& [begin, end] : ranges())
      if (first >= begin && first + bytes <= end) return true;
    return false;
  }

 private:
  static std::vector<std::pair<std::uintptr_t, std::uintptr_t>>& ranges() {
    static std::vector<std::pair<std::uintptr_t, std::uintptr_t>> all;
    return all;
  }
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
    Call& c = prepare(calls_.emplace_back(), op, inputs, t, shape, attrs);
    cpu::testing::Array want(t, shape);
    LeafCall call = c.call();
    call.output.data = want.operand().data;
    cpu::run_leaf(call);
    c.want = want.bytes();
  }
  /// Adds a call with an epilogue (TestEpilogue), whose result is compared as well.
  void add_with_epilogue(Prim op, std::initializer_list<const cpu::testing::Array*> inputs, DType t,
                         const Shape& shape, const std::vector<std::int64_t>& attrs = {}) {
    using cpu::testing::Array;
    std::vector<Operand> operands;
    for (const auto* x : inputs) operands.push_back(x->operand());
    Call& c = calls_.emplace_back();
    c.other.emplace(t, shape).fill(static_cast<std::uint64_t>(serial_));
    c.result.emplace(t, shape);
    prepare(c, op, operands, t, shape, attrs);
    Array want(t, shape), want_result(t, shape);
    const cpu::testing::TestEpilogue epilogue(want, *c.other, want_result);
    LeafCall call = c.call();
    call.output.data = want.operand().data;
    call.epilogue = &epilogue.get();
    cpu::run_leaf(call);
    c.want = want.bytes();
    c.want_result = want_result.bytes();
  }
  /// Adds a call that has a bad index.
  void add_bad(Prim op, std::initializer_list<const cpu::testing::Array*> inputs, DType t,
               const Shape& shape) {
    std::vector<Operand> operands;
    for (const auto* x : inputs) operands.push_back(x->operand());
    prepare(calls_.emplace_back(), op, operands, t, shape, {});
  }

  /// Runs all calls; checks each result, that nothing else was written, and that no fault came.
  void check(bool checks = false) {
    run(checks);
    CHECK(message() == std::nullopt);
    for (const Call& c : calls_) {
      if (difference(c) == "") continue;
      INFO(c.about());
      CHECK(difference(c) == "");
    }
    MESSAGE(calls_.size() << " calls, " << launches << " launches of " << libraries_.size()
                          << " sources, " << elements << " elements compared");
  }
  /// Runs all calls; nothing may be wrong with a launch. With checks, races and touches of memory
  /// that is not the call's are.
  void run(bool checks = false) {
    for (Call& c : calls_) {
      Touchable::clear();
      for (const Operand& x : c.inputs) Touchable::add(x);
      Touchable::add(c.output);
      if (c.epilogue) {
        Touchable::add(c.other->operand());
        Touchable::add(c.result->operand());
      }
      for (const auto& scratch : c.scratch) Touchable::add(scratch.data(), scratch.size());
      Touchable::add(faults_.data(), faults_.size() * sizeof(std::int64_t));
      for (const gpu::LeafLaunch& l : c.launches) {
        Touchable::add(l.words.data(), l.words.size() * sizeof(std::int64_t));
        const emulation::Library& library = library_of(c, l, checks);
        const emulation::Launch launch{library.entry(std::string(l.entry)),
                                       static_cast<unsigned>(l.grid),
                                       static_cast<unsigned>(l.x),
                                       static_cast<unsigned>(l.y),
                                       reinterpret_cast<std::uintptr_t>(l.words.data()),
                                       l.tiles,
                                       checks ? Touchable::covers : nullptr};
        REQUIRE((launch.entry != nullptr));
        const std::string wrong = emulation::run(library, launch);
        if (wrong != "") {
          INFO(c.about());
          CHECK(wrong == "");
        }
        ++launches;
      }
    }
  }
  std::optional<std::string> message() const { return gpu::fault_message(faults_); }
  bool used(const std::string& entry) const { return libraries_.count(entry) == 1; }

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
    // With an epilogue:
    std::optional<cpu::testing::Array> other, result;
    std::unique_ptr<cpu::testing::TestEpilogue> epilogue;
    std::string want_result;

    LeafCall call() const {
      LeafCall c;
      if (epilogue) c.epilogue = &epilogue->get();
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

  const emulation::Library& library_of(const Call& c, const gpu::LeafLaunch& l, bool checks) {
    std::string key(l.entry), source(l.source);
    if (!l.epilogue_index.empty()) {
      const std::string text = emit::clike_epilogue(c.epilogue->ir());
      source = gpu::with_epilogue(l.source, text, l.epilogue_index);
      key += "+" + text;
    }
    std::unique_ptr<emulation::Library>& library = libraries_[key];
    if (!library) {
      const emulation::Compiled code =
          emulation::compile(emit::cuda_dialect().prelude->source(source), {checks, {}});
      INFO(code.log);
      REQUIRE(code.ok);
      library = std::make_unique<emulation::Library>(code.library);
    }
    return *library;
  }

  static std::vector<std::int64_t> faults() {
    return std::vector<std::int64_t>(static_cast<std::size_t>(gpu::kFaultWords), 0);
  }

  Call& prepare(Call& c, Prim op, const std::vector<Operand>& inputs, DType t, const Shape& shape,
                const std::vector<std::int64_t>& attrs) {
    c.op = op;
    c.inputs = inputs;
    c.attrs = attrs;
    const auto bytes = static_cast<std::size_t>(shape.numel() * size_of(t));
    c.memory.assign(bytes + 2 * kGuard, kUnset);
    c.output = {c.memory.data() + kGuard, t, shape, contiguous_strides(shape)};
    if (c.result)
      c.epilogue = std::make_unique<cpu::testing::TestEpilogue>(c.output, c.other->operand(),
                                                                c.result->operand());
    const auto scratch = [&](std::size_t n) -> void* {
      return c.scratch.emplace_back(n, kUnset).data();
    };
    c.launches = gpu::leaf_launches(c.call(), device_, {scratch, faults_.data(), ++serial_});
    return c;
  }

  /// What differs, NaNs alike.
  std::string difference(const Call& c) {
    for (std::size_t i = 0; i < kGuard; ++i)
      if (c.memory[i] != kUnset || c.memory[c.memory.size() - 1 - i] != kUnset)
        return "written beside the output";
    std::string s = difference(c.output, c.want);
    if (s.empty() && c.epilogue) {
      s = difference(c.result->operand(), c.want_result);
      if (!s.empty()) s = "epilogue, " + s;
    }
    return s;
  }
  std::string difference(const Operand& out, const std::string& wanted) {
    using cpu::testing::get;
    const auto* got = static_cast<const std::byte*>(out.data);
    const auto size = static_cast<std::size_t>(size_of(out.dtype));
    const std::int64_t count = out.shape.numel();
    for (std::int64_t i = 0; i < count; ++i) {
      const auto at = static_cast<std::size_t>(i) * size;
      if (std::memcmp(got + at, wanted.data() + at, size) == 0) continue;
      const double g = get(out.dtype, got, i), w = get(out.dtype, wanted.data(), i);
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
  std::map<std::string, std::unique_ptr<emulation::Library>> libraries_;
};

}  // namespace flash::test
