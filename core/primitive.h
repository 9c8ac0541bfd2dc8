// core/primitive.h -- the primitives: one constexpr table of everything a trace can hold
//
// All other operations (softmax, norms, losses, optimizers) are compositions of these.
// The enum values are the stable ids of the serial form: append, never reorder.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "dtype.h"

namespace flash {

enum class Prim : std::uint8_t {
  // sources
  kInput,    // a materialised value
  kScalar,   // 0-d; attrs: [bits of the value in its dtype's compute type]
  kIota,     // i64 index along an axis; attrs: [axis | start, step]
  kUniform,  // [0, 1); attrs: [| seed, first block]: element i is word i % 4 of Philox block first
             // + i / 4
  kView,     // index map of its input's storage; attrs: see ViewAttrs
  kExpand,   // broadcast to the node's shape
  // element-wise, one operand
  kCopy,
  kCast,
  kNeg,
  kAbs,
  kSqrt,
  kRsqrt,
  kExp,
  kExpm1,
  kLog,
  kLog1p,
  kTanh,
  kSigmoid,
  kErf,
  kSin,
  kCos,
  kFloor,
  kCeil,
  kRound,
  kTrunc,
  kNot,  // bool: logical; integers: bitwise
  // element-wise, two operands of one dtype, broadcast
  kAdd,
  kSub,
  kMul,
  kDiv,       // floats IEEE; integers toward zero
  kFloorDiv,  // toward -inf
  kRem,       // sign of the divisor (torch.remainder)
  kFmod,      // sign of the dividend
  kPow,
  kMaximum,
  kMinimum,
  kEq,
  kNe,
  kLt,
  kLe,
  kAnd,
  kOr,
  kXor,
  kShl,
  kShr,
  // element-wise, three operands
  kWhere,  // bool, T, T
  kFma,
  // reductions; attrs: [mask of axes, keepdim]
  kSum,
  kProd,
  kMax,
  kMin,
  // storage
  kUpdate,  // (base, value): base with value written through a view; attrs: [| offset, strides…,
            // shape…]
  // leaf kernels
  kMatmul,       // (a [..., M, K], b [..., K, N], bias [N]?) → [..., M, N]; batch dims equal or 1
  kConv2d,       // (x [N,C,H,W], w [O,C/g,KH,KW], bias [O]?); attrs: ConvAttrs
  kConv2dDx,     // (dy, w) → dx; attrs: ConvAttrs, H, W
  kConv2dDw,     // (dy, x) → dw; attrs: ConvAttrs, KH, KW
  kMaxPool2d,    // (x); attrs: PoolAttrs
  kMaxPool2dDx,  // (dy, x) → dx: to the first maximum of each window
  kAvgPool2d,
  kAvgPool2dDx,     // (dy) → dx; attrs: PoolAttrs, H, W
  kGatherRows,      // (table [V, D], index i64 [...]) → [..., D]
  kScatterAddRows,  // (dy [..., D], index i64 [...]) → [V, D]; attrs: [| V]
  kSilu,            // element-wise: x sigmoid(x), rounded once
  kGelu,            // element-wise: x Φ(x), Φ by the tail: small results keep their digits
  kCount
};

enum class PrimKind : std::uint8_t { kSource, kView, kMap, kReduce, kUpdate, kLeaf };

/// How the result's dtype follows from the operands'.
enum class DTypeRule : std::uint8_t { kSame, kBool, kAttr };

/// Operand dtypes a primitive takes.
enum class Takes : std::uint8_t { kAny, kNumber, kFloat, kInteger, kBits, kBool };

/// By rule, the dtypes that it takes: bit d stands for dtype d.
inline constexpr auto kTaken = [] {
  constexpr unsigned kAll = (1u << kNumDTypes) - 1, kBool = 1u << static_cast<int>(DType::kBool),
                     kIntegral = (1u << static_cast<int>(DType::kF16)) - 1;
  return std::array{kAll, kAll & ~kBool, kAll & ~kIntegral, kIntegral & ~kBool, kIntegral, kBool};
}();
/// True if a primitive with this rule takes operands of dtype `d`.
constexpr bool takes(Takes rule, DType d) {
  return kTaken[static_cast<std::size_t>(rule)] >> static_cast<int>(d) & 1;
}
static_assert(takes(Takes::kFloat, DType::kF16) && !takes(Takes::kFloat, DType::kI64) &&
              takes(Takes::kInteger, DType::kU8) && !takes(Takes::kInteger, DType::kBool));

struct PrimInfo {
  Prim id;
  std::string_view name;
  PrimKind kind;
  int min_inputs, max_inputs;
  DTypeRule dtype;
  Takes takes;
  int static_attrs;  ///< leading attributes that are part of a plan's key; the rest are parameters
  bool cheap;        ///< a few instructions an element: may be recomputed instead of stored
};

// clang-format off
inline constexpr std::array<PrimInfo, static_cast<std::size_t>(Prim::kCount)> kPrims{{
    {Prim::kInput, "input", PrimKind::kSource, 0, 0, DTypeRule::kAttr, Takes::kAny, 0, false},
    {Prim::kScalar, "scalar", PrimKind::kSource, 0, 0, DTypeRule::kAttr, Takes::kAny, 0, true},
    {Prim::kIota, "iota", PrimKind::kSource, 0, 0, DTypeRule::kAttr, Takes::kAny, 1, true},
    {Prim::kUniform, "uniform", PrimKind::kSource, 0, 0, DTypeRule::kAttr, Takes::kFloat, 0, false},
    {Prim::kView, "view", PrimKind::kView, 1, 1, DTypeRule::kSame, Takes::kAny, 2, true},
    {Prim::kExpand, "expand", PrimKind::kMap, 1, 1, DTypeRule::kSame, Takes::kAny, 0, true},
    {Prim::kCopy, "copy", PrimKind::kMap, 1, 1, DTypeRule::kSame, Takes::kAny, 0, true},
    {Prim::kCast, "cast", PrimKind::kMap, 1, 1, DTypeRule::kAttr, Takes::kAny, 1, true},
    {Prim::kNeg, "neg", PrimKind::kMap, 1, 1, DTypeRule::kSame, Takes::kNumber, 0, true},
    {Prim::kAbs, "abs", PrimKind::kMap, 1, 1, DTypeRule::kSame, Takes::kNumber, 0, true},
    {Prim::kSqrt, "sqrt", PrimKind::kMap, 1, 1, DTypeRule::kSame, Takes::kFloat, 0, true},
    {Prim::kRsqrt, "rsqrt", PrimKind::kMap, 1, 1, DTypeRule::kSame, Takes::kFloat, 0, true},
    {Prim::kExp, "exp", PrimKind::kMap, 1, 1, DTypeRule::kSame, Takes::kFloat, 0, false},
    {Prim::kExpm1, "expm1", PrimKind::kMap, 1, 1, DTypeRule::kSame, Takes::kFloat, 0, false},
    {Prim::kLog, "log", PrimKind::kMap, 1, 1, DTypeRule::kSame, Takes::kFloat, 0, false},
    {Prim::kLog1p, "log1p", PrimKind::kMap, 1, 1, DTypeRule::kSame, Takes::kFloat, 0, false},
    {Prim::kTanh, "tanh", PrimKind::kMap, 1, 1, DTypeRule::kSame, Takes::kFloat, 0, false},
    {Prim::kSigmoid, "sigmoid", PrimKind::kMap, 1, 1, DTypeRule::kSame, Takes::kFloat, 0, false},
    {Prim::kErf, "erf", PrimKind::kMap, 1, 1, DTypeRule::kSame, Takes::kFloat, 0, false},
    {Prim::kSin, "sin", PrimKind::kMap, 1, 1, DTypeRule::kSame, Takes::kFloat, 0, false},
    {Prim::kCos, "cos", PrimKind::kMap, 1, 1, DTypeRule::kSame, Takes::kFloat, 0, false},
    {Prim::kFloor, "floor", PrimKind::kMap, 1, 1, DTypeRule::kSame, Takes::kFloat, 0, true},
    {Prim::kCeil, "ceil", PrimKind::kMap, 1, 1, DTypeRule::kSame, Takes::kFloat, 0, true},
    {Prim::kRound, "round", PrimKind::kMap, 1, 1, DTypeRule::kSame, Takes::kFloat, 0, true},
    {Prim::kTrunc, "trunc", PrimKind::kMap, 1, 1, DTypeRule::kSame, Takes::kFloat, 0, true},
    {Prim::kNot, "not", PrimKind::kMap, 1, 1, DTypeRule::kSame, Takes::kBits, 0, true},
    {Prim::kAdd, "add", PrimKind::kMap, 2, 2, DTypeRule::kSame, Takes::kAny, 0, true},
    {Prim::kSub, "sub", PrimKind::kMap, 2, 2, DTypeRule::kSame, Takes::kNumber, 0, true},
    {Prim::kMul, "mul", PrimKind::kMap, 2, 2, DTypeRule::kSame, Takes::kAny, 0, true},
    {Prim::kDiv, "div", PrimKind::kMap, 2, 2, DTypeRule::kSame, Takes::kNumber, 0, true},
    {Prim::kFloorDiv, "floor_divide", PrimKind::kMap, 2, 2, DTypeRule::kSame, Takes::kNumber, 0, true},
    {Prim::kRem, "remainder", PrimKind::kMap, 2, 2, DTypeRule::kSame, Takes::kNumber, 0, true},
    {Prim::kFmod, "fmod", PrimKind::kMap, 2, 2, DTypeRule::kSame, Takes::kNumber, 0, true},
    {Prim::kPow, "pow", PrimKind::kMap, 2, 2, DTypeRule::kSame, Takes::kNumber, 0, false},
    {Prim::kMaximum, "maximum", PrimKind::kMap, 2, 2, DTypeRule::kSame, Takes::kAny, 0, true},
    {Prim::kMinimum, "minimum", PrimKind::kMap, 2, 2, DTypeRule::kSame, Takes::kAny, 0, true},
    {Prim::kEq, "eq", PrimKind::kMap, 2, 2, DTypeRule::kBool, Takes::kAny, 0, true},
    {Prim::kNe, "ne", PrimKind::kMap, 2, 2, DTypeRule::kBool, Takes::kAny, 0, true},
    {Prim::kLt, "lt", PrimKind::kMap, 2, 2, DTypeRule::kBool, Takes::kAny, 0, true},
    {Prim::kLe, "le", PrimKind::kMap, 2, 2, DTypeRule::kBool, Takes::kAny, 0, true},
    {Prim::kAnd, "bitwise_and", PrimKind::kMap, 2, 2, DTypeRule::kSame, Takes::kBits, 0, true},
    {Prim::kOr, "bitwise_or", PrimKind::kMap, 2, 2, DTypeRule::kSame, Takes::kBits, 0, true},
    {Prim::kXor, "bitwise_xor", PrimKind::kMap, 2, 2, DTypeRule::kSame, Takes::kBits, 0, true},
    {Prim::kShl, "bitwise_left_shift", PrimKind::kMap, 2, 2, DTypeRule::kSame, Takes::kInteger, 0, true},
    {Prim::kShr, "bitwise_right_shift", PrimKind::kMap, 2, 2, DTypeRule::kSame, Takes::kInteger, 0, true},
    {Prim::kWhere, "where", PrimKind::kMap, 3, 3, DTypeRule::kAttr, Takes::kAny, 0, true},
    {Prim::kFma, "fma", PrimKind::kMap, 3, 3, DTypeRule::kSame, Takes::kFloat, 0, true},
    {Prim::kSum, "sum", PrimKind::kReduce, 1, 1, DTypeRule::kSame, Takes::kNumber, 2, false},
    {Prim::kProd, "prod", PrimKind::kReduce, 1, 1, DTypeRule::kSame, Takes::kNumber, 2, false},
    {Prim::kMax, "amax", PrimKind::kReduce, 1, 1, DTypeRule::kSame, Takes::kAny, 2, false},
    {Prim::kMin, "amin", PrimKind::kReduce, 1, 1, DTypeRule::kSame, Takes::kAny, 2, false},
    {Prim::kUpdate, "update", PrimKind::kUpdate, 2, 2, DTypeRule::kSame, Takes::kAny, 0, false},
    {Prim::kMatmul, "matmul", PrimKind::kLeaf, 2, 3, DTypeRule::kSame, Takes::kFloat, 0, false},
    {Prim::kConv2d, "conv2d", PrimKind::kLeaf, 2, 3, DTypeRule::kSame, Takes::kFloat, 0, false},
    {Prim::kConv2dDx, "conv2d_dx", PrimKind::kLeaf, 2, 2, DTypeRule::kSame, Takes::kFloat, 0, false},
    {Prim::kConv2dDw, "conv2d_dw", PrimKind::kLeaf, 2, 2, DTypeRule::kSame, Takes::kFloat, 0, false},
    {Prim::kMaxPool2d, "max_pool2d", PrimKind::kLeaf, 1, 1, DTypeRule::kSame, Takes::kFloat, 0, false},
    {Prim::kMaxPool2dDx, "max_pool2d_dx", PrimKind::kLeaf, 2, 2, DTypeRule::kSame, Takes::kFloat, 0, false},
    {Prim::kAvgPool2d, "avg_pool2d", PrimKind::kLeaf, 1, 1, DTypeRule::kSame, Takes::kFloat, 0, false},
    {Prim::kAvgPool2dDx, "avg_pool2d_dx", PrimKind::kLeaf, 1, 1, DTypeRule::kSame, Takes::kFloat, 0, false},
    {Prim::kGatherRows, "gather_rows", PrimKind::kLeaf, 2, 2, DTypeRule::kSame, Takes::kAny, 0, false},
    {Prim::kScatterAddRows, "scatter_add_rows", PrimKind::kLeaf, 2, 2, DTypeRule::kSame, Takes::kFloat, 0, false},
    {Prim::kSilu, "silu", PrimKind::kMap, 1, 1, DTypeRule::kSame, Takes::kFloat, 0, false},
    {Prim::kGelu, "gelu", PrimKind::kMap, 1, 1, DTypeRule::kSame, Takes::kFloat, 0, false},
}};
// clang-format on

/// The most operands that a primitive takes.
inline constexpr int kMaxInputs = [] {
  int most = 0;
  for (const PrimInfo& p : kPrims) most = p.max_inputs > most ? p.max_inputs : most;
  return most;
}();

constexpr const PrimInfo& info(Prim p) { return kPrims[static_cast<std::size_t>(p)]; }

static_assert(
    [] {
      for (std::size_t i = 0; i < kPrims.size(); ++i)
        if (static_cast<std::size_t>(kPrims[i].id) != i) return false;
      return true;
    }(),
    "kPrims is in the order of Prim");

/// Attributes of kConv2d and its backwards: [stride h, w, padding h, w, dilation h, w, groups].
inline constexpr int kConvAttrs = 7;
/// Attributes of pools: [kernel h, w, stride h, w, padding h, w, count_include_pad].
inline constexpr int kPoolAttrs = 7;

/// Attributes of kView: [kind, dims, | offset, strides…]. Offset and strides (elements) are
/// relative to the input's contiguous storage. `dims` packs, for kind kDims, the input dimension
/// that each dimension of the view walks, 4 bits each (15: none, stride 0).
enum class ViewKind : std::int64_t {
  kDims,    // squeezes, unsqueezes, permutes, expands: dimensions kept whole
  kFlat,    // another shape of the same row-major order
  kStrided  // anything else: slices, flips, windows
};

/// Takes an index operand (its second) whose values can be out of range.
constexpr bool takes_index(Prim op) {
  return op == Prim::kGatherRows || op == Prim::kScatterAddRows;
}
/// What its users know such an op as.
constexpr std::string_view index_user(Prim op) {
  return op == Prim::kGatherRows ? "embedding" : "embedding's gradient";
}

}  // namespace flash
