// core/mutants.h -- faults that the tests must find, one at a time
//
// A build with -Dmutants=true asks at each of these places whether FLASH_MUTANT names the fault
// (`./dev fuzz --mutants`). In every other build the question is the constant false.
#pragma once

#include <cstdint>

namespace flash {

enum class Mutant : std::uint8_t {
  kNone,
  kLivenessMask,    ///< who is live is no part of a plan's key
  kStorageAlias,    ///< a buffer that others hold counts as dying
  kWrongDonation,   ///< a buffer is given away before it was read last
  kStaleScalar,     ///< a plan keeps the numbers of its first run
  kTailMask,        ///< the last vector of a row has all its lanes
  kArenaOverlap,    ///< what dies where something is born lends it its memory
  kVersionBump,     ///< an in-place change does not count
  kPhiloxOffset,    ///< every draw begins at the stream's first block
  kBfloatRounding,  ///< intermediate bf16 values are not rounded
  kEqualByChance,   ///< dimensions of one size are taken for one dimension
  kEvictedInUse,    ///< the cache of kernels drops code that plans still hold
  kSoftRecompute,   ///< what the tape should make again is taken as it was kept
  kSwappedStrides,  ///< the last two strides of a permuted view change places
  kReductionBlock,  ///< blocks of a row's reduction end at another element
  kEpilogueTwice,   ///< a leaf kernel's epilogue runs twice on a tile
  kCount
};

#if defined(FLASH_MUTANTS)
/// Whether the fault is on. The first call reads FLASH_MUTANT; a name that is none ends the
/// process.
bool mutant(Mutant m);
const char* name(Mutant m);
/// What was given the first time for this place.
std::int64_t first_given(const void* place, std::int64_t value);
#else
constexpr bool mutant(Mutant) { return false; }
constexpr std::int64_t first_given(const void*, std::int64_t value) { return value; }
#endif

}  // namespace flash
