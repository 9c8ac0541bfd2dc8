// tests/fuzz/coverage.h -- which primitives were evaluated, on which dtypes, in which layouts
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "core/evaluator.h"
#include "core/primitive.h"

namespace fuzz {

using flash::DType;
using flash::Prim;

/// How an operand of a primitive lies in memory; the last is about its result.
enum class Layout : std::uint8_t {
  kContiguous,
  kBroadcast,    ///< a dimension with stride 0, or missing
  kTransposed,   ///< strides that grow to the right
  kFlipped,      ///< a negative stride
  kStrided,      ///< a window, a step, a selected index
  kOverlapping,  ///< elements that are read more than once
  kWritten,      ///< the result is written into a part of another tensor
  kCount
};
inline constexpr std::size_t kLayouts = static_cast<std::size_t>(Layout::kCount);
inline constexpr std::size_t kPrimCount = static_cast<std::size_t>(Prim::kCount);
inline constexpr std::size_t kDTypes = static_cast<std::size_t>(flash::kNumDTypes);

/// Counts by primitive, dtype of the operand that the primitive's rule is about, and layout. Plain
/// numbers, so that it may lie in memory that processes share.
struct Coverage {
  std::uint32_t count[kPrimCount][kDTypes][kLayouts];
  std::uint64_t nodes;     ///< operations that some value needed
  std::uint64_t replayed;  ///< programs whose second variant ran by the plans of the first
  void add(const Coverage& o);
  void note(const flash::EvaluationRequest& request);
  bool reached(Prim p) const;
  bool reached(Prim p, DType d) const;
};

/// Why there can be no such cell; nullptr where there can.
const char* impossible(Prim p, DType d);
const char* impossible(Prim p, DType d, Layout l);

/// The table as text: for each primitive and layout, how many of the possible dtypes were reached;
/// then the cells that were not, and the reasons for those that cannot be.
std::string table_of(const Coverage& c);

/// Counts what it is given, then lets another evaluator do it.
std::unique_ptr<flash::Evaluator> make_counting(std::unique_ptr<flash::Evaluator> inner,
                                                Coverage& to);

}  // namespace fuzz
