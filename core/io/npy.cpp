// core/io/npy.cpp -- the header is a Python literal: a small strict parser, then the elements
//
// The format is NumPy's NEP 1 and the text of numpy.lib.format.
#include "core/io/npy.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

#include "core/error.h"
#include "core/io/atomic_file.h"

namespace flash::io {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::size_t kMaxHeader = std::size_t{1} << 16;

struct Header {
  DType dtype = DType::kF32;
  Shape shape;
  bool fortran = false, swapped = false;
  std::size_t data_at = 0;
  std::size_t bytes = 0;  // of all elements
};

/// Reads {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }: keys in any order.
class Literal {
 public:
  Literal(std::string_view text, std::string_view path) : rest_(text), path_(path) {}

  void parse(Header& h) {
    bool descr = false, order = false, shape = false;
    expect('{');
    while (!take('}')) {
      const std::string_view key = quoted();
      expect(':');
      if (key == "descr" && !std::exchange(descr, true)) {
        space();
        if (rest_.starts_with('[')) fail(path_, "holds a structured array; save its fields alone");
        set_dtype(quoted(), h);
      } else if (key == "fortran_order" && !std::exchange(order, true)) {
        h.fortran = boolean();
      } else if (key == "shape" && !std::exchange(shape, true)) {
        h.shape = tuple();
      } else {
        bad();
      }
      if (!take(',')) {
        expect('}');
        break;
      }
    }
    space();
    if (!rest_.empty() || !descr || !order || !shape) bad();
  }

 private:
  [[noreturn]] void bad() const { fail(path_, "is damaged: its npy header makes no sense"); }

  void space() {
    const std::size_t n = rest_.find_first_not_of(" \n\t");
    rest_.remove_prefix(std::min(n, rest_.size()));
  }
  bool take(char c) {
    space();
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!take(c)) bad();
  }
  bool take(std::string_view word) {
    space();
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }

  std::string_view quoted() {
    space();
    if (rest_.empty() || (rest_[0] != '\'' && rest_[0] != '"')) bad();
    const std::size_t end = rest_.find(rest_[0], 1);
    if (end == std::string_view::npos) bad();
    const std::string_view text = rest_.substr(1, end - 1);
    rest_.remove_prefix(end + 1);
    return text;
  }

  bool boolean() {
    if (take("True")) return true;
    if (!take("False")) bad();
    return false;
  }

  Shape tuple() {
    Shape out;
    expect('(');
    while (!take(')')) {
      space();
      std::int64_t size = 0;
      const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), size);
      if (error != std::errc() || size < 0) bad();
      rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
      if (rest_.starts_with('L')) rest_.remove_prefix(1);  // Python 2 wrote long integers so
      if (out.rank() == kMaxRank) fail(path_, "has more than 8 dimensions");
      out.push_back(size);
      if (!take(',')) {
        expect(')');
        break;
      }
    }
    return out;
  }

  void set_dtype(std::string_view descr, Header& h) {
    std::string_view type = descr;
    char order = '|';
    if (!type.empty() && std::string_view("<>=|").find(type[0]) != std::string_view::npos) {
      order = type[0];
      type.remove_prefix(1);
    }
    if (type.starts_with('O')) {
      fail(path_,
           "holds Python objects, and loading those runs code; save an array of numbers instead");
    }
    constexpr std::pair<std::string_view, DType> kTypes[] = {
        {"b1", DType::kBool}, {"?", DType::kBool}, {"u1", DType::kU8},  {"i1", DType::kI8},
        {"i2", DType::kI16},  {"i4", DType::kI32}, {"i8", DType::kI64}, {"f2", DType::kF16},
        {"f4", DType::kF32},  {"f8", DType::kF64},
    };
    for (const auto& [name, dtype] : kTypes) {
      if (type != name) continue;
      h.dtype = dtype;
      h.swapped = order == (std::endian::native == std::endian::little ? '>' : '<');
      return;
    }
    fail(path_, "has elements of NumPy's type '" + printable(descr, 20) +
                    "', which Flash has not; convert them first, as by array.astype('float32')");
  }

  std::string_view rest_;
  std::string_view path_;
};

/// `prefix` is the file's beginning (all of it, or at least 12 + kMaxHeader bytes), `size` the
/// whole file's length.
Header parse_header(ByteSpan prefix, std::uint64_t size, std::string_view path) {
  if (prefix.size() < 10 || std::memcmp(prefix.data(), kMagic.data(), kMagic.size()) != 0) {
    fail(path, "is not an npy file: it does not begin with NumPy's magic bytes");
  }
  const int version = static_cast<int>(prefix[6]);
  if (version < 1 || version > 3) {
    fail(path, "is npy version " + std::to_string(version) + "; Flash reads 1, 2 and 3");
  }
  const std::size_t start = version == 1 ? 10 : 12;
  if (prefix.size() < start) fail(path, "is truncated in its npy header");
  const std::uint64_t length = load_le(prefix, 8, version == 1 ? 2 : 4);
  if (length > kMaxHeader) {
    fail(path, "has an npy header of " + std::to_string(length) + " bytes; at most " +
                   std::to_string(kMaxHeader) + " are sensible");
  }
  if (length > prefix.size() - start) fail(path, "is truncated in its npy header");
  Header h;
  h.data_at = start + length;
  Literal({reinterpret_cast<const char*>(prefix.data()) + start, length}, path).parse(h);
  try {
    check_shape(h.shape, "npy");
  } catch (const ShapeError& e) {
    fail(path, e.what());
  }
  const auto elements = static_cast<std::uint64_t>(h.shape.numel());
  const auto width = static_cast<std::uint64_t>(size_of(h.dtype));
  const std::uint64_t available = size - h.data_at;
  if (elements > available / width) {
    fail(path, "is truncated: shape " + h.shape.str() + " of " + std::string(name(h.dtype)) +
                   " needs more than the " + std::to_string(available) +
                   " bytes behind the header");
  }
  h.bytes = elements * width;
  return h;
}

