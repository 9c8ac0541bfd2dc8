// tests/files/memory.h -- how much memory this thread held at once
#pragma once

#include <cstdint>

namespace flash::test {

/// Counts from its construction: the most bytes this thread had allocated at any time beyond what
/// it held before. Under the address sanitizer it sees every allocation, elsewhere those of C++.
/// One at a time.
class PeakMemory {
 public:
  PeakMemory();
  std::uint64_t peak() const;
};

}  // namespace flash::test
