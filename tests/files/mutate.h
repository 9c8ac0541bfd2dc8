// tests/files/mutate.h -- changed copies of a file, the same ones on every run
#pragma once

#include <random>
#include <span>
#include <string_view>

#include "core/io/file.h"

namespace flash::test {

/// One to four changes: bits flipped, bytes set, pieces cut out, doubled or taken from `other`,
/// numbers of 1 to 8 bytes set to the extremes of their type, `words` put in.
io::Bytes mutate(const io::Bytes& seed, const io::Bytes& other,
                 std::span<const std::string_view> words, std::mt19937& random);

}  // namespace flash::test
