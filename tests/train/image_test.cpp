// tests/train/image_test.cpp -- PNG and PGM in and out
#include "train/io/image.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "core/error.h"
#include "core/io/atomic_file.h"
#include "tests/train/scratch_folder.h"

using namespace flash;
using test::error_of;
using namespace std::string_view_literals;
namespace fs = std::filesystem;

namespace {
HostArray pattern(const Shape& shape) {
  HostArray out{u8, shape, io::Bytes(static_cast<std::size_t>(shape.numel()))};
  for (std::size_t i = 0; i < out.bytes.size(); ++i) out.bytes[i] = std::byte(i * 7 % 256);
  return out;
}

io::Bytes bytes_of(std::string_view text) {
  const io::ByteSpan span = io::as_bytes(text);
  return {span.begin(), span.end()};
}
}  // namespace

TEST_CASE("a PNG comes back as it was written, with 1 to 4 channels") {
  test::ScratchFolder folder;
  const std::string path = folder / "a.png";
  for (const std::int64_t c : {1, 2, 3, 4}) {
    const HostArray image = pattern({5, 9, c});
    io::write_png(path, image);
    const HostArray back = io::read_image(path);
    CHECK(back.shape == image.shape);
    CHECK(back.bytes == image.bytes);
    CHECK(io::read_image(path, 1).shape == Shape{5, 9, 1});
  }
  const HostArray flat = pattern({4, 6});
  io::write_png(path, flat);
  CHECK(io::read_image(path).shape == Shape{4, 6, 1});
  CHECK(io::read_image(path).bytes == flat.bytes);
}

TEST_CASE("PGM and PPM are read") {
  const HostArray pgm = io::decode_image(io::as_bytes("P5\n# note\n3 2\n255\nabcdef"), "x.pgm");
  CHECK(pgm.shape == Shape{2, 3, 1});
  CHECK(static_cast<char>(pgm.bytes[4]) == 'e');
  CHECK(io::decode_image(io::as_bytes("P6 1 1 255\nabc"), "x.ppm").shape == Shape{1, 1, 3});
}

TEST_CASE("images that are none, lie about their size or break off are refused") {
  auto error = [](std::string_view text) {
    return error_of<IoError>([&] { io::decode_image(io::as_bytes(text), "x"); });
  };
  CHECK(error("") == "\"x\": is not an image that Flash reads (PNG, or binary PGM or PPM)");
  CHECK(error("hello") == "\"x\": is not an image that Flash reads (PNG, or binary PGM or PPM)");
  CHECK(error("P5 30000 30000 255\nabc") ==
        "\"x\": is truncated: 30000 x 30000 pixels of 1 bytes do not fit into the 3 behind its "
        "header");
  test::ScratchFolder folder;
  io::write_png(folder / "a.png", pattern({20, 20, 3}));
  const io::Bytes good = io::read_file(folder / "a.png");
  int refused = 0;
  for (std::size_t n = 0; n + 16 < good.size(); ++n) {
    refused += error_of<IoError>([&] { io::decode_image(io::ByteSpan(good).first(n), "cut"); }) !=
               "(nothing)";
    io::Bytes bad = good;
    bad[n] ^= std::byte{0x24};
    error_of<IoError>([&] { io::decode_image(bad, "flipped"); });
  }
  CHECK(refused == static_cast<int>(good.size() - 16));
  CHECK_THROWS_AS(io::decode_image(good, "x", 5), ValueError);
  CHECK_THROWS_AS(io::write_png(folder / "b.png", pattern({5})), ShapeError);
  CHECK_THROWS_AS(io::write_png(folder / "b.png", pattern({5, 5, 5})), ShapeError);
  CHECK_THROWS_AS(io::write_png(folder / "b.png", {f32, {1, 1}, io::Bytes(4)}), DTypeError);
  CHECK_FALSE(fs::exists(folder / "b.png"));
}

TEST_CASE("PGM and PPM of any depth are scaled, and converted without reading behind them") {
  const auto deep = "P6 2 1 65535\n\xff\xff\x80\x00\x00\x00\x12\x34\x12\x34\x12\x34"sv;
  const HostArray colours = io::decode_image(io::as_bytes(deep), "x");
  CHECK(colours.shape == Shape{1, 2, 3});
  CHECK(colours.bytes == bytes_of("\xff\x80\x00\x12\x12\x12"sv));
  // 16 bits a value and another number of channels: half of what was read lay outside once.
  for (const int channels : {1, 2, 3, 4})
    CHECK(io::decode_image(io::as_bytes(deep), "x", channels).shape == Shape{1, 2, channels});
  const HostArray grey = io::decode_image(io::as_bytes("P5 3 1 15\n\x00\x07\x0f"sv), "x", 4);
  CHECK(grey.bytes == bytes_of("\0\0\0\xff\x77\x77\x77\xff\xff\xff\xff\xff"sv));
  const HostArray one = io::decode_image(io::as_bytes("P6 1 1 255\n\x64\xc8\x32"sv), "x", 1);
  CHECK(static_cast<int>(one.bytes[0]) == (100 * 77 + 200 * 150 + 50 * 29) >> 8);
}

