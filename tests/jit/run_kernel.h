// tests/jit/run_kernel.h -- builds a kernel together with its ArgBlock and runs it on any emitter
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "jit/emit/emit.h"
#include "jit/ir/builder.h"
#include "jit/ir/kernel.h"

namespace flash::test {

enum class Target { kInterpreter, kAvx2, kAvx512 };

/// What can run here: the interpreter always, x86 code where the build and the CPU have it.
std::vector<Target> targets();
std::string name(Target t);
std::unique_ptr<emit::Code> compile(const ir::Kernel& k, Target t);

/// A loop nest under construction: every access brings its own pointer and strides.
class Nest {
 public:
  struct Axis {
    ir::Role role;
    std::int64_t extent;
  };

  Nest(ir::Form form, std::vector<Axis> axes);

  /// `byte_strides`: one an axis. Steps follow: 0 → kZero, one element on the vector axis → kUnit.
  int access(DType dtype, const void* data, std::vector<std::int64_t> byte_strides);
  int word(ir::Word w);                   ///< appends a word, returns its index
  int iota(std::vector<ir::Word> words);  ///< offset, then one stride an axis; for Builder::iota
  int partials(DType dtype, std::int64_t elements);  ///< an access with a buffer of its own
  void set_chunk(std::int64_t chunk);                ///< elements of the vector axis in one tile

  /// What runs a kernel's tiles 0 … tiles - 1.
  using Runner = std::function<void(const ir::Kernel&, const ir::Word* args, std::int64_t tiles)>;

  void run(const Runner& runner);
  void run_split(const Runner& runner, std::int64_t part_blocks);
  /// Every tile, in one call or (backwards, so that order shows) one by one.
  void run(Target t, bool one_by_one = false);
  /// The same result in mode kSplit with that many blocks a part, one tile a call, last one first.
  void run_split(Target t, std::int64_t part_blocks);

  std::int64_t grid_points() const;
  /// The buffers of partials().
  std::vector<std::span<unsigned char>> partial_memory() const;
  ir::Kernel kernel;
  ir::Builder b;
  std::vector<ir::Word> args;

 private:
  ir::Word extent(int axis) const { return args[static_cast<std::size_t>(ir::kArgExtents + axis)]; }
  std::vector<std::unique_ptr<std::vector<double>>> buffers_;
};

/// Applies `f` to every element of `in` in a one-dimensional map kernel.
using UnaryF = std::function<ir::Value(ir::Builder&, ir::Value)>;
using BinaryF = std::function<ir::Value(ir::Builder&, ir::Value, ir::Value)>;
template <class To, class From>
std::vector<To> map(Target t, const UnaryF& f, const std::vector<From>& in);
template <class To, class From>
std::vector<To> map(Target t, const BinaryF& f, const std::vector<From>& a,
                    const std::vector<From>& b);

/// Register type of a C++ type.
template <class T>
constexpr ir::Type type_of() {
  return std::is_same_v<T, float>     ? ir::Type::kF32
         : std::is_same_v<T, double>  ? ir::Type::kF64
         : std::is_same_v<T, int64_t> ? ir::Type::kI64
                                      : ir::Type::kI32;
}

template <class To, class From>
std::vector<To> map(Target t, const UnaryF& f, const std::vector<From>& in) {
  return map<To, From>(
      t, [&f](ir::Builder& b, ir::Value x, ir::Value) { return f(b, x); }, in, in);
}

template <class To, class From>
std::vector<To> map(Target t, const BinaryF& f, const std::vector<From>& a,
                    const std::vector<From>& b) {
  std::vector<To> out(a.size());
  Nest nest(ir::Form::kRow, {{ir::Role::kLoop, static_cast<std::int64_t>(a.size())}});
  const int at_a = nest.access(dtype_of<From>, a.data(), {sizeof(From)});
  const int at_b = nest.access(dtype_of<From>, b.data(), {sizeof(From)});
  const int at_out = nest.access(dtype_of<To>, out.data(), {sizeof(To)});
  nest.b.begin_loop();
  const ir::Value x = nest.b.load(at_a, type_of<From>());
  const ir::Value y = nest.b.load(at_b, type_of<From>());
  nest.b.store(at_out, f(nest.b, x, y));
  nest.run(t);
  return out;
}

}  // namespace flash::test
