// tests/fuzz/guard.h -- memory with pages at both ends that nobody may touch
//
// Code that is compiled at run time is invisible to sanitizers. Here a byte too far ends the
// process: buffers are pressed against a page without access, by turns the one behind and the one
// before them, and given back at once, so that later uses end it too. Fresh memory holds NaN.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace fuzz {

/// Gives every buffer of this process guard pages. Before anything of Flash was used.
void install_guards();
bool guarded();

/// `bytes` of the user's memory, `shift` bytes off the alignment of 64; guarded as tensors are.
std::shared_ptr<std::uint8_t> user_memory(std::size_t bytes, std::size_t shift);

}  // namespace fuzz
