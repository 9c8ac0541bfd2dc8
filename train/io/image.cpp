// train/io/image.cpp -- stb_image behind checks that no small file asks for much memory
#include "train/io/image.h"

#include <climits>
#include <cstdint>
#include <cstring>
#include <memory>

#include "core/error.h"
#include "core/io/atomic_file.h"
#include "core/io/inflate.h"
#include "core/io/npy.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#define STBI_ONLY_PNG
#define STBI_ONLY_PNM
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

bool is_png(ByteSpan file) {
  constexpr unsigned char kMagic[] = {0x89, 'P', 'N', 'G', 0x0d, 0x0a, 0x1a, 0x0a};
  return file.size() >= sizeof kMagic && std::memcmp(file.data(), kMagic, sizeof kMagic) == 0;
}

/// Whether `bytes` of decoded pixels can come out of this file at all. A PNG's pixels may have one
/// bit where the decoded ones have eight times three (palette), hence the factor 32.
bool plausible(ByteSpan file, std::uint64_t bytes) {
  const std::uint64_t most = is_png(file) ? file.size() * kMaxDeflateRatio * 32 : file.size();
  return bytes <= most && bytes <= INT_MAX;
}

}  // namespace

HostArray decode_image(ByteSpan file, std::string_view path, int channels) {
  if (channels < 0 || channels > 4) {
    throw ValueError("decode_image: " + std::to_string(channels) +
                     " channels asked for (want 1 to 4, or 0 for the file's own)");
  }
  if (file.size() > INT_MAX) fail(path, "is too large for an image");
  const auto* data = reinterpret_cast<const stbi_uc*>(file.data());
  const int size = static_cast<int>(file.size());
  int width = 0, height = 0, own = 0;
  if (!stbi_info_from_memory(data, size, &width, &height, &own)) {
    fail(path, "is not an image that Flash reads (PNG, or binary PGM or PPM)");
  }
  const std::uint64_t pixels =
      static_cast<std::uint64_t>(width) * static_cast<std::uint64_t>(height);
  if (!plausible(file, pixels * static_cast<std::uint64_t>(own)) || pixels * 4 > INT_MAX) {
    fail(path, "is damaged: " + std::to_string(width) + " x " + std::to_string(height) +
                   " pixels do not fit into its " + std::to_string(file.size()) + " bytes");
  }
  const std::unique_ptr<stbi_uc, void (*)(void*)> decoded(
      stbi_load_from_memory(data, size, &width, &height, &own, channels), stbi_image_free);
  if (!decoded) {
    fail(path, std::string("is damaged: it cannot be decoded (") + stbi_failure_reason() + ")");
  }
  HostArray out{DType::kU8, {height, width, channels ? channels : own}, {}};
  out.bytes.resize(static_cast<std::size_t>(out.shape.numel()));
  std::memcpy(out.bytes.data(), decoded.get(), out.bytes.size());
  return out;
}

HostArray read_image(const std::string& path, int channels) {
  return decode_image(read_file(path), path, channels);
}

void write_png(const std::string& path, const HostArray& image) {
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
  if (!ok) fail(path, "cannot be written: the image could not be encoded");
  write_file_atomic(path, file);
}

}  // namespace flash::io
