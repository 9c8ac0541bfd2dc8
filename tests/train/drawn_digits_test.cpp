// tests/train/drawn_digits_test.cpp -- drawn digits are fixed by seed and index, and look like
// digits
#include "train/data/drawn_digits.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/io/inflate.h"

using namespace flash;

TEST_CASE("picture i of a seed is the same whatever was drawn before") {
  const data::DrawnDigits digits(5);
  const data::LabelledImages all = digits.make(0, 50);
  CHECK(all.images.shape == Shape{50, 28, 28});
  CHECK(all.labels.shape == Shape{50});
  for (const std::uint64_t i : {49, 0, 17, 3}) {
    std::array<std::uint8_t, data::kDigitPixels> image;
    const int label = digits.draw(i, image);
    CHECK(label == static_cast<int>(all.labels.bytes[i]));
    CHECK(label == digits.label(i));
    CHECK(std::memcmp(image.data(), all.images.bytes.data() + i * image.size(), image.size()) == 0);
  }
  CHECK(digits.make(10, 5).images.bytes ==
        io::Bytes(all.images.bytes.begin() + 10 * 784, all.images.bytes.begin() + 15 * 784));
  CHECK(data::DrawnDigits(6).make(0, 50).images.bytes != all.images.bytes);
  CHECK(digits.make(std::uint64_t{1} << 40, 50).images.bytes != all.images.bytes);
  CHECK(digits.make(3, 0).images.shape == Shape{0, 28, 28});
  CHECK_THROWS_AS(digits.make(0, -1), ValueError);
}

TEST_CASE("pictures are the same bit for bit with every compiler and machine") {
  const data::LabelledImages set = data::DrawnDigits(0).make(0, 200);
  CHECK(io::crc32_of(set.images.bytes) == 0xfaeaa415);
  CHECK(io::crc32_of(set.labels.bytes) == 0x89a5bed4);
}

TEST_CASE("all digits come about equally often, in the middle of a black frame") {
  const data::LabelledImages set = data::DrawnDigits(1).make(0, 5000);
  std::array<int, 10> counts{};
  for (const std::byte label : set.labels.bytes) ++counts[static_cast<std::size_t>(label)];
  for (const int n : counts) {
    CHECK(n > 400);
    CHECK(n < 600);
  }
  std::int64_t border = 0, total = 0;
  int faint = 0;
  for (std::size_t i = 0; i < 5000; ++i) {
    int brightest = 0;
    for (std::size_t p = 0; p < 784; ++p) {
      const int v = static_cast<int>(set.images.bytes[i * 784 + p]);
      const std::size_t x = p % 28, y = p / 28;
      brightest = std::max(brightest, v);
      total += v;
      if (x == 0 || y == 0 || x == 27 || y == 27) border += v;
    }
    faint += brightest < 120;
  }
  CHECK(border * 500 < total);
  CHECK(faint == 0);
  const double mean = static_cast<double>(total) / (5000.0 * 784);
  CHECK(mean > 25);  // MNIST's is 33.3
  CHECK(mean < 42);
}

TEST_CASE("digits look like their label: even the nearest mean picture tells most of them") {
  const data::DrawnDigits digits(2);
  const data::LabelledImages train = digits.make(0, 4000), test = digits.make(4000, 1000);
  std::vector<double> mean(10 * 784);
  std::array<double, 10> counts{};
  for (std::size_t i = 0; i < 4000; ++i) {
    const auto label = static_cast<std::size_t>(train.labels.bytes[i]);
    counts[label] += 1;
    for (std::size_t p = 0; p < 784; ++p) {
      mean[label * 784 + p] += static_cast<int>(train.images.bytes[i * 784 + p]);
    }
  }
  int right = 0;
  for (std::size_t i = 0; i < 1000; ++i) {
    std::array<double, 10> distance{};
    for (std::size_t k = 0; k < 10; ++k) {
      for (std::size_t p = 0; p < 784; ++p) {
        const double d =
            static_cast<int>(test.images.bytes[i * 784 + p]) - mean[k * 784 + p] / counts[k];
        distance[k] += d * d;
      }
    }
    const auto best = std::min_element(distance.begin(), distance.end()) - distance.begin();
    right += best == static_cast<std::ptrdiff_t>(test.labels.bytes[i]);
  }
  CHECK(right > 700);
  CHECK(right < 990);  // and a network still has something to learn
}

TEST_CASE("a digit is drawn as text") {
  std::array<std::uint8_t, data::kDigitPixels> image{};
  image[0] = image[28] = 255;
  image[3 * 28 + 27] = 255;
  const std::string text = data::render_ascii(image);
  CHECK(text.size() == 14 * 29);
  CHECK(text.substr(0, 29) == "@" + std::string(27, ' ') + "\n");
  CHECK(text.substr(29, 29) == std::string(27, ' ') + "=\n");
  CHECK(text.substr(58).find_first_not_of(" \n") == std::string::npos);
}
