// tests/files/mutate.cpp -- the changes that break readers: cuts, flips, and sizes that lie
#include "tests/files/mutate.h"

#include <algorithm>
#include <cstdint>

namespace flash::test {
namespace {

/// Any position from 0 to `most`; <random>'s distributions differ from library to library.
std::size_t up_to(std::size_t most, std::mt19937& random) { return random() % (most + 1); }

void set_number(io::Bytes& file, std::mt19937& random) {
  constexpr std::uint64_t kExtremes[] = {0,
                                         1,
                                         0x7f,
                                         0x80,
                                         0xff,
                                         0x7fff,
                                         0xffff,
                                         0x10000,
                                         0x7fffffff,
                                         0x80000000,
                                         0xffffffff,
                                         std::uint64_t{1} << 32,
                                         std::uint64_t{1} << 48,
                                         INT64_MAX,
                                         std::uint64_t{1} << 63,
                                         UINT64_MAX};
  const std::uint64_t value = kExtremes[random() % std::size(kExtremes)] - random() % 2;
  const std::size_t width = std::size_t{1} << random() % 4, at = up_to(file.size(), random);
  const bool big = random() % 2 != 0;
  for (std::size_t i = 0; i < width && at + i < file.size(); ++i)
    file[at + i] = static_cast<std::byte>(value >> 8 * (big ? width - 1 - i : i) & 0xff);
}

void change(io::Bytes& file, const io::Bytes& other, std::span<const std::string_view> words,
            std::mt19937& random) {
  const auto place = [&](const io::Bytes& of) {
    return of.begin() + static_cast<std::ptrdiff_t>(up_to(of.size(), random));
  };
  const auto piece = [&](const io::Bytes& of) {
    const auto from = place(of);
    const auto room = static_cast<std::size_t>(of.end() - from);
    return io::Bytes(from, from + static_cast<std::ptrdiff_t>(std::min(room, up_to(64, random))));
  };
  switch (random() % 8) {
    case 0:
      file.resize(up_to(file.size(), random));
      return;
    case 1:
      if (!file.empty()) file[random() % file.size()] ^= static_cast<std::byte>(1u << random() % 8);
      return;
    case 2:
      if (!file.empty()) file[random() % file.size()] = static_cast<std::byte>(random());
      return;
    case 3: {
      const auto from = up_to(file.size(), random), to = up_to(file.size(), random);
      file.erase(file.begin() + static_cast<std::ptrdiff_t>(std::min(from, to)),
                 file.begin() + static_cast<std::ptrdiff_t>(
                                    std::min(std::max(from, to), std::min(from, to) + 64)));
      return;
    }
    case 4: {
      const io::Bytes part = piece(random() % 2 ? file : other);
      file.insert(place(file), part.begin(), part.end());
      return;
    }
    case 5:
      if (!words.empty()) {
        const io::ByteSpan word = io::as_bytes(words[random() % words.size()]);
        file.insert(place(file), word.begin(), word.end());
      }
      return;
    default:
      return set_number(file, random);
  }
}

}  // namespace

io::Bytes mutate(const io::Bytes& seed, const io::Bytes& other,
                 std::span<const std::string_view> words, std::mt19937& random) {
  io::Bytes file = seed;
  for (auto n = random() % 4 + 1; n > 0; --n) change(file, other, words, random);
  return file;
}

}  // namespace flash::test
