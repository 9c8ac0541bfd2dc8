// tests/core/io_test.cpp -- npy, npz and atomic files: golden bytes, hostile bytes, errors
#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/io/atomic_file.h"
#include "core/io/inflate.h"
#include "core/io/npy.h"
#include "core/io/npz.h"

using namespace flash;
namespace fs = std::filesystem;

namespace {

/// An empty folder for one test.
struct Folder {
  Folder() : path(fs::temp_directory_path() / ("flash_io_test_" + std::to_string(getpid()))) {
    fs::remove_all(path);
    fs::create_directories(path);
  }
  ~Folder() { fs::remove_all(path); }
  std::string operator/(const std::string& name) const { return (path / name).string(); }
  fs::path path;
};

io::Bytes bytes_of(std::string_view text) {
  const io::ByteSpan span = io::as_bytes(text);
  return {span.begin(), span.end()};
}

template <class T>
HostArray array_of(const Shape& shape, const std::vector<T>& values) {
  HostArray out{dtype_of<T>, shape, io::Bytes(values.size() * sizeof(T))};
  std::memcpy(out.bytes.data(), values.data(), out.bytes.size());
  return out;
}

template <class T>
std::vector<T> values_of(const HostArray& array) {
  REQUIRE(array.dtype == dtype_of<T>);
  std::vector<T> out(array.bytes.size() / sizeof(T));
  if (!out.empty()) std::memcpy(out.data(), array.bytes.data(), array.bytes.size());
  return out;
}

/// An npy file with this header text and payload.
io::Bytes npy(std::string header, std::string_view payload, int version = 1) {
  std::string out = "\x93NUMPY";
  out += static_cast<char>(version);
  out += '\0';
  for (int i = 0; i < (version == 1 ? 2 : 4); ++i) {
    out += static_cast<char>(header.size() >> (8 * i) & 0xff);
  }
  return bytes_of(out + header + std::string(payload));
}

std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const IoError& e) {
    return e.what();
  }
  return "(no IoError)";
}

bool same(const HostArray& a, const HostArray& b) {
  return a.dtype == b.dtype && a.shape == b.shape && a.bytes == b.bytes;
}

using namespace std::string_view_literals;

}  // namespace

TEST_CASE("npy headers of all versions, orders and spellings are read") {
  const auto payload = "\1\0\2\0\3\0\4\0\5\0\6\0"sv;
  for (const int version : {1, 2, 3}) {
    const HostArray a = io::parse_npy(
        npy("{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3), }   \n", payload, version),
        "a.npy");
    CHECK(a.shape == Shape{2, 3});
    CHECK(values_of<std::int16_t>(a) == std::vector<std::int16_t>{1, 2, 3, 4, 5, 6});
  }
  const HostArray fortran = io::parse_npy(
      npy("{\"shape\":(3L,2L),'fortran_order':True,'descr':'<i2'}", payload), "f.npy");
  CHECK(values_of<std::int16_t>(fortran) == std::vector<std::int16_t>{1, 4, 2, 5, 3, 6});
  const HostArray big =
      io::parse_npy(npy("{'descr': '>i2', 'fortran_order': False, 'shape': (6,), }",
                        "\0\1\0\2\0\3\0\4\0\5\0\6"sv),
                    "b.npy");
  CHECK(values_of<std::int16_t>(big) == std::vector<std::int16_t>{1, 2, 3, 4, 5, 6});
  const HostArray scalar = io::parse_npy(
      npy("{'descr': '<f8', 'fortran_order': False, 'shape': (), }", "\0\0\0\0\0\0\xf0\x3f"sv),
      "s");
  CHECK(scalar.shape == Shape{});
  CHECK(values_of<double>(scalar) == std::vector<double>{1.0});
  const HostArray flags = io::parse_npy(
      npy("{'descr': '|b1', 'fortran_order': False, 'shape': (3,), }", "\0\1\xff"sv), "t");
  CHECK(flags.bytes == bytes_of("\0\1\1"sv));
  const HostArray empty =
      io::parse_npy(npy("{'descr': '<f4', 'fortran_order': True, 'shape': (0, 3), }", ""), "e");
  CHECK(empty.shape == Shape{0, 3});
  CHECK(empty.bytes.empty());
}

