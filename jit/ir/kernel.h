// jit/ir/kernel.h -- the kernel IR: one fused loop nest, all that an emitter ever sees
//
// A kernel is a loop nest over symbolic axes with a scalar SSA body. The fuser builds it, `verify`
// checks it, every emitter (x86, interpreter, later the C-like dialects) translates it. It knows
// nothing of traces or tensors. Extents, pointers, strides and scalars are read at run time from
// one block of 64-bit words (the ArgBlock); nothing of a size or a value is in the code.
//
//   axes      grid…  │ loop… │ lane          logical (row-major) order inside each role
//             └ tiles ┘└ sections ┘
//   sections  row, loop, row, loop, … row    executed in this order for each grid point
//
// FORM kRow      The last loop axis is the *run*: vector lanes go along it. No lane axis.
//                A kernel without reductions (a map) is kRow with exactly one loop axis and one
//                loop section; its run may be cut in chunks, one tile each. Every chunk runs the
//                row sections, so they store nothing.
// FORM kColumn   Reductions whose last non-unit axis is kept: vector lanes go along the lane axis,
//                all loop axes are walked one index at a time. A row-level value is one value
//                *per lane*.
//
// SECTIONS       A loop section runs its body once for every index of the loop axes; a row section
//                once a grid point (kColumn: once for every lane of a grid point). A value defined
//                in a loop section is visible to later instructions of that section only; a value
//                defined in a row section, to everything later. kReduce stands in a loop section
//                and defines a row-level value, visible after that section.
//
// ABI            void kernel(const Word* args, int64 tile_begin, int64 tile_end)
//                A tile t covers grid point t / chunks (row-major over the grid axes), chunk t %
//                chunks with chunks = args[kArgChunks], of args[kArgChunk] run elements (map) or
//                lanes (kColumn). A kRow kernel with reductions always has chunks = 1. Empty
//                extents do nothing, but row sections still run for each grid point (a sum over
//                nothing is 0).
//
// REDUCTION TREE (part of an op's meaning: the same in every emitter, for all vector widths and
// numbers of threads)
//   Let r = the extent of the last loop axis (the run), o = the product of the other loop axes. For
//   each outer index 0…o-1 in row-major order the run is cut into blocks of B elements (the last
//   one shorter).
//     kRow:    B = kRowBlock. A block has L = lanes(type) virtual lanes, all starting at the
//              identity; element j of the block is combined into lane j % L in order of j; then
//              lanes fold in halves: lane[i] = combine(lane[i], lane[i + h]) for h = L/2 … 1.
//     kColumn: B = kColumnBlock. One accumulator (for every lane of the lane axis) starts at the
//              identity and combines the block's elements in order.
//   Block results are combined pairwise in order of the blocks with a binary counter: push block k:
//     level = 0; v = result;
//     while (bit `level` of k is set) { v = combine(stack[level], v); ++level; }
//     stack[level] = v.
//   At the end (n blocks): v = identity if n == 0, else start with the stack entry of the lowest
//   set bit of n and, going up, v = combine(stack[bit], v) for each further set bit. combine(a, b)
//   is the scalar op (kAdd, kMul, kMax, kMin) with the earlier operand first. Identities: kSum +0,
//   kProd 1, kMax -inf / INT_MIN, kMin +inf / INT_MAX.
//
// MODE kSplit    The same bits from more tiles, for reductions with few grid points (chosen at bind
//                by size). Only for a kernel with exactly one loop section, which has reductions
//                and no row-level store before it. Tile t is part t % parts, with parts =
//                args[kArgParts], of what is tile t / parts in mode kWhole. A part has
//                args[kArgPartBlocks] blocks, a power of two (the last may have fewer), pushed
//                through the binary counter and ended as above: that is a node of the whole's tree.
//                Each reduction's result goes, type as is, to its partials' buffer, element
//                point * parts + part (kColumn: times the lane extent, plus the lane). Then the
//                part adds one to the tally of its whole tile. The part that makes it `parts` finds
//                all partials written: it sets the tally back to 0, pushes the partials in order
//                through the binary counter, and runs the row sections after the loop. Nobody
//                waits, and which part came last shows in no bit. Row sections before the loop run
//                for each part. The tallies are words of the ArgBlock, the first at args +
//                args[kArgTallies], 0 before and after a launch; nothing else in it is written.
//
// MODE kEpilogue A map that a leaf kernel calls on elements of its output which it has just stored:
//                its axes are the output's dimensions. It reads of the output only the element it
//                is called for, and may store there.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "core/dtype.h"

