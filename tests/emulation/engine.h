// tests/emulation/engine.h -- runs kernels that kernel.h and the host's compiler made of CUDA or
// HIP sources: blocks one after another, threads of a block as fibers that switch at barriers and
// shuffles
//
// What a GPU would not say is an error here: a barrier that not all threads of a block reach, a
// shuffle that not all threads of a warp reach; a touch of memory that nobody may touch; and, in
// libraries that were compiled with checks, races and accesses out of bounds.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "emulation/kernel_state.h"

namespace flash::test::emulation {

using Entry = void (*)(unsigned long long args, long long tiles);

/// How a source is compiled.
struct CompileOptions {
  bool checks = false;  ///< races and accesses out of bounds are found
  std::string folder;   ///< where libraries are kept by their source's hash; empty: nowhere
};

/// The bytes of a library of `source`, or what the compiler had to say. Sources that were compiled
/// before, with the same compiler and kernel.h, come out of the folder.
struct Compiled {
  std::string library, log;
  bool ok = false;
};
Compiled compile(const std::string& source, const CompileOptions& options = {});

/// Writes the source into the folder, equal ones once: for the vendors' compilers.
void keep_source(const std::string& source, const std::string& folder, const std::string& ending);

/// A library in memory of this process.
class Library {
 public:
  explicit Library(const std::string& bytes);  ///< throws std::runtime_error
  ~Library();
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
  Entry entry(const std::string& name) const;  ///< nullptr if there is none

 private:
  friend class Run;
  int file_ = -1;
  void* handle_ = nullptr;
  State* state_ = nullptr;
  char *shared_begin_ = nullptr, *shared_end_ = nullptr;
  const char *image_begin_ = nullptr, *image_end_ = nullptr;
};

/// Says whether kernels may touch [at, at + bytes): memory of the device. Without one, all of it.
using Valid = bool (*)(const void* at, std::size_t bytes);

struct Launch {
  Entry entry = nullptr;
  unsigned grid = 1, x = 1, y = 1;
  unsigned long long args = 0;
  long long tiles = 0;
  Valid valid = nullptr;
};

/// Runs it; the last block runs first, so that order shows. Returns what is wrong with it, or "".
/// One launch at a time runs in a process: others wait.
std::string run(const Library& library, const Launch& launch);

}  // namespace flash::test::emulation
