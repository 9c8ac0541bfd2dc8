// tests/files/image.cpp -- hostile pictures: PNG, PGM and PPM, and those that Flash does not read
#include "train/io/image.h"

#include "core/io/inflate.h"
#include "tests/files/format.h"
#include "tests/files/harnesses.h"

namespace flash::test {

/// A PNG's compressed bytes unpack to R bytes at most, whatever its header says. Of one bit a pixel
/// that are 8 R pixels, of four channels each where they come from a palette, and the result is a
/// copy of them; all other kinds are smaller.
bool read_image(io::ByteSpan file) {
  const bool png = !file.empty() && file[0] == std::byte{0x89};
  const std::uint64_t limit = file.size() * (png ? io::kMaxDeflateRatio * 72 : 1) + 4096;
  // The last byte chooses the channels; of a PNG it is one of a checksum that is not read.
  const int channels = file.empty() ? 0 : static_cast<int>(file.back()) % 5;
  const auto image =
      read_bounded(limit * (png ? 1 : 5), [&] { return io::decode_image(file, kFile, channels); });
  if (!image) return false;
  check_whole(*image);
  const Shape& s = image->shape;
  promise(image->dtype == DType::kU8 && s.rank() == 3 && s.numel() > 0 &&
              (channels ? s[2] == channels : s[2] >= 1 && s[2] <= 4),
          "the result is no picture: " + s.str());
  if (s.numel() <= 128) check_same(*image, io::decode_image(io::png_bytes(*image), kFile));
  return true;
}

std::vector<io::Bytes> image_seeds() {
  std::vector<io::Bytes> out;
  for (const std::int64_t c : {1, 2, 3, 4})
    out.push_back(io::png_bytes(some_array(DType::kU8, {5, 9, c})));
  for (const char* text : {"P5\n# note\n3 2\n255\nabcdef", "P6 1 1 255\nabc",
                           "P5 2 2 1000\n\1\2\1\2\1\2\1\2", "P6 1 2 15\n\1\2\3\4\5\6"}) {
    const io::ByteSpan file = io::as_bytes(text);
    out.emplace_back(file.begin(), file.end());
  }
  return out;
}

}  // namespace flash::test