TEST_CASE("a three-dimensional Fortran array is transposed") {
  std::string payload;
  for (int k = 0; k < 4; ++k) {
    for (int j = 0; j < 3; ++j) {
      for (int i = 0; i < 2; ++i) payload += static_cast<char>(i * 12 + j * 4 + k);
    }
  }
  const HostArray a = io::parse_npy(
      npy("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3, 4), }", payload), "f");
  for (int i = 0; i < 24; ++i) CHECK(static_cast<int>(a.bytes[static_cast<std::size_t>(i)]) == i);
}

TEST_CASE("arrays of every dtype come back from npy and npz as they were") {
  Folder folder;
  HostArrays all;
  for (int t = 0; t < kNumDTypes; ++t) {
    const auto dtype = static_cast<DType>(t);
    if (dtype == bf16) continue;
    for (const Shape& shape : {Shape{}, Shape{5}, Shape{2, 0}, Shape{3, 1, 2}}) {
      HostArray a{dtype, shape, {}};
      a.bytes.resize(static_cast<std::size_t>(shape.numel() * size_of(dtype)));
      for (std::size_t i = 0; i < a.bytes.size(); ++i) {
        a.bytes[i] = static_cast<std::byte>(dtype == boolean ? i & 1 : i * 37 + 11);
      }
      io::write_npy(folder / "a.npy", a);
      CHECK(same(io::read_npy(folder / "a.npy"), a));
      all.emplace(std::string(name(dtype)) + shape.str(), a);
    }
  }
  HostArray large{f32, {300, 1000}, io::Bytes(1200000)};
  for (std::size_t i = 0; i < large.bytes.size(); ++i) large.bytes[i] = std::byte(i / 7 % 251);
  all.emplace("large", large);
  for (const bool compress : {false, true}) {
    io::write_npz(folder / "a.npz", all, compress);
    const HostArrays back = io::read_npz(folder / "a.npz");
    REQUIRE(back.size() == all.size());
    for (const auto& entry : all) {
      CAPTURE(entry.first);
      CHECK(same(back.at(entry.first), entry.second));
    }
    const io::Bytes first = io::read_file(folder / "a.npz");
    io::write_npz(folder / "b.npz", all, compress);
    CHECK(io::read_file(folder / "b.npz") == first);
    CHECK((first.size() < 1000000) == compress);
  }
}

TEST_CASE("what npy writes is NumPy's own layout") {
  const HostArray a = array_of<float>({3}, {1, 2, 3});
  const std::string header = io::npy_header(a);
  CHECK(header.size() % 64 == 0);
  CHECK(header.substr(0, 10) == "\x93NUMPY\1\0\x76\0"sv);
  CHECK(header.substr(10, 59) == "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }  ");
  CHECK(header.back() == '\n');
  CHECK_THROWS_WITH_AS(
      io::npy_header({bf16, {}, io::Bytes(2)}),
      "write_npy: NumPy has no type for bf16; convert to f32 first, which is exact", DTypeError);
  CHECK_THROWS_AS(io::check_host_array({f32, {3}, io::Bytes(11)}, "write_npy"), ValueError);
}

