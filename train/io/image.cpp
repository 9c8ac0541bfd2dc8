// train/io/image.cpp -- stb_image behind checks that no small file asks for much memory
#include "train/io/image.h"

#include <climits>
#include <cstring>
#include <memory>

#include "core/error.h"
#include "core/io/atomic_file.h"
#include "core/io/npy.h"
#include "train/io/png_check.h"
#include "train/io/pnm.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#define STBI_MAX_DIMENSIONS (1 << 16)
#include <stb_image.h>
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#include <stb_image_write.h>
#pragma GCC diagnostic pop

namespace flash::io {
namespace {

/// Grey from colours as stb_image does (ITU-R BT.601's weights in 1/256); an alpha that is not
/// there is opaque.
HostArray with_channels(const HostArray& in, int want) {
  const std::size_t have = static_cast<std::size_t>(in.shape[2]),
                    to = static_cast<std::size_t>(want);
  HostArray out{DType::kU8, {in.shape[0], in.shape[1], want}, Bytes(in.bytes.size() / have * to)};
  const auto value = [](std::byte b) { return static_cast<unsigned>(b); };
  for (std::size_t p = 0; p < in.bytes.size() / have; ++p) {
    const std::byte* from = in.bytes.data() + p * have;
    std::byte* pixel = out.bytes.data() + p * to;
    const unsigned grey =
        have == 1 ? value(from[0])
                  : (value(from[0]) * 77 + value(from[1]) * 150 + value(from[2]) * 29) >> 8;
    for (std::size_t c = 0; c < to; ++c) {
      const bool alpha = to % 2 == 0 && c == to - 1;
      pixel[c] = alpha ? std::byte{255} : to < 3 || have == 1 ? std::byte(grey) : from[c];
    }
  }
  return out;
}

HostArray decode_png(ByteSpan original, std::string_view path, int channels) {
  const Bytes file = checked_png(original, path);
  if (file.size() > INT_MAX) fail(path, "is too large for an image");
  const auto* data = reinterpret_cast<const stbi_uc*>(file.data());
  const int size = static_cast<int>(file.size());
  int width = 0, height = 0, own = 0;
  const std::unique_ptr<stbi_uc, void (*)(void*)> decoded(
      stbi_load_from_memory(data, size, &width, &height, &own, channels), stbi_image_free);
  if (!decoded) {
    fail(path, "is damaged: it cannot be decoded (" + printable(stbi_failure_reason()) + ")");
  }
  HostArray out{DType::kU8, {height, width, channels ? channels : own}, {}};
  out.bytes.resize(static_cast<std::size_t>(out.shape.numel()));
  std::memcpy(out.bytes.data(), decoded.get(), out.bytes.size());
  return out;
}

}  // namespace

HostArray decode_image(ByteSpan file, std::string_view path, int channels) {
  if (channels < 0 || channels > 4) {
    throw ValueError("decode_image: " + std::to_string(channels) +
                     " channels asked for (want 1 to 4, or 0 for the file's own)");
  }
  if (is_png(file)) return decode_png(file, path, channels);
  if (!is_pnm(file)) fail(path, "is not an image that Flash reads (PNG, or binary PGM or PPM)");
  HostArray out = decode_pnm(file, path);
  return channels == 0 || channels == out.shape[2] ? out : with_channels(out, channels);
}

HostArray read_image(const std::string& path, int channels) {
  return decode_image(read_file(path), path, channels);
}

Bytes png_bytes(const HostArray& image) {
  check_host_array(image, "write_png");
  const Shape& s = image.shape;
  if (image.dtype != DType::kU8) {
    throw DTypeError("write_png: the image has dtype " + std::string(name(image.dtype)) +
                     " (want u8)");
  }
  const std::int64_t channels = s.rank() == 3 ? s[2] : 1;
  if (s.rank() < 2 || s.rank() > 3 || channels < 1 || channels > 4 || s.numel() == 0 ||
      s.numel() > INT_MAX) {
    throw ShapeError("write_png: shape " + s.str() +
                     " is not an image (want [H, W] or [H, W, C], " + "C of 1 to 4, not empty)");
  }
  Bytes file;
  auto append = [](void* out, void* data, int size) {
    const auto* bytes = static_cast<const std::byte*>(data);
    static_cast<Bytes*>(out)->insert(static_cast<Bytes*>(out)->end(), bytes, bytes + size);
  };
  const int ok = stbi_write_png_to_func(append, &file, static_cast<int>(s[1]),
                                        static_cast<int>(s[0]), static_cast<int>(channels),
                                        image.bytes.data(), static_cast<int>(s[1] * channels));
  if (!ok) throw InternalError("write_png: the image could not be encoded");
  return file;
}

void write_png(const std::string& path, const HostArray& image) {
  write_file_atomic(path, png_bytes(image));
}

}  // namespace flash::io