namespace flash::ir {

using Word = std::int64_t;   ///< one entry of an ArgBlock
using Value = std::int32_t;  ///< index of the defining instruction in Kernel::insts; kNone = absent
inline constexpr Value kNone = -1;

/// What a register lane holds. Narrow storage types are widened by loads: f16, bf16 → kF32;
/// bool, u8, i8, i16 → kI32 (bool as 0 or 1).
enum class Type : std::uint8_t { kPred, kI32, kI64, kF32, kF64 };

enum class Op : std::uint8_t {
  // -- sources
  kConst,   // imm: the value's bits (32-bit types in the low half, the rest 0); not kPred
  kScalar,  // slot: args[slot], same bits as kConst; not kPred
  kIota,    // kI64: args[iota.offset] + Σ index(axis) * args[iota.strides + axis] (see Index)
  // access; a = optional kI64 element index, times the element size added to the address;
  // guard = optional kPred: where it is false the lane is 0 and memory is not touched
  kLoad,
  // access; a = value; b = optional kI64 index as in kLoad; guard = optional kPred. Narrow ints
  // (bool too) take the low bits, f16 and bf16 are rounded as by kRoundF16 and kRoundBF16
  kStore,
  kReduce,  // reduce; a = value; guard = optional kPred: false leaves the lane as it is
  // -- float and integer arithmetic (integers wrap)
  kAdd,
  kSub,
  kMul,
  kDiv,    // floats: IEEE. integers: toward zero; x / 0 = 0, INT_MIN / -1 = INT_MIN
  kRem,    // integers only: a - kDiv(a, b) * b; x % 0 = x
  kNeg,    // floats: flips the sign bit
  kAbs,    // floats: clears the sign bit; integers: wraps for INT_MIN
  kMax,    // floats: NaN if either is NaN (a's first), else a > b ? a : b
  kMin,    // floats: NaN if either is NaN (a's first), else a < b ? a : b
  kFma,    // floats: a * b + c, rounded once
  kSqrt,   // correctly rounded
  kScale,  // floats: a * 2^b, rounded once; b integral, |b| <= 250 (f32) or 2000 (f64); a is 0 or
           // of magnitude 2^-20 … 2^20; or both NaN
  kFloor,  // kFloor … kTrunc: floats, to an integral float; -0 and NaN kept
  kCeil,
  kRint,  // to nearest, ties to even
  kTrunc,
  // -- bits (kI32, kI64)
  kAnd,
  kOr,
  kXor,
  kNot,
  kShl,     // b = count, taken modulo the width
  kShrA,    // arithmetic
  kShrL,    // logical
  kMulHiU,  // kI32: high half of the unsigned 32 × 32 → 64 product
  // -- comparisons → kPred (floats: IEEE, kNe is true for NaN)
  kEq,
  kNe,
  kLt,
  kLe,
  // -- predicates
  kPAnd,
  kPOr,
  kPNot,
  kSelect,  // a = kPred, b where true, c where false
  // -- conversions; `type` is the target
  // kI32↔kI64 (sign-extend / low half), ints → floats (nearest even), kF32↔kF64 (nearest even),
  // floats → ints (toward zero; NaN and out of range → INT_MIN), kPred → kI32 0 or 1
  kCast,
  kToPred,    // kI32, kI64, floats: != 0 (NaN is true)
  kBitcast,   // kI32↔kF32, kI64↔kF64
  kRoundF16,  // kF32 → the nearest f16, as kF32 (ties to even, overflow → inf, subnormals kept)
  kRoundBF16,  // kF32 → the nearest bf16, as kF32 (same)
  kWrapI8,     // kI32 → sign-extended low 8 bits
  kWrapU8,     // kI32 → zero-extended low 8 bits
  kWrapI16,    // kI32 → sign-extended low 16 bits
  // -- tables
  kTable,  // kF32: tables[imm][a & 15], a is kI32
  kCount
};

enum class ReduceKind : std::uint8_t { kSum, kProd, kMax, kMin };

/// One instruction. Fields that an op does not use keep their defaults.
struct Inst {
  Op op = Op::kConst;
  Type type = Type::kF32;  ///< of the result (kStore: of the stored value)
  ReduceKind reduce = ReduceKind::kSum;
  Value a = kNone, b = kNone, c = kNone;
  Value guard = kNone;
  std::int32_t access =
      -1;                  ///< kLoad, kStore: into Kernel::accesses; kReduce: the partials' access
  std::int32_t slot = -1;  ///< kScalar: word; kIota: first of 1 + axes words (offset, strides)
  std::uint64_t imm = 0;   ///< kConst: bits; kTable: into Kernel::tables
};

/// What kTable looks up: as many floats as one instruction of AVX-512 can choose from, and two of
/// AVX2.
using Table = std::array<float, 16>;

/// How an access moves when the vector axis (run or lane) advances by one, and whether it moves at
/// all along the others: known when the kernel is built, so that code can differ.
enum class Step : std::uint8_t { kZero, kUnit, kAny };

/// An affine access: address = args[pointer] + Σ index(axis) * args[strides + axis] bytes, where a
/// kZero step counts as stride 0 without its word being read. In a row section all loop axes have
/// kZero steps (and count as index 0 for kIota). Of a reduction's partials only dtype and pointer
/// are used.
struct Access {
  DType dtype = DType::kF32;
  std::int32_t pointer = -1;  ///< word with the base address, offset applied
  std::int32_t strides = -1;  ///< first of axes() words: byte strides
  std::vector<Step> step;  ///< one an axis; kUnit only on the vector axis: stride == element size
  bool stored = false;     ///< some kStore uses it
};

enum class Role : std::uint8_t { kGrid, kLoop, kLane };
enum class Form : std::uint8_t { kRow, kColumn };
enum class Mode : std::uint8_t { kWhole, kSplit, kEpilogue };

struct Section {
  bool loop = false;
  std::vector<Value> body;  ///< instructions in order of execution
};

// Fixed words at the start of every ArgBlock.
inline constexpr int kArgChunk = 0;   ///< run elements (map) or lanes (kColumn) of one tile
inline constexpr int kArgChunks = 1;  ///< tiles of one grid point
inline constexpr int kArgFlags = 2;   ///< hints that change no bit of a result; 0 is always right
inline constexpr int kArgParts = 3;   ///< kSplit: tiles that one of kWhole is cut into, at least 1
inline constexpr int kArgPartBlocks = 4;  ///< kSplit: reduction blocks of one part, a power of two
inline constexpr int kArgTallies = 5;     ///< kSplit: where in the ArgBlock the first tally stands
inline constexpr int kArgExtents = 6;     ///< first of axes words: extents

/// kArgFlags: a map's stores bypass the caches. Pays when the outputs are larger than the last
/// cache.
inline constexpr std::int64_t kFlagStream = 1;

inline constexpr std::int64_t kRowBlock = 4096;   ///< elements of a reduction block, form kRow
inline constexpr std::int64_t kColumnBlock = 64;  ///< elements of a reduction block, form kColumn
constexpr int lanes(Type t) { return t == Type::kF64 || t == Type::kI64 ? 32 : 64; }

struct Kernel {
  std::string name;  ///< after its ops, for people; not part of the key
  Form form = Form::kRow;
  Mode mode = Mode::kWhole;
  std::vector<Role> axes;  ///< kGrid…, kLoop… (at least one), then one kLane if form is kColumn
  std::vector<Access> accesses;
  std::vector<Table> tables;
  std::vector<Inst> insts;  ///< SSA values; sections hold the order
  std::vector<Section> sections;
  int words = 0;  ///< length of the ArgBlock

  int n_axes() const { return static_cast<int>(axes.size()); }
  int vector_axis() const { return n_axes() - 1; }  ///< the run (kRow) or the lane axis (kColumn)
  bool has_reduce() const;
  std::vector<Value> reductions(const Section& s) const;  ///< the kReduce of s, in its order
};

/// Throws InternalError with the first broken rule of the comment above: types, visibility, forms,
/// word ranges. Run after every pass that builds or changes a kernel.
void verify(const Kernel& k);

/// Readable text, one instruction a line.
std::string to_string(const Kernel& k);

/// 128 bits over everything but the name: equal keys mean equal code.
struct Key {
  std::uint64_t lo = 0, hi = 0;
  friend bool operator==(const Key&, const Key&) = default;
};
Key key_of(const Kernel& k);

}  // namespace flash::ir
