// tests/emulation/checks.h -- finds races and accesses out of bounds in emulated kernels
//
// Every access is compared with the latest ones to the same bytes. Two by different threads, one of
// them a write, are a race unless something orders them: a barrier between them, for threads of one
// block; for different blocks, a fence and an atomic addition behind the first and an atomic
// addition to the same place in front of the second, which then has to be volatile, for caches of
// GPUs are not coherent. Blocks run one after another here, and threads too: what is found does not
// depend on who came first.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "emulation/kernel_state.h"

namespace flash::test::emulation {

/// Of one launch.
class Checks {
 public:
  Checks(std::size_t threads, const char* shared_begin, const char* shared_end,
         bool (*valid)(const void*, std::size_t));

  void begin_block(unsigned block);
  void barrier() {  ///< of all threads of the block
    ++epoch_;
    epoch_began_ = ++time_;
  }
  void fence(std::size_t thread) { fenced_[thread] = ++time_; }
  void atomic(std::size_t thread, const void* at);
  void access(std::size_t thread, const char* at, unsigned bytes, unsigned kind);
  const std::string& problem() const { return problem_; }  ///< the first one; "" if there is none

 private:
  /// An access that was made.
  struct Made {
    std::uint8_t bytes = 0;  // of the four that it covers, a bit each; 0: none
    bool write = false;
    unsigned block = 0, epoch = 0;
    std::size_t thread = 0;
    std::uint64_t time = 0;
  };
  /// What a block has made known by an atomic addition.
  struct Release {
    std::size_t thread = 0;
    unsigned epoch = 0;
    bool fenced = false;                // by the thread itself, in this epoch
    std::vector<std::uint64_t> fences;  // every thread's last one
  };
  bool ordered(const Made& before, std::size_t thread, bool is_volatile) const;
  void note(std::array<Made, 4>& made, std::uint8_t bytes, std::size_t thread, unsigned kind,
            const char* at);
  void found(const std::string& what, std::size_t thread, const char* at);

  const char *const shared_begin_, *const shared_end_;
  bool (*const valid_)(const void*, std::size_t);
  std::string problem_;
  unsigned block_ = 0, epoch_ = 0;
  std::uint64_t time_ = 0, epoch_began_ = 0;
  std::vector<std::uint64_t> fenced_;  // by thread
  // By word of four bytes.
  std::unordered_map<std::uintptr_t, std::array<Made, 4>> made_, shared_made_;
  std::map<const void*, std::map<unsigned, Release>> released_;  // by place, then block
  std::map<unsigned, const Release*> acquired_;                  // by this block
};

}  // namespace flash::test::emulation