TEST_CASE("npy files that Flash cannot take are refused with a reason") {
  auto parse = [](const io::Bytes& file) {
    return error_of([&] { io::parse_npy(file, "x.npy"); });
  };
  auto header = [&](const std::string& descr, const std::string& shape) {
    return parse(npy("{'descr': " + descr + ", 'fortran_order': False, 'shape': " + shape + ", }",
                     std::string(64, '\0')));
  };
  CHECK(header("'|O'", "(2,)") ==
        "\"x.npy\": holds Python objects, and loading those runs code; save an array of numbers "
        "instead");
  CHECK(
      header("'<u4'", "(2,)") ==
      "\"x.npy\": has elements of NumPy's type '<u4', which Flash has not; convert them first, as "
      "by array.astype('float32')");
  CHECK(header("'<c8'", "(2,)").find("'<c8'") != std::string::npos);
  CHECK(header("[('a', '<f4')]", "(2,)") ==
        "\"x.npy\": holds a structured array; save its fields alone");
  CHECK(
      header("'<f4'", "(17,)") ==
      "\"x.npy\": is truncated: shape [17] of f32 needs more than the 64 bytes behind the header");
  CHECK(header("'<f4'", "(4611686018427387904, 4)").find("64-bit") != std::string::npos);
  CHECK(header("'<f4'", "(1,1,1,1,1,1,1,1,1)") == "\"x.npy\": has more than 8 dimensions");
  for (const char* shape : {"(-1,)", "(2", "2", "(2,,)", "(x,)", "(99999999999999999999,)"}) {
    CHECK(header("'<f4'", shape) == "\"x.npy\": is damaged: its npy header makes no sense");
  }
  CHECK(parse(bytes_of("PK\3\4 and so on")) ==
        "\"x.npy\": is not an npy file: it does not begin with NumPy's magic bytes");
  CHECK(parse(bytes_of("\x93NUMPY\7\0\1\0 "sv)) ==
        "\"x.npy\": is npy version 7; Flash reads 1, 2 and 3");
  CHECK(parse(bytes_of("\x93NUMPY\2\0\xff\xff\xff\xff {}"sv)).find("4294967295") !=
        std::string::npos);
  CHECK(parse({}) == "\"x.npy\": is not an npy file: it does not begin with NumPy's magic bytes");
}

TEST_CASE("no npy file that is cut or flipped at any byte crashes the reader") {
  const HostArray a = array_of<float>({2, 2}, {1, 2, 3, 4});
  io::Bytes good = bytes_of(io::npy_header(a));
  good.insert(good.end(), a.bytes.begin(), a.bytes.end());
  int refused = 0;
  for (std::size_t n = 0; n < good.size(); ++n) {
    refused +=
        error_of([&] {
          io::parse_npy({good.begin(), good.begin() + static_cast<std::ptrdiff_t>(n)}, "cut");
        }) != "(no IoError)";
    for (const int flip : {0x01, 0x10, 0x80, 0xff}) {
      io::Bytes bad = good;
      bad[n] ^= static_cast<std::byte>(flip);
      error_of([&] { io::parse_npy(bad, "flipped"); });
    }
  }
  CHECK(refused == static_cast<int>(good.size()));
}

TEST_CASE("damaged npz archives are refused, none crashes the reader") {
  Folder folder;
  HostArrays arrays;
  arrays.emplace("a", array_of<std::int32_t>({2, 2}, {1, 2, 3, 4}));
  arrays.emplace("b", array_of<double>({}, {2.5}));
  const std::string path = folder / "x.npz";
  for (const bool compress : {false, true}) {
    io::write_npz(path, arrays, compress);
    const io::Bytes good = io::read_file(path);
    int refused = 0;
    for (std::size_t n = 0; n < good.size(); n += 3) {
      io::write_file_atomic(path, io::ByteSpan(good).first(n));
      refused += error_of([&] { io::read_npz(path); }) != "(no IoError)";
      io::Bytes bad = good;
      bad[n] ^= std::byte{0x55};
      io::write_file_atomic(path, bad);
      error_of([&] { io::read_npz(path); });
    }
    CHECK(refused == static_cast<int>((good.size() + 2) / 3));
    io::Bytes bad = good;
    bad[30 + 5 + 80] ^= std::byte{1};  // inside the first member's header padding or data
    io::write_file_atomic(path, bad);
    CHECK(error_of([&] { io::read_npz(path); }).find("is damaged") != std::string::npos);
  }
  io::write_npz(path, {});
  CHECK(io::read_npz(path).empty());
  io::Bytes end = io::read_file(path);
  for (std::size_t i = 8; i < 12; ++i) end[i] = std::byte{0xff};
  io::write_file_atomic(path, end);
  CHECK(error_of([&] { io::read_npz(path); }) ==
        "\"" + path +
            "\": is a ZIP64 archive, which Flash does not read; save its arrays as npy files");
}

