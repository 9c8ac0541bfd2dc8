// core/fp_environment.h -- runs a scope with IEEE defaults: nearest even, subnormals kept
#pragma once

#include <cfenv>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace flash {

/// Flash's numbers must not depend on what the caller did to the floating-point unit (flush to
/// zero, another rounding mode, unmasked exceptions). Two loads when there is nothing to do.
class ScopedFpEnvironment {
 public:
  ScopedFpEnvironment(const ScopedFpEnvironment&) = delete;
  ScopedFpEnvironment& operator=(const ScopedFpEnvironment&) = delete;

#if defined(__x86_64__)
  ScopedFpEnvironment() : saved_(_mm_getcsr()) {
    if ((saved_ & ~kStickyFlags) != kDefault) _mm_setcsr(kDefault);
  }
  ~ScopedFpEnvironment() {
    if ((saved_ & ~kStickyFlags) != kDefault) _mm_setcsr(saved_);
  }

 private:
  static constexpr unsigned kDefault = 0x1f80, kStickyFlags = 0x3f;
  unsigned saved_;
#else
  ScopedFpEnvironment() {
    std::fegetenv(&saved_);
    std::fesetenv(FE_DFL_ENV);
  }
  ~ScopedFpEnvironment() { std::fesetenv(&saved_); }

 private:
  std::fenv_t saved_;
#endif
};

}  // namespace flash
