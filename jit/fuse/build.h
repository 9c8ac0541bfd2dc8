// jit/fuse/build.h -- from a group of nodes to a kernel and the recipe that fills its ArgBlock
#pragma once

#include <cstdint>
#include <vector>

#include "jit/fuse/group.h"
#include "jit/ir/kernel.h"

namespace flash::jit {

/// A size that is known at bind: a node's dimension, or one of its attributes (update's view
/// shape).
struct SizeOf {
  NodeId node = kNoNode;  ///< kNoNode: 1
  std::uint8_t index = 0;
  bool attr = false;
};

/// One memory operand: the value of `node`, walked as `view` shows it.
struct MemoryOperand {
  NodeId node = kNoNode;
  NodeId view = kNoNode;  ///< a kView node or the kUpdate node that is stored; kNoNode: contiguous
  int pointer = -1;       ///< word
  int strides = -1;       ///< first of one word an axis
  bool store = false;
  int loop = 0;                   ///< the loop (or the row section before it) that touches it
  std::vector<std::int8_t> dims;  ///< kernel axis → dimension whose stride it takes, -1: 0
};

/// A word that is neither a pointer, a stride nor an extent.
struct ScalarWord {
  enum Kind : std::uint8_t {
    kAttr,        // attribute `index` of `node`
    kSize,        // size of part `index`
    kInner,       // product of the sizes of parts index + 1 … end
    kStride,      // stride, in elements, of dimension `index` of operand `operand`
    kFlatStride,  // row-major stride of dimension `index` of `node`
  } kind;
  int word = 0;
  NodeId node = kNoNode;
  int index = 0, end = 0;
  int operand = -1;
};

/// The 1 + axes words of a kIota: offset, then a stride for each kernel axis.
struct IotaWords {
  enum Kind : std::uint8_t {
    kAxis,   // index along `axis`
    kRange,  // start + step · index along `axis`, of an iota node
    kFlat,   // row-major index in the shape of `node`; dims as in MemoryOperand
  } kind;
  int slot = 0;
  int axis = 0;
  NodeId node = kNoNode;
  std::vector<std::int8_t> dims;
};

/// How to fill the ArgBlock of a kernel from a trace with the plan's key.
struct BindSpec {
  std::vector<SizeOf> parts;           ///< the domain's axes before merging
  std::vector<std::vector<int>> axes;  ///< kernel axis → parts, outer to inner
  std::vector<MemoryOperand> operands;
  std::vector<ScalarWord> scalars;
  std::vector<IotaWords> iotas;
  std::vector<int> partials;  ///< word of each reduction's partial buffer
  std::vector<DType> partial_dtypes;
  int words = 0;
};

struct BuiltKernel {
  ir::Kernel kernel;  ///< mode kWhole, or kEpilogue
  BindSpec spec;
  bool splittable = false;  ///< the same kernel in mode kSplit is valid
};

/// Builds the kernel of a fused or update group, or the epilogue of a leaf group (one axis for each
/// dimension of the leaf's output).
BuiltKernel build_kernel(Graph& g, const Groups& groups, int group);

}  // namespace flash::jit
