// jit/emit/x86/isa.cpp -- what this CPU, its operating system and this build support
#if FLASH_WITH_ASMJIT
#include <asmjit/x86.h>
#endif

#include <algorithm>
#include <utility>

#include "core/env.h"
#include "core/error.h"
#include "jit/emit/emit.h"

namespace flash::emit {
namespace {

thread_local Isa most_now = Isa::kAvx512;

}  // namespace

IsaLimit::IsaLimit(Isa most) : before_(std::exchange(most_now, most)) {}
IsaLimit::~IsaLimit() { most_now = before_; }

std::string_view name(Isa isa) {
  switch (isa) {
    case Isa::kNone:
      return "none";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
  }
  return "";
}

#if FLASH_WITH_ASMJIT

Isa detect_isa() {
  // Asmjit asks CPUID and, for the register state the system saves, XCR0: at the first call, of
  // which there must be one (static), for it guards none of that.
  static const asmjit::CpuFeatures::X86& cpu = asmjit::CpuInfo::host().features().x86();
  Isa best = Isa::kNone;
  if (cpu.hasAVX2() && cpu.hasFMA() && cpu.hasF16C() && cpu.hasBMI() && cpu.hasBMI2()) {
    best = Isa::kAvx2;
    if (cpu.hasAVX512_F() && cpu.hasAVX512_BW() && cpu.hasAVX512_DQ() && cpu.hasAVX512_VL())
      best = Isa::kAvx512;
  }
  if (best == Isa::kAvx512 && env::get_choice(Env::kIsa) == "avx2") best = Isa::kAvx2;
  return std::min(best, most_now);
}

#else

Isa detect_isa() { return Isa::kNone; }

std::unique_ptr<Code> compile_x86(const ir::Kernel& k, Isa, bool) {
  throw InternalError("compile kernel '" + k.name + "': this build has no x86 emitter");
}

#endif

}  // namespace flash::emit
