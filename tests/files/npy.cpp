// tests/files/npy.cpp -- hostile npy files and npz archives
#include "core/io/npy.h"

#include "core/io/inflate.h"
#include "core/io/npz.h"
#include "tests/files/format.h"
#include "tests/files/harnesses.h"

namespace flash::test {
namespace {

io::Bytes npy_file(const HostArray& array) {
  const std::string header = io::npy_header(array);
  io::Bytes out(io::as_bytes(header).begin(), io::as_bytes(header).end());
  out.insert(out.end(), array.bytes.begin(), array.bytes.end());
  return out;
}

HostArrays some_arrays() {
  HostArrays out;
  for (int t = 0; t < kNumDTypes; ++t) {
    const auto dtype = static_cast<DType>(t);
    if (dtype != DType::kBF16) out.emplace(name(dtype), some_array(dtype, {2, t % 4}));
  }
  return out;
}

io::Bytes bytes_of(const std::string& text) {
  const io::ByteSpan span = io::as_bytes(text);
  return {span.begin(), span.end()};
}

}  // namespace

HostArray some_array(DType dtype, const Shape& shape) {
  HostArray a{dtype, shape, {}};
  a.bytes.resize(static_cast<std::size_t>(shape.numel() * size_of(dtype)));
  for (std::size_t i = 0; i < a.bytes.size(); ++i)
    a.bytes[i] = static_cast<std::byte>(dtype == DType::kBool ? i & 1 : i * 37 + i / 7 + 11);
  return a;
}

/// The file, and its elements once more where they are transposed.
bool read_npy(io::ByteSpan file) {
  const auto array = read_bounded(
      2 * file.size(), [&] { return io::parse_npy(io::Bytes(file.begin(), file.end()), kFile); });
  if (!array) return false;
  check_whole(*array);
  promise(array->bytes.size() < file.size(), "there are more elements than bytes");
  check_same(*array, io::parse_npy(npy_file(*array), kFile));
  return true;
}

/// All members together unpack to what deflate can make of the file; the one that is read is there
/// up to three times (packed, unpacked and growing, or transposed).
bool read_npz(io::ByteSpan file) {
  const auto arrays = read_bounded(4 * io::kMaxDeflateRatio * file.size(),
                                   [&] { return io::parse_npz(file, kFile); });
  if (!arrays) return false;
  for (const auto& [name, array] : *arrays) check_whole(array);
  check_same(*arrays, io::parse_npz(io::npz_bytes(*arrays), kFile));
  return true;
}

std::vector<io::Bytes> npy_seeds() {
  std::vector<io::Bytes> out;
  for (const auto& [name, array] : some_arrays()) out.push_back(npy_file(array));
  out.push_back(npy_file(some_array(DType::kI16, {})));
  out.push_back(npy_file(some_array(DType::kU8, {1, 2, 1, 2, 1, 2, 1, 2})));
  const std::string header = "{\"shape\":(3L,2L,2),'fortran_order':True,'descr':'>i2'}";
  out.push_back(bytes_of("\x93NUMPY\x01" + std::string(1, '\0') +
                         std::string(1, static_cast<char>(header.size())) + std::string(1, '\0') +
                         header + "abcdefghijklmnopqrstuvwx"));
  out.push_back(bytes_of("\x93NUMPY\x03" + std::string(1, '\0') +
                         std::string(1, static_cast<char>(header.size())) + std::string(3, '\0') +
                         header + "abcdefghijklmnopqrstuvwx"));
  return out;
}

std::vector<io::Bytes> npz_seeds() {
  HostArrays one;
  one.emplace("a", some_array(DType::kF64, {2, 3}));
  HostArrays zeros;
  zeros.emplace("z", HostArray{DType::kU8, {2000}, io::Bytes(2000)});
  return {
      io::npz_bytes({}),          io::npz_bytes(one),           io::npz_bytes(one, true),
      io::npz_bytes(zeros, true), io::npz_bytes(some_arrays()), io::npz_bytes(some_arrays(), true)};
}

}  // namespace flash::test
