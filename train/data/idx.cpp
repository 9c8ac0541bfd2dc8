// train/data/idx.cpp -- magic bytes, big-endian sizes, elements (yann.lecun.com/exdb/mnist)
#include "train/data/idx.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <filesystem>
#include <utility>

#include "core/error.h"
#include "core/io/inflate.h"

namespace flash::data {
namespace {

std::uint32_t load_be32(io::ByteSpan bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i)
    value = value << 8 | static_cast<std::uint32_t>(bytes[at + i]);
  return value;
}

struct Header {
  DType dtype = DType::kU8;
  Shape shape;
  std::size_t size = 0;     ///< of the header itself
  std::uint64_t bytes = 0;  ///< of the elements behind it
};

constexpr std::size_t kMaxHeader = 4 + 4 * kMaxRank;

/// Reads the header from a file or from its first kMaxHeader bytes.
Header parse_header(io::ByteSpan file, std::string_view path) {
  if (file.size() < 4 || file[0] != std::byte{0} || file[1] != std::byte{0}) {
    io::fail(path, "is not an IDX file: it does not begin with two zero bytes");
  }
  constexpr std::pair<int, DType> kTypes[] = {{0x08, DType::kU8},  {0x09, DType::kI8},
                                              {0x0b, DType::kI16}, {0x0c, DType::kI32},
                                              {0x0d, DType::kF32}, {0x0e, DType::kF64}};
  const int code = static_cast<int>(file[2]);
  const auto* type = std::find_if(std::begin(kTypes), std::end(kTypes),
                                  [&](const auto& t) { return t.first == code; });
  if (type == std::end(kTypes)) {
    io::fail(path, "is not an IDX file: " + std::to_string(code) + " is not an element type");
  }
  const auto rank = static_cast<std::size_t>(file[3]);
  if (rank > kMaxRank) io::fail(path, "has more than 8 dimensions");
  Header h{.dtype = type->second, .shape = {}, .size = 4 + 4 * rank};
  if (file.size() < h.size) io::fail(path, "is truncated in its IDX header");
  for (std::size_t i = 0; i < rank; ++i) {
    h.shape.push_back(static_cast<std::int64_t>(load_be32(file, 4 + 4 * i)));
  }
  try {
    check_shape(h.shape, "IDX");
    h.bytes = static_cast<std::uint64_t>(bytes_of(h.shape, h.dtype, "IDX"));
  } catch (const ShapeError& e) {
    io::fail(path, e.what());
  }
  return h;
}

/// The array of an unpacked file. `file` is consumed.
HostArray parse_plain(io::Bytes file, std::string_view path) {
  const Header h = parse_header(file, path);
  const std::uint64_t available = file.size() - h.size;
  if (available != h.bytes) {
    io::fail(path, std::string(available < h.bytes ? "is truncated" : "is damaged") + ": shape " +
                       h.shape.str() + " of " + std::string(name(h.dtype)) + " does not fill the " +
                       std::to_string(available) + " bytes behind the header");
  }
  file.erase(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(h.size));
  HostArray out{h.dtype, h.shape, std::move(file)};
  const auto width = static_cast<long>(size_of(out.dtype));
  if (std::endian::native == std::endian::little && width > 1) {
    for (auto at = out.bytes.begin(); at != out.bytes.end(); at += width) {
      std::reverse(at, at + width);
    }
  }
  return out;
}

bool is_gzip(io::ByteSpan file) {
  return file.size() >= 2 && file[0] == std::byte{0x1f} && file[1] == std::byte{0x8b};
}

/// Unpacks no more than the header promises: a small file may hold very much.
io::Bytes unpack(io::ByteSpan file, std::string_view path) {
  const io::Bytes start = io::inflate_start(file, io::Deflate::kGzip, kMaxHeader, path);
  const Header h = parse_header(start, path);
  return io::inflate(file, io::Deflate::kGzip, h.size + h.bytes, path);
}

HostArray read_either(const std::filesystem::path& plain) {
  std::filesystem::path packed = plain;
  packed += ".gz";
  std::error_code ignored;
  if (!std::filesystem::exists(plain, ignored) && std::filesystem::exists(packed, ignored)) {
    return read_idx(packed.string());
  }
  return read_idx(plain.string());
}

}  // namespace

HostArray parse_idx(io::ByteSpan file, std::string_view path) {
  return parse_plain(is_gzip(file) ? unpack(file, path) : io::Bytes(file.begin(), file.end()),
                     path);
}

HostArray read_idx(const std::string& path) {
  io::Bytes file = io::read_file(path);
  return parse_plain(is_gzip(file) ? unpack(file, path) : std::move(file), path);
}

LabelledImages read_mnist(const std::string& folder, bool train) {
  const std::filesystem::path base(folder);
  const std::string prefix = train ? "train" : "t10k";
  std::error_code ignored;
  if (!std::filesystem::is_directory(base, ignored)) {
    io::fail(folder, "is not a folder; want one with MNIST's four files in it");
  }
  LabelledImages out{read_either(base / (prefix + "-images-idx3-ubyte")),
                     read_either(base / (prefix + "-labels-idx1-ubyte"))};
  const Shape &images = out.images.shape, &labels = out.labels.shape;
  if (images.rank() != 3 || out.images.dtype != DType::kU8 || labels.rank() != 1 ||
      out.labels.dtype != DType::kU8 || images[0] != labels[0]) {
    io::fail(folder, "does not hold matching images and labels: " + images.str() + " " +
                         std::string(name(out.images.dtype)) + " and " + labels.str() + " " +
                         std::string(name(out.labels.dtype)) + " (want u8 [N, H, W] and u8 [N])");
  }
  for (const std::byte label : out.labels.bytes) {
    if (label >= std::byte{10}) {
      io::fail(folder,
               "has the label " + std::to_string(static_cast<int>(label)) + " (want 0 to 9)");
    }
  }
  return out;
}

}  // namespace flash::data
