// tests/jit/wide_map.h -- maps of neighbours, in memory that is aligned or not
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "jit/ir/op_info.h"
#include "run_kernel.h"

namespace flash::test {

/// rows × n elements: out = in for each of two dtypes, and their sum in f32 where both are floats.
/// What they point into begins `shift` elements behind an aligned place.
struct WideMap {
  WideMap(DType s, DType t, std::int64_t rows, std::int64_t n, std::int64_t shift)
      : nest(ir::Form::kRow, {{ir::Role::kGrid, rows}, {ir::Role::kLoop, n}}) {
    const auto memory = [&](DType d) {
      const auto bytes = static_cast<std::size_t>((rows * n + shift) * size_of(d)) + 64;
      std::vector<unsigned char>& m = memories.emplace_back(bytes + 64);
      const std::size_t gap = (64 - reinterpret_cast<std::uintptr_t>(m.data()) % 64) % 64;
      const std::span<unsigned char>& all = used.emplace_back(m.data() + gap, bytes);
      for (std::size_t i = 0; i < bytes; ++i)
        all[i] = static_cast<unsigned char>(d == DType::kBool ? i % 3 % 2
                                            : is_floating(d)  ? i * 37 % 101  // no NaN
                                                              : i * 37 % 251);
      return all.data() + shift * size_of(d);
    };
    const auto access = [&](DType d) {
      return nest.access(d, memory(d), {n * size_of(d), size_of(d)});
    };
    const int in_s = access(s), in_t = access(t), out_s = access(s), out_t = access(t);
    nest.b.begin_loop();
    const ir::Value x = nest.b.load(in_s, ir::register_type(s));
    const ir::Value y = nest.b.load(in_t, ir::register_type(t));
    nest.b.store(out_s, x);
    nest.b.store(out_t, y);
    if (ir::register_type(s) == ir::Type::kF32 && ir::register_type(t) == ir::Type::kF32)
      nest.b.store(access(DType::kF32), nest.b.add(x, y));
  }
  Nest nest;
  std::deque<std::vector<unsigned char>> memories;
  std::vector<std::span<unsigned char>> used;  ///< of them, from an aligned place on
};

}  // namespace flash::test
