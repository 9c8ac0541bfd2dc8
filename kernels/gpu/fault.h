// kernels/gpu/fault.h -- how a kernel says that an index is out of range
//
// A kernel cannot throw. One that meets a bad index reads nothing there (a gathered row becomes
// zeros, a scattered one is left out) and writes a record into the device's fault buffer: memory
// that the runtime zeroes once and hands to every leaf call. When the runtime synchronises it reads
// the first word; if that is not 0, it reads the buffer, zeroes it and throws what fault_message
// says, an IndexError that names what the CPU's does.
//
// A block of a launch records its first bad index, and a launch that may fault has fewer blocks
// than the buffer has slots. So all records of the first launch that faults find a slot, and the
// message names the first bad index, whatever the order in which blocks ran.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace flash::gpu {

/// One record, in words.
struct Fault {
  std::int64_t serial;  ///< LeafMemory::serial
  std::int64_t op;      ///< Prim
  std::int64_t item;    ///< place of the index, row-major
  std::int64_t index;
  std::int64_t rows;  ///< it had to be less than these
};
static_assert(sizeof(Fault) == 40);

inline constexpr int kFaultSlots = 1024;
/// The buffer: a counter of records asked for (u32, in a word of its own), then the slots.
inline constexpr std::int64_t kFaultWords = 1 + kFaultSlots * 5;

/// The sentence for the first fault of a buffer of kFaultWords words; none if there is no fault.
std::optional<std::string> fault_message(std::span<const std::int64_t> buffer);

}  // namespace flash::gpu
