// kernels/cpu/workspace.h -- scratch memory of one thread, kept from call to call
#pragma once

#include <cstddef>
#include <cstdint>

namespace flash::cpu {

/// Several regions may be in use at once, each under its own slot; asking for a slot again gives
/// the same memory, larger if need be, contents unspecified. Aligned to 64 bytes.
enum class Slot : std::uint8_t {
  kA,       // packed rows
  kB,       // packed columns
  kC,       // results before they are rounded
  kD,       // transposed results, biases
  kE,       // widened rows; a convolution's padded image
  kF,       // widened columns; a convolution's other operand
  kBias,    // one row of it
  kWords,   // an epilogue's arguments, for one tile
  kShared,  // of the calling thread, read or written by all
  kShared2,
  kShared3,
  kCount
};

/// Makes this thread's regions, without memory yet.
void prepare_workspace();

void* workspace_bytes(Slot slot, std::size_t bytes);

template <class T>
T* workspace(Slot slot, std::int64_t count) {
  return static_cast<T*>(workspace_bytes(slot, static_cast<std::size_t>(count) * sizeof(T)));
}

}  // namespace flash::cpu