void swap_bytes(Bytes& bytes, std::size_t width) {
  for (std::size_t i = 0; i < bytes.size(); i += width) {
    std::reverse(bytes.begin() + static_cast<std::ptrdiff_t>(i),
                 bytes.begin() + static_cast<std::ptrdiff_t>(i + width));
  }
}

/// Column-major to row-major.
Bytes transposed(const Bytes& in, const Shape& shape, std::size_t width) {
  Bytes out(in.size());
  const int rank = shape.rank();
  Strides strides = shape;  // of the source, in elements
  std::int64_t step = 1;
  for (int i = 0; i < rank; ++i) {
    strides[i] = step;
    step *= shape[i];
  }
  Shape index = shape;
  for (int i = 0; i < rank; ++i) index[i] = 0;
  std::int64_t from = 0;
  for (std::size_t to = 0; to < out.size(); to += width) {
    std::memcpy(out.data() + to, in.data() + static_cast<std::size_t>(from) * width, width);
    for (int i = rank - 1; i >= 0; --i) {
      from += strides[i];
      if (++index[i] < shape[i]) break;
      from -= strides[i] * shape[i];
      index[i] = 0;
    }
  }
  return out;
}

HostArray finish(const Header& h, Bytes bytes) {
  const auto width = static_cast<std::size_t>(size_of(h.dtype));
  if (h.swapped && width > 1) swap_bytes(bytes, width);
  if (h.fortran && h.shape.rank() > 1) bytes = transposed(bytes, h.shape, width);
  if (h.dtype == DType::kBool) {  // a bool is 0 or 1, whatever a file says
    for (std::byte& b : bytes) b = b == std::byte{0} ? std::byte{0} : std::byte{1};
  }
  return {h.dtype, h.shape, std::move(bytes)};
}

}  // namespace

HostArray read_npy(const std::string& path) {
  const InputFile file(path);
  const Bytes prefix = file.read_at(0, std::min<std::uint64_t>(file.size(), 12 + kMaxHeader));
  const Header h = parse_header(prefix, file.size(), path);
  return finish(h, file.read_at(h.data_at, h.bytes));
}

HostArray parse_npy(Bytes file, std::string_view path) {
  const Header h = parse_header(file, file.size(), path);
  file.erase(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(h.data_at));
  file.resize(h.bytes);
  return finish(h, std::move(file));
}

void check_host_array(const HostArray& array, const char* op) {
  check_shape(array.shape, op);
  const auto want = static_cast<std::uint64_t>(array.shape.numel()) *
                    static_cast<std::uint64_t>(size_of(array.dtype));
  if (array.bytes.size() != want) {
    throw ValueError(std::string(op) + ": an array of shape " + array.shape.str() + " and dtype " +
                     std::string(name(array.dtype)) + " has " + std::to_string(array.bytes.size()) +
                     " bytes (want " + std::to_string(want) + ")");
  }
}

std::string npy_header(const HostArray& array) {
  constexpr std::string_view kDescr[kNumDTypes] = {"b1", "u1", "i1", "i2", "i4",
                                                   "i8", "f2", "",   "f4", "f8"};
  const std::string_view descr = kDescr[static_cast<std::size_t>(array.dtype)];
  if (descr.empty()) {
    throw DTypeError("write_npy: NumPy has no type for " + std::string(name(array.dtype)) +
                     "; convert to f32 first, which is exact");
  }
  const char order = size_of(array.dtype) == 1                    ? '|'
                     : std::endian::native == std::endian::little ? '<'
                                                                  : '>';
  std::string text = "{'descr': '";
  text += order;
  text += descr;
  text += "', 'fortran_order': False, 'shape': (";
  for (int i = 0; i < array.shape.rank(); ++i) {
    text += std::to_string(array.shape[i]);
    text += array.shape.rank() == 1 ? "," : i + 1 < array.shape.rank() ? ", " : "";
  }
  text += "), }";
  text.append(63 - (10 + text.size()) % 64, ' ');  // the elements start at a multiple of 64
  text += '\n';
  std::string out(kMagic);
  out +=
      {'\x01', '\x00', static_cast<char>(text.size() & 0xff), static_cast<char>(text.size() >> 8)};
  return out + text;
}

void write_npy(const std::string& path, const HostArray& array) {
  check_host_array(array, "write_npy");
  const std::string header = npy_header(array);
  AtomicFile file(path);
  file.write(header);
  file.write(array.bytes);
  file.commit();
}

}  // namespace flash::io
