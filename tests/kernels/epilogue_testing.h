// tests/kernels/epilogue_testing.h -- a compiled epilogue that also checks where a tile lies
#pragma once

#include <memory>
#include <vector>

#include "jit/emit/emit.h"
#include "jit/ir/builder.h"
#include "kernels/cpu/runtime.h"
#include "leaf_testing.h"

namespace flash::cpu::testing {

/// result = max(value, 0) · other + (flat index % 2^20): reads the leaf's output and another
/// operand, and uses an index, so that every kind of affine word has to move with the tile. Arrays
/// are f32, or halves.
class TestEpilogue {
 public:
  TestEpilogue(const Array& value, const Array& other, const Array& result)
      : TestEpilogue(value.operand(), other.operand(), result.operand()) {}
  /// All of them contiguous.
  TestEpilogue(const Operand& value, const Operand& other, const Operand& result) {
    const Shape& shape = value.shape;
    const int axes = shape.rank();
    ir::Kernel& k = ir_;
    k.name = "test_epilogue";
    k.mode = ir::Mode::kEpilogue;
    for (int i = 0; i + 1 < axes; ++i) k.axes.push_back(ir::Role::kGrid);
    k.axes.push_back(ir::Role::kLoop);
    int word = ir::kArgExtents + axes;
    std::vector<ir::Step> step(static_cast<std::size_t>(axes), ir::Step::kAny);
    step.back() = ir::Step::kUnit;
    const Operand* arrays[] = {&value, &other, &result};
    for (int i = 0; i < 3; ++i) {
      ir::Access access;
      access.dtype = arrays[i]->dtype;
      access.pointer = word;
      access.strides = word + 1;
      access.step = step;
      access.stored = i == 2;
      k.accesses.push_back(access);
      affine_.push_back({word, word + 1});
      word += 1 + axes;
    }
    const int iota = word;
    affine_.push_back({iota, iota + 1});
    word += 1 + axes;
    k.words = word;

    ir::Builder b(k);
    b.begin_loop();
    const ir::Value v = b.load(0, ir::Type::kF32), o = b.load(1, ir::Type::kF32);
    const ir::Value relu = b.binary(ir::Op::kMax, v, b.f32(0));
    const ir::Value index = b.cast(b.cast(b.iota(iota), ir::Type::kI32), ir::Type::kF32);
    b.store(2, b.fma(relu, o, index));
    ir::verify(k);
    kernel_ = std::make_unique<CpuKernel>(k, emit::compile_interpreter(k));

    args_.assign(static_cast<std::size_t>(word), 0);
    const Strides strides = contiguous_strides(shape);
    for (int i = 0; i < axes; ++i) args_[static_cast<std::size_t>(ir::kArgExtents + i)] = shape[i];
    for (int i = 0; i < 4; ++i) {
      const auto base = static_cast<std::size_t>(ir::kArgExtents + axes + i * (1 + axes));
      args_[base] = i < 3 ? reinterpret_cast<std::intptr_t>(arrays[i]->data) : 0;
      const std::int64_t size = i < 3 ? size_of(arrays[i]->dtype) : 1;
      for (int d = 0; d < axes; ++d)
        args_[base + 1 + static_cast<std::size_t>(d)] = strides[d] * size;
    }
    epilogue_.kernel = kernel_.get();
    epilogue_.args = args_.data();
    epilogue_.words = word;
    epilogue_.axes = axes;
    epilogue_.affine = affine_;
  }
  TestEpilogue(const TestEpilogue&) = delete;
  TestEpilogue& operator=(const TestEpilogue&) = delete;

  const Epilogue& get() const { return epilogue_; }
  const ir::Kernel& ir() const { return ir_; }
  static double expected(double value, double other, std::int64_t index) {
    return std::fma(static_cast<float>(value > 0 ? value : 0), static_cast<float>(other),
                    static_cast<float>(index));
  }

 private:
  ir::Kernel ir_;
  std::unique_ptr<CpuKernel> kernel_;
  std::vector<AffineWords> affine_;
  std::vector<std::int64_t> args_;
  Epilogue epilogue_;
};

}  // namespace flash::cpu::testing
