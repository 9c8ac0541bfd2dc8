// train/io/png_check.cpp -- a walk over the chunks (W3C, "PNG Specification", sections 5 and 11)
#include "train/io/png_check.h"

#include <climits>
#include <cstdint>
#include <cstring>
#include <string>

#include "core/error.h"
#include "core/io/inflate.h"

namespace flash::io {
namespace {

constexpr unsigned char kMagic[] = {0x89, 'P', 'N', 'G', 0x0d, 0x0a, 0x1a, 0x0a};
constexpr std::size_t kIhdr = 13, kPalette = std::size_t{3} * 256;

std::uint64_t load_be32(ByteSpan bytes, std::size_t at) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < 4; ++i)
    value = value << 8 | static_cast<std::uint64_t>(bytes[at + i]);
  return value;
}

void append(Bytes& out, ByteSpan bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); }

/// Bytes that the compressed data must unpack to: a filter byte and the pixels of each row. The
/// passes of an interlaced picture need a few more.
std::uint64_t unpacked_bytes(ByteSpan ihdr) {
  constexpr std::uint64_t kChannels[] = {1, 1, 3, 1, 2, 1, 4, 1};
  const std::uint64_t width = load_be32(ihdr, 0), height = load_be32(ihdr, 4);
  const auto depth = static_cast<std::uint64_t>(ihdr[8]);
  const std::uint64_t channels = kChannels[static_cast<std::size_t>(ihdr[9]) & 7];
  return height * (1 + (width * depth * channels + 7) / 8);  // below 2^32 * 2^40
}

}  // namespace

bool is_png(ByteSpan file) {
  return file.size() >= sizeof kMagic && std::memcmp(file.data(), kMagic, sizeof kMagic) == 0;
}

Bytes checked_png(ByteSpan file, std::string_view path) {
  Bytes out;
  out.reserve(file.size() + kPalette);
  append(out, file.first(sizeof kMagic));
  std::uint64_t packed = 0, unpacked = 0;
  bool palette = false;
  for (std::size_t at = sizeof kMagic;;) {
    if (file.size() - at < 12) fail(path, "is truncated: its PNG chunks end early");
    const std::uint64_t length = load_be32(file, at);
    if (length > file.size() - at - 12) {
      fail(path, "is truncated: a PNG chunk of " + std::to_string(length) +
                     " bytes does not fit into the " + std::to_string(file.size() - at - 12) +
                     " that are left");
    }
    const ByteSpan chunk = file.subspan(at, length + 12), data = chunk.subspan(8, length);
    const std::string_view type(reinterpret_cast<const char*>(chunk.data()) + 4, 4);
    at += chunk.size();
    if (type == "IHDR" && length == kIhdr) {
      for (const std::size_t side : {0, 4}) {
        if (const std::uint64_t size = load_be32(data, side); size == 0 || size > 1 << 16) {
          fail(path, "is damaged: a side of " + std::to_string(size) + " pixels (want 1 to 65536)");
        }
      }
      // As many as stb_image counts without an overflow, also when it makes four 16-bit channels.
      if (load_be32(data, 0) * load_be32(data, 4) > INT_MAX / 4) {
        fail(path, "has more than the 536,870,911 pixels that Flash decodes");
      }
      unpacked = unpacked_bytes(data);
    }
    if (type == "IDAT") packed += length;
    if (type == "PLTE" && length > 0 && length < kPalette && length % 3 == 0) {
      if (palette) fail(path, "is damaged: it has two palettes");
      palette = true;
      out.insert(out.end(), {std::byte{0}, std::byte{0}, std::byte{3}, std::byte{0}});
      append(out, chunk.subspan(4, 4 + length));
      out.resize(out.size() + kPalette - length);  // black
      append(out, chunk.last(4));                  // its checksum, which stb_image skips
    } else {
      append(out, chunk);
    }
    if (type == "IEND") break;
  }
  if (unpacked > packed * kMaxDeflateRatio) {
    fail(path, "is damaged: its pixels take " + std::to_string(unpacked) + " bytes, and its " +
                   std::to_string(packed) + " compressed ones cannot unpack to so many");
  }
  return out;
}

}  // namespace flash::io
