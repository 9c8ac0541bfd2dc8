// tests/contract/fuzz_program.h -- random programs over the public operations, as data
//
// A program is a list of instructions made from a seed. What an instruction's numbers mean is
// decided by its operands when it runs (a dimension is taken modulo the rank, and so on), so that
// the same list runs with other sizes, with instructions left out, and under any evaluator.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <flash/flash.h>

namespace fuzz {

/// splitmix64: small, seekable enough, and the same everywhere.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  std::int64_t below(std::int64_t n) { return static_cast<std::int64_t>(next() >> 1) % n; }
  bool one_in(std::int64_t n) { return below(n) == 0; }
  double real() { return static_cast<double>(next() >> 11) * 0x1p-53; }

 private:
  std::uint64_t state_;
};

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
  kPad,
  kOneHot,
  // in place
  kFill,
  kCopyInto,
  kSelfCopy,
  kInplace,
  kInplaceScalar,
  // no value
  kDrop,
  kEval,
  kRead,
  kPin,
  kBackward,
  kCount
};

struct Instr {
  Op op = Op::kNop;
  int in[3] = {-1, -1, -1};  ///< variables: the number of the instruction that made each
  flash::DType dtype = flash::DType::kF32;
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
};

/// A value that lived at the end, or why an instruction threw.
struct Outcome {
  int instr = 0;
  std::string what;  ///< "value", "grad", "blob" or an error's message
  flash::DType dtype = flash::DType::kF32;
  flash::Shape shape;
  std::vector<std::uint8_t> bytes;
};

Program generate(std::uint64_t seed);

/// Runs on this thread's trace with the evaluator in use. Errors that a call raises are outcomes;
/// InternalError and whatever a flush raises pass through.
std::vector<Outcome> run(const Program& p, const RunOptions& o);

/// The program as C++-like lines, with the shapes of the values.
std::string to_text(const Program& p, int variant);

/// Empty if equal bit for bit (all NaNs alike), else the first difference.
std::string difference(const std::vector<Outcome>& a, const std::vector<Outcome>& b);

}  // namespace fuzz