TEST_CASE("npz members that share bytes are refused: a small file must not unpack to its square") {
  // A hundred entries of the directory that all name the first member.
  const io::Bytes one = io::npz_bytes({{"a", array_of<double>({500}, std::vector<double>(500))}});
  const std::size_t end = one.size() - 22, at = io::load_le(one, end + 16, 4);
  io::Bytes bomb(one.begin(), one.begin() + static_cast<std::ptrdiff_t>(at));
  for (int i = 0; i < 100; ++i) {
    io::Bytes entry(one.begin() + static_cast<std::ptrdiff_t>(at),
                    one.begin() + static_cast<std::ptrdiff_t>(end));
    entry[46] = static_cast<std::byte>('0' + i);  // the first letter of its name
    bomb.insert(bomb.end(), entry.begin(), entry.end());
  }
  const std::size_t directory = bomb.size() - at;
  bomb.insert(bomb.end(), one.begin() + static_cast<std::ptrdiff_t>(end),
              one.begin() + static_cast<std::ptrdiff_t>(end) + 8);
  for (int k = 0; k < 2; ++k) io::store_le(bomb, 100, 2);
  io::store_le(bomb, directory, 4);
  io::store_le(bomb, at, 4);
  io::store_le(bomb, 0, 2);
  CHECK(error_of([&] { io::parse_npz(bomb, "x"); }) ==
        "\"x\": is damaged: two of its members share bytes");
  io::Bytes into = one;  // a member as long as all that follows it
  for (const std::size_t size : {at + 20, at + 24})
    for (std::size_t k = 0; k < 4; ++k) into[size + k] = std::byte(one.size() >> (8 * k) & 0xff);
  CHECK(error_of([&] { io::parse_npz(into, "x"); }) ==
        "\"x\": is damaged: a member reaches into its directory");
  CHECK(same(io::parse_npz(one, "x").at("a"), array_of<double>({500}, std::vector<double>(500))));
}

TEST_CASE("names that files bring along cannot fill or control a terminal") {
  CHECK(io::printable("weights.npy") == "weights.npy");
  CHECK(io::printable("a\x1b[2J\n\x7f") == "a\\x1b[2J\\x0a\\x7f");
  CHECK(io::printable(std::string(300, 'a'), 10) == "aaaaaaaaaa...");
  CHECK(io::printable("\xc3\xa4\xc3\xa4\xc3\xa4", 4) == "\xc3\xa4\xc3\xa4...");  // ä ä, not half
  CHECK(io::printable(std::string(300, '\x80'), 10).size() < 20);
  io::Bytes npz = io::npz_bytes({{std::string(60000, 'n') + "\x1b", array_of<double>({}, {1})}});
  npz[30 + 60005 + 3] ^= std::byte{1};  // in its data
  const std::string text = error_of([&] { io::parse_npz(npz, "x"); });
  CHECK(text.size() < 200);
  CHECK(text.find("\": is damaged: its checksum does not match") != std::string::npos);
  CHECK(error_of([&] {
          io::parse_npy(npy("{'descr': '\x1b[2J', 'fortran_order': False, 'shape': (), }", ""),
                        "x.npy");
        }).find("NumPy's type '\\x1b[2J'") != std::string::npos);
}

TEST_CASE("memory is read as a file is, and no further than it goes") {
  const io::InputFile file = io::InputFile::in_memory(io::as_bytes("hello"), "m");
  CHECK(file.size() == 5);
  CHECK(file.read_at(1, 3) == bytes_of("ell"));
  CHECK(file.read_at(5, 0).empty());
  CHECK(error_of([&] { file.read_at(3, 3); }) ==
        "\"m\": ends early: bytes 3 to 6 are needed, it has 5");
  io::Bytes out(2);
  CHECK(error_of([&] { file.read_at(4, out); }) == "\"m\": ends early, at byte 5");
}

TEST_CASE("NumPy's own files are read, and its object arrays refused") {
  const fs::path data = fs::path(FLASH_TEST_DATA) / "formats" / "npy";
  if (!fs::exists(data)) {
    MESSAGE("skipped: no test data at " << data.string());
    return;
  }
  const HostArray a = io::read_npy((data / "test.npy").string());
  CHECK(a.bytes.size() == static_cast<std::size_t>(a.shape.numel() * size_of(a.dtype)));
  const HostArrays z = io::read_npz((data / "test.npz").string());
  CHECK_FALSE(z.empty());
  for (const auto& [key, array] : z) CHECK(array.dtype == i64);
  const auto object = "holds Python objects";
  CHECK(error_of([&] { io::read_npy((data / "py3-objarr.npy").string()); }).find(object) !=
        std::string::npos);
  CHECK(error_of([&] { io::read_npz((data / "py3-objarr.npz").string()); }).find(object) !=
        std::string::npos);
}

