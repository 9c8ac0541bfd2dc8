// tests/accuracy/digest.h -- whether all kinds of code give the same bits
#pragma once

#include <string>
#include <vector>

#include "accuracy/functions.h"

namespace flash::accuracy {

/// A number made of a function's result bits on some 1.4 million inputs of the four dtypes.
std::uint64_t digest(const Function& f);

/// How this program's kernels may be run: what a child process is told by its environment.
struct Code {
  const char* name;
  const char* variable;  // FLASH_…=value
};

/// The ones that this CPU has. Whether it has one is its own word: Flash falls back silently.
std::vector<Code> kinds_of_code();

/// The digests of all `names` in a child process under that environment.
std::vector<std::string> digests_under(const Code& code, const std::vector<std::string>& names);

}  // namespace flash::accuracy
