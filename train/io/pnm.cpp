// train/io/pnm.cpp -- a text header of three numbers, then the pixels (netpbm's pgm(5) and ppm(5))
#include "train/io/pnm.h"

#include <algorithm>
#include <cstdint>

#include "core/error.h"

namespace flash::io {
namespace {

constexpr std::uint64_t kMostSide = 1 << 16, kMostValue = 65535;

/// The header's words: numbers between white space, and comments from # to the end of the line.
class Header {
 public:
  Header(ByteSpan file, std::string_view path) : file_(file), path_(path) {}

  std::uint64_t number(const char* what, std::uint64_t most) {
    if (!is_space(peek()) && peek() != '#') damaged(what, most);
    while (is_space(peek()) || peek() == '#') {
      if (peek() == '#') {
        while (peek() != '\n' && peek() != '\r' && peek() >= 0) ++at_;
      } else {
        ++at_;
      }
    }
    if (peek() < '0' || peek() > '9') damaged(what, most);
    std::uint64_t value = 0;
    for (; peek() >= '0' && peek() <= '9'; ++at_) {
      value = value * 10 + static_cast<std::uint64_t>(peek() - '0');
      if (value > most) damaged(what, most);
    }
    if (value == 0) damaged(what, most);
    return value;
  }

  /// The pixels begin behind one character of white space.
  std::size_t end() {
    if (!is_space(peek())) fail(path_, "is damaged: no white space ends its header");
    return at_ + 1;
  }

 private:
  int peek() const { return at_ < file_.size() ? static_cast<int>(file_[at_]) : -1; }
  static bool is_space(int c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
  [[noreturn]] void damaged(const char* what, std::uint64_t most) const {
    fail(path_, std::string("is damaged: its header needs a ") + what + " of 1 to " +
                    std::to_string(most));
  }

  ByteSpan file_;
  std::string_view path_;
  std::size_t at_ = 2;
};

}  // namespace

bool is_pnm(ByteSpan file) {
  return file.size() >= 2 && file[0] == std::byte{'P'} &&
         (file[1] == std::byte{'5'} || file[1] == std::byte{'6'});
}

HostArray decode_pnm(ByteSpan file, std::string_view path) {
  Header header(file, path);
  const std::uint64_t channels = file[1] == std::byte{'6'} ? 3 : 1;
  const std::uint64_t width = header.number("width", kMostSide),
                      height = header.number("height", kMostSide),
                      most = header.number("largest value", kMostValue);
  const ByteSpan pixels = file.subspan(header.end());
  const std::uint64_t values = width * height * channels;  // at most 3 * 2^32
  const std::size_t bytes = most > 255 ? 2 : 1;            // of each
  if (values > pixels.size() / bytes) {
    fail(path, "is truncated: " + std::to_string(width) + " x " + std::to_string(height) +
                   " pixels of " + std::to_string(channels * bytes) +
                   " bytes do not fit into the " + std::to_string(pixels.size()) +
                   " behind its header");
  }
  HostArray out{DType::kU8,
                {static_cast<std::int64_t>(height), static_cast<std::int64_t>(width),
                 static_cast<std::int64_t>(channels)},
                Bytes(values)};
  for (std::size_t i = 0; i < values; ++i) {
    const auto first = static_cast<std::uint64_t>(pixels[i * bytes]);
    const std::uint64_t value =
        bytes == 1 ? first : first << 8 | static_cast<std::uint64_t>(pixels[2 * i + 1]);
    if (value > most) {
      fail(path, "is damaged: it has the value " + std::to_string(value) +
                     " and says that none is above " + std::to_string(most));
    }
    out.bytes[i] = static_cast<std::byte>((value * 255 + most / 2) / most);
  }
  return out;
}

}  // namespace flash::io
