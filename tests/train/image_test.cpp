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
namespace fs = std::filesystem;

namespace {
HostArray pattern(const Shape& shape) {
  HostArray out{u8, shape, io::Bytes(static_cast<std::size_t>(shape.numel()))};
  for (std::size_t i = 0; i < out.bytes.size(); ++i) out.bytes[i] = std::byte(i * 7 % 256);
  return out;
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
        "\"x\": is damaged: 30000 x 30000 pixels do not fit into its 22 bytes");
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
