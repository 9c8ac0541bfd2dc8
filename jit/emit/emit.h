// jit/emit/emit.h -- the emitters: verified kernel IR in, callable code out
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "jit/ir/kernel.h"

namespace flash::emit {

using Function = void (*)(const ir::Word* args, std::int64_t tile_begin, std::int64_t tile_end);

/// Code that lives as long as this object. `run` may be called from many threads at once.
class Code {
 public:
  virtual ~Code() = default;
  virtual void run(const ir::Word* args, std::int64_t tile_begin, std::int64_t tile_end) const = 0;
  virtual Function function() const {
    return nullptr;
  }                                         ///< the machine code's entry, when there is one
  virtual std::size_t size() const = 0;     ///< bytes of code
  virtual std::string listing() const = 0;  ///< assembly or source, for FLASH_DEBUG=4
};

/// Instruction sets of the x86 emitter, best last.
enum class Isa : std::uint8_t { kNone, kAvx2, kAvx512 };
/// What the CPU and OS support, lowered by FLASH_ISA and by this thread's IsaLimit.
Isa detect_isa();
std::string_view name(Isa isa);

/// While one lives, this thread compiles for no better instruction set: for tests that compare.
class IsaLimit {
 public:
  explicit IsaLimit(Isa most);
  ~IsaLimit();
  IsaLimit(const IsaLimit&) = delete;
  IsaLimit& operator=(const IsaLimit&) = delete;

 private:
  Isa before_;
};

/// The x86 emitter streams a map's tile of so many elements from both of its halves at once. Over
/// 2^24 floats and with two threads (tiles of 2^20, Xeon) that takes 2 to 7 % less time; in tiles
/// of 2^16 it takes more, for the CPU's prefetchers begin anew twice as often.
inline constexpr int kHalvedRun = 1 << 19;

/// x86-64 through Asmjit. Throws InternalError if the IR does not verify.
std::unique_ptr<Code> compile_x86(const ir::Kernel& k, Isa isa, bool keep_listing = false);

/// The portable reference: walks the IR one element at a time.
std::unique_ptr<Code> compile_interpreter(const ir::Kernel& k);

}  // namespace flash::emit