TEST_CASE("gzip and deflate refuse bombs, cuts and garbage") {
  const io::Bytes zeros(3 << 20);
  const io::Bytes packed = io::deflate_raw(zeros);
  CHECK(packed.size() < 4000);
  CHECK(io::inflate(packed, io::Deflate::kRaw, zeros.size(), "z") == zeros);
  CHECK(error_of([&] { io::inflate(packed, io::Deflate::kRaw, zeros.size() - 1, "z"); }) ==
        "\"z\": unpacks to more than the 3145727 bytes it should have");
  const io::ByteSpan cut = io::ByteSpan(packed).first(packed.size() - 1);
  CHECK(error_of([&] { io::inflate(cut, io::Deflate::kRaw, zeros.size(), "z"); }) ==
        "\"z\": is truncated: its compressed data ends early");
  CHECK(error_of([&] { io::inflate({}, io::Deflate::kGzip, 1, "z"); }) ==
        "\"z\": is truncated: its compressed data ends early");
  CHECK(error_of([&] { io::inflate(packed, io::Deflate::kGzip, 1, "z"); }) ==
        "\"z\": is damaged: incorrect header check");
  const io::Bytes start(100);
  CHECK(io::inflate_start(packed, io::Deflate::kRaw, 100, "z") == start);
  CHECK(io::inflate_start(cut, io::Deflate::kRaw, 100, "z") == start);  // its end is not looked at
  CHECK(io::inflate_start(packed, io::Deflate::kRaw, zeros.size() + 1, "z") == zeros);
  CHECK(io::inflate_start(packed, io::Deflate::kRaw, 0, "z").empty());
  CHECK(io::crc32_of(io::as_bytes("123456789")) == 0xcbf43926);  // the check value of CRC-32
}

TEST_CASE("an atomic file replaces the old one whole or not at all") {
  Folder folder;
  const std::string path = folder / "state";
  io::write_file_atomic(path, io::as_bytes("old"));
  {
    io::AtomicFile file(path);
    file.write("half of the n");
  }  // no commit: as after an exception
  CHECK(io::read_file(path) == bytes_of("old"));
  {
    io::AtomicFile file(path);
    file.write("new");
    file.write(" text");
    CHECK(io::read_file(path) == bytes_of("old"));
    file.commit();
  }
  CHECK(io::read_file(path) == bytes_of("new text"));
  fs::create_symlink("state", folder.path / "link");
  io::write_file_atomic(folder / "link", io::as_bytes("through"));
  CHECK(fs::is_symlink(folder.path / "link"));
  CHECK(io::read_file(path) == bytes_of("through"));
  fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write);
  io::write_file_atomic(path, io::as_bytes("secret"));
  CHECK(fs::status(path).permissions() == (fs::perms::owner_read | fs::perms::owner_write));
  CHECK(io::temporary_path(path) != io::temporary_path(path));
  io::write_file_atomic("/dev/null", io::as_bytes("gone"));
  CHECK(fs::is_character_file("/dev/null"));
  CHECK(std::distance(fs::directory_iterator(folder.path), fs::directory_iterator()) == 2);
}

TEST_CASE("files that are not there, are folders or cannot be written give one clear error") {
  Folder folder;
  CHECK(error_of([&] { io::read_npy(folder / "none.npy"); }) ==
        "\"" + (folder / "none.npy") + "\": cannot be opened: No such file or directory");
  CHECK(error_of([&] { io::read_npy(folder.path.string()); }) ==
        "\"" + folder.path.string() + "\": is a folder, not a file");
  CHECK(error_of([&] { io::write_file_atomic(folder / "no/such/x", {}); }) ==
        "\"" + (folder / "no/such/x") + "\": cannot be written: No such file or directory");
  CHECK(error_of([&] { io::write_file_atomic(folder.path.string(), {}); }) ==
        "\"" + folder.path.string() + "\": cannot be written: it is a folder");
}
