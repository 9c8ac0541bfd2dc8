// tests/train/idx_test.cpp -- the IDX reader on small files, hostile files and MNIST itself
#include "train/data/idx.h"

#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>

#include "core/error.h"
#include "core/io/atomic_file.h"
#include "core/io/inflate.h"
#include "tests/gzip.h"
#include "tests/train/scratch_folder.h"

using namespace flash;
using test::error_of;
using test::gzip;
namespace fs = std::filesystem;
using namespace std::string_view_literals;

namespace {

HostArray parse(std::string_view text) { return data::parse_idx(io::as_bytes(text), "x"); }

}  // namespace

TEST_CASE("IDX elements of all types are read and swapped") {
  const HostArray bytes = parse("\0\0\x08\2\0\0\0\2\0\0\0\3abcdef"sv);
  CHECK(bytes.dtype == u8);
  CHECK(bytes.shape == Shape{2, 3});
  CHECK(static_cast<char>(bytes.bytes[5]) == 'f');
  const HostArray shorts = parse("\0\0\x0b\1\0\0\0\2\1\2\xff\xfe"sv);
  std::array<std::int16_t, 2> values{};
  std::memcpy(values.data(), shorts.bytes.data(), 4);
  CHECK(values == std::array<std::int16_t, 2>{0x102, -2});
  const HostArray floats = parse("\0\0\x0d\1\0\0\0\1\x3f\x80\0\0"sv);
  float one = 0;
  std::memcpy(&one, floats.bytes.data(), 4);
  CHECK(one == 1.0f);
  CHECK(parse("\0\0\x08\1\0\0\0\0"sv).shape == Shape{0});
}

TEST_CASE("IDX files that are cut, too long or no IDX at all are refused") {
  auto error = [](std::string_view text) { return error_of<IoError>([&] { parse(text); }); };
  CHECK(error("") == "\"x\": is not an IDX file: it does not begin with two zero bytes");
  CHECK(error("PK\3\4") == "\"x\": is not an IDX file: it does not begin with two zero bytes");
  CHECK(error("\0\0\x07\1\0\0\0\0"sv) == "\"x\": is not an IDX file: 7 is not an element type");
  CHECK(error("\0\0\x08\3\0\0\0\2"sv) == "\"x\": is truncated in its IDX header");
  CHECK(error("\0\0\x08\xff\0\0\0\2"sv) == "\"x\": has more than 8 dimensions");
  CHECK(error("\0\0\x08\1\0\0\0\3ab"sv) ==
        "\"x\": is truncated: shape [3] of u8 does not fill the 2 bytes behind the header");
  CHECK(error("\0\0\x08\1\0\0\0\1ab"sv) ==
        "\"x\": is damaged: shape [1] of u8 does not fill the 2 bytes behind the header");
  CHECK(error("\0\0\x0e\4\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"sv)
            .find("64-bit") != std::string::npos);
  CHECK(error("\x1f\x8b\x08"sv) == "\"x\": is truncated: its compressed data ends early");
}

TEST_CASE("a gzipped IDX file is recognised by its bytes, and a damaged one refused") {
  test::ScratchFolder folder;
  const std::string plain("\0\0\x08\1\0\0\0\5hello"sv);
  const io::Bytes packed = gzip(io::as_bytes(plain));
  io::write_file_atomic(folder / "no_suffix", packed);
  CHECK(data::read_idx(folder / "no_suffix").shape == Shape{5});
  for (std::size_t n = 2; n < packed.size(); ++n) {
    CHECK(error_of<IoError>([&] { data::parse_idx(io::ByteSpan(packed).first(n), "x"); }) ==
          "\"x\": is truncated: its compressed data ends early");
  }
  io::Bytes bad = packed;
  bad[packed.size() - 6] ^= std::byte{1};  // in the checksum
  CHECK(error_of<IoError>([&] { data::parse_idx(bad, "x"); }) ==
        "\"x\": is damaged: incorrect data check");
}

TEST_CASE("a gzipped IDX file is unpacked no further than its header promises") {
  std::string plain("\0\0\x08\1\0\0\0\5hello"sv);
  plain.resize(64 << 20);
  const io::Bytes bomb = gzip(io::as_bytes(plain));
  CHECK(error_of<IoError>([&] { data::parse_idx(bomb, "x"); }) ==
        "\"x\": unpacks to more than the 13 bytes it should have");
  const io::Bytes zeros = gzip(io::as_bytes(std::string(64 << 20, 'x')));
  CHECK(error_of<IoError>([&] { data::parse_idx(zeros, "x"); }) ==
        "\"x\": is not an IDX file: it does not begin with two zero bytes");
  // Two members, the header cut in the middle: gzip files may be joined.
  io::Bytes two = gzip(io::as_bytes(std::string_view(plain).substr(0, 6)));
  const io::Bytes rest = gzip(io::as_bytes(std::string_view(plain).substr(6, 7)));
  two.insert(two.end(), rest.begin(), rest.end());
  CHECK(data::parse_idx(two, "x").shape == Shape{5});
}

TEST_CASE("a folder that is not MNIST is refused with what is missing") {
  test::ScratchFolder folder;
  CHECK(error_of<IoError>([&] { data::read_mnist(folder / "none", true); }) ==
        "\"" + (folder / "none") + "\": is not a folder; want one with MNIST's four files in it");
  CHECK(error_of<IoError>([&] {
          data::read_mnist(folder.path().string(), true);
        }).find("train-images-idx3-ubyte\": cannot be opened") != std::string::npos);
  io::write_file_atomic(folder / "t10k-images-idx3-ubyte",
                        io::as_bytes("\0\0\x08\3\0\0\0\2\0\0\0\1\0\0\0\1ab"sv));
  io::write_file_atomic(folder / "t10k-labels-idx1-ubyte", io::as_bytes("\0\0\x08\1\0\0\0\1\1"sv));
  CHECK(error_of<IoError>([&] {
          data::read_mnist(folder.path().string(), false);
        }).find("[2, 1, 1] u8 and [1] u8") != std::string::npos);
  io::write_file_atomic(folder / "t10k-labels-idx1-ubyte",
                        io::as_bytes("\0\0\x08\1\0\0\0\2\1\x0a"sv));
  CHECK(error_of<IoError>([&] {
          data::read_mnist(folder.path().string(), false);
        }).find("has the label 10 (want 0 to 9)") != std::string::npos);
  io::write_file_atomic(folder / "t10k-labels-idx1-ubyte",
                        io::as_bytes("\0\0\x08\1\0\0\0\2\1\2"sv));
  CHECK(data::read_mnist(folder.path().string(), false).images.shape == Shape{2, 1, 1});
}

TEST_CASE("MNIST is read whole") {
  const fs::path folder = fs::path(FLASH_TEST_DATA) / "mnist";
  if (!fs::exists(folder)) {
    MESSAGE("skipped: no test data at " << folder.string());
    return;
  }
  const data::LabelledImages train = data::read_mnist(folder.string(), true);
  CHECK(train.images.shape == Shape{60000, 28, 28});
  std::array<int, 10> counts{};
  for (const std::byte label : train.labels.bytes) ++counts[static_cast<std::size_t>(label)];
  CHECK(counts == std::array{5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949});
  CHECK(data::read_mnist(folder.string(), false).labels.shape == Shape{10000});
}