TEST_CASE("PGM and PPM whose headers lie are refused") {
  auto error = [](std::string_view text) {
    return error_of<IoError>([&] { io::decode_image(io::as_bytes(text), "x"); });
  };
  // Once the rest of these pixels was what lay in memory.
  CHECK(error("P5 3 3 255\nabcde") ==
        "\"x\": is truncated: 3 x 3 pixels of 1 bytes do not fit into the 5 behind its header");
  CHECK(error("P6 2 1 300\n12345678901").find("pixels of 6 bytes do not fit into the 11") !=
        std::string::npos);
  CHECK(error("P5 1 1 15\n\x10") ==
        "\"x\": is damaged: it has the value 16 and says that none is above 15");
  for (const char* header : {"P5", "P5 ", "P51 1 255\na", "P5 0 1 255\na", "P5 -1 1 255\na",
                             "P5 65537 1 255\na", "P5 99999999999999999999 1 255\na", "P5 x"})
    CHECK(error(header) == "\"x\": is damaged: its header needs a width of 1 to 65536");
  CHECK(error("P5 1 # 1 255\na") == "\"x\": is damaged: its header needs a height of 1 to 65536");
  CHECK(error("P5 1 1 65536\na") ==
        "\"x\": is damaged: its header needs a largest value of 1 to 65535");
  CHECK(error("P5 1 1 255") == "\"x\": is damaged: no white space ends its header");
}

TEST_CASE("a PNG promises no more pixels than its compressed bytes could hold") {
  const io::Bytes good = io::png_bytes(pattern({20, 20, 3}));
  const auto with_size = [&](std::uint32_t width, std::uint32_t height) {
    io::Bytes bad = good;
    for (std::size_t i = 0; i < 4; ++i) {
      bad[16 + i] = std::byte(width >> (24 - 8 * i) & 0xff);
      bad[20 + i] = std::byte(height >> (24 - 8 * i) & 0xff);
    }
    return error_of<IoError>([&] { io::decode_image(bad, "x"); });
  };
  CHECK(with_size(20, 20) == "(nothing)");
  CHECK(with_size(20000, 20000).find("compressed ones cannot unpack to so many") !=
        std::string::npos);
  CHECK(with_size(30000, 30000) ==
        "\"x\": has more than the 536,870,911 pixels that Flash decodes");
  CHECK(with_size(0, 20) == "\"x\": is damaged: a side of 0 pixels (want 1 to 65536)");
  CHECK(with_size(20, 1u << 31).find("a side of 2147483648 pixels") != std::string::npos);
  io::Bytes bad = good;
  bad[33] = std::byte{0x7f};  // the length of the chunk behind the header
  CHECK(error_of<IoError>([&] { io::decode_image(bad, "x"); }).find("is truncated: a PNG chunk") !=
        std::string::npos);
}

TEST_CASE("colours that a palette leaves out are black, not what lay in memory") {
  // 4 x 1 pixels of 8 bits: colours 0, 1, 2 and 255 of a palette of one.
  const auto chunk = [](std::string_view type, std::string_view data) {
    io::Bytes out;
    for (int shift = 24; shift >= 0; shift -= 8) out.push_back(std::byte(data.size() >> shift));
    for (const std::string_view text : {type, data, "\0\0\0\0"sv})  // its checksum is not read
      out.insert(out.end(), io::as_bytes(text).begin(), io::as_bytes(text).end());
    return out;
  };
  io::Bytes file = bytes_of("\x89PNG\r\n\x1a\n"sv);
  for (const io::Bytes& part :
       {chunk("IHDR", "\0\0\0\4\0\0\0\1\x08\3\0\0\0"sv), chunk("PLTE", "abc"),
        chunk("IDAT", "\x78\x01\1\5\0\xfa\xff\0\0\1\2\xff\0\0\0\0"sv), chunk("IEND", "")})
    file.insert(file.end(), part.begin(), part.end());
  const HostArray image = io::decode_image(file, "x");
  CHECK(image.shape == Shape{1, 4, 3});
  CHECK(image.bytes == bytes_of("abc\0\0\0\0\0\0\0\0\0"sv));
}

TEST_CASE("all of PngSuite is decoded, and interlaced pictures equal their plain twins") {
  const fs::path data = fs::path(FLASH_TEST_DATA) / "formats" / "png" / "pngsuite";
  if (!fs::exists(data)) {
    MESSAGE("skipped: no test data at " << data.string());
    return;
  }
  int decoded = 0, twins = 0;
  for (const auto& file : fs::directory_iterator(data)) {
    if (file.path().extension() != ".png") continue;
    const HostArray image = io::read_image(file.path().string());
    CHECK(image.shape[0] == 32);
    CHECK(image.shape[1] == 32);
    ++decoded;
    const fs::path twin = data / ("i" + file.path().filename().string());
    if (!fs::exists(twin)) continue;
    CAPTURE(twin.string());
    CHECK(io::read_image(twin.string()).bytes == image.bytes);
    ++twins;
  }
  CHECK(decoded == 60);
  CHECK(twins > 20);
}
