// tests/fuzz/program.h -- random programs over the public operations, as data
//
// A program is a list of instructions made from a seed. What an instruction's numbers mean is
// decided by its operands when it runs (a dimension is taken modulo the rank, and so on), so that
// the same list runs with other sizes, with instructions left out, and under any evaluator.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "fuzz/prelude.h"

namespace fuzz {

enum class Op : std::uint8_t {
  kNop,  // removed by the shrinker
  // leaves
  kData,
  kBlob,
  kFull,
  kArange,
  kRand,
  kRandn,
  kRandint,
  // element-wise
  kUnary,
  kBinary,
  kBinaryScalar,
  kScalarBinary,
  kWhere,
  kCast,
  kFma,
  kClamp,
  kLerp,
  kDropout,
  // views
  kPermute,
  kTranspose,
  kReshape,
  kSelect,
  kSlice,
  kFlip,
  kUnfold,
  kStrided,
  kSqueeze,
  kUnsqueeze,
  kExpand,
  kAlias,
  kDetach,
  // copies and reductions
  kClone,
  kReduce,
  kArg,
  kSoftmax,
  kLogSoftmax,
  kLogSumExp,
  kLayerNorm,
  kBatchNorm,
  kCrossEntropy,
  kNll,
  kMse,
  // contractions and their like
  kMatmul,
  kLinear,
  kConv2d,
  kMaxPool,
  kAvgPool,
  kEmbedding,
  // joining
  kCat,
  kStack,
  kChunk,
  kPad,
  kOneHot,
  // in place
  kWritten,
  kFill,
  kCopyInto,
  kSelfCopy,
  kInplace,
  kInplaceScalar,
  // gradients
  kGrad,
  kBackward,
  // no value
  kDrop,
  kEval,
  kRead,
  kPin,
  kCount
};

struct Instr {
  Op op = Op::kNop;
  int in[3] = {-1, -1, -1};  ///< variables: the number of the instruction that made each
  DType dtype = DType::kF32;
  std::int64_t n[7] = {};
  double x = 0;
};

struct Program {
  std::uint64_t seed = 0;
  bool tame = true;               ///< no NaN, infinities and extremes in the leaves
  bool grads = false;             ///< some leaves require gradients
  std::int64_t most = 0;          ///< elements of a value
  std::int64_t sizes[2][5] = {};  ///< the dimensions leaves are made of, for each variant
  std::vector<Instr> code;
};

struct RunOptions {
  int variant = 0;           ///< 1: other sizes, other scalars, other data
  bool flush_points = true;  ///< false: eval(), reads and pins in the middle are skipped
  bool drop = false;         ///< half of the values are let go before the rest is computed
  int shift = -1;            ///< leaves are the user's memory, this many elements off alignment
  bool host = true;  ///< false: as on a device whose memory the host cannot use; no blobs, no pins
};

/// A value that lived at the end, or why an instruction threw.
struct Outcome {
  int instr = 0;
  std::string what;  ///< "value", "grad", "blob" or an error's message
  DType dtype = DType::kF32;
  Shape shape;
  std::vector<std::uint8_t> bytes;
};

/// What is wrong by itself, whatever another run gives, begins with this.
inline constexpr std::string_view kBroken = "broken: ";

Program generate(std::uint64_t seed);

/// Runs on this thread's trace with the evaluator in use. Errors that a call raises are outcomes;
/// InternalError and whatever a flush raises pass through.
std::vector<Outcome> run(const Program& p, const RunOptions& o);

/// Whether a run with RunOptions::drop lets go of the value of instruction `i`.
bool dropped(const Program& p, int i);

/// Empty if equal bit for bit (all NaNs alike), else the first difference.
std::string difference(const std::vector<Outcome>& a, const std::vector<Outcome>& b);

/// The programs as one complete C++ program (print.cpp). It prints the lines of expected_lines()
/// and, where the fused run differs from the interpreted one, how.
std::string to_cpp(std::span<const Program> programs, const std::string& comment);
/// What the printed program says its values are: both variants, interpreted.
std::string expected_lines(std::span<const Program> programs);

}  // namespace fuzz
