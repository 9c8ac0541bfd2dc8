// train/data/digits.cpp -- normalising and shifting pictures into batches
#include "train/data/digits.h"

#include <algorithm>

namespace flash::data {

Digits::Digits(LabelledImages images, const DigitsOptions& options)
    : images_(std::move(images)), options_(options) {
  const HostArray &pictures = images_.images, &labels = images_.labels;
  if (pictures.dtype != DType::kU8 || labels.dtype != DType::kU8)
    throw DTypeError("Digits: images are " + std::string(name(pictures.dtype)) + " and labels " +
                     std::string(name(labels.dtype)) + "; both must be u8");
  if (pictures.shape.rank() != 3 || labels.shape.rank() != 1 ||
      pictures.shape[0] != labels.shape[0])
    throw ShapeError("Digits: images are " + pictures.shape.str() + " and labels " +
                     labels.shape.str() + "; they must be [N, H, W] and [N]");
  if (pictures.bytes.size() != static_cast<std::size_t>(pictures.shape.numel()) ||
      labels.bytes.size() != static_cast<std::size_t>(labels.shape.numel()))
    throw ShapeError("Digits: the bytes do not fill the shapes " + pictures.shape.str() + " and " +
                     labels.shape.str());
  if (options.shift < 0 || options.shift > 1000 || !(options.stddev > 0))
    throw ValueError("Digits: shift must be from 0 to 1000 and stddev above 0");
  for (int i = 0; i < 256; ++i)
    value_[i] = static_cast<float>((i / 255.0 - options.mean) / options.stddev);
}

int Digits::label(std::int64_t index) const {
  return static_cast<int>(images_.labels.bytes[static_cast<std::size_t>(index)]);
}

std::span<const std::uint8_t> Digits::pixels(std::int64_t index) const {
  const auto area = static_cast<std::size_t>(height() * width());
  return {reinterpret_cast<const std::uint8_t*>(images_.images.bytes.data()) +
              static_cast<std::size_t>(index) * area,
          area};
}

Tensor Digits::input(std::span<const std::uint8_t> pixels) const {
  if (pixels.size() != static_cast<std::size_t>(height() * width()))
    throw ShapeError("Digits: " + std::to_string(pixels.size()) + " pixels; pictures are " +
                     std::to_string(height()) + " by " + std::to_string(width()));
  std::vector<float> x(pixels.size());
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = value_[pixels[i]];
  return from_vector(x, Shape{1, 1, height(), width()});
}

Batch Digits::get_batch(std::span<const std::int64_t> indices, const Draw& draw) const {
  const std::int64_t h = height(), w = width(), n = static_cast<std::int64_t>(indices.size());
  std::vector<float> x(static_cast<std::size_t>(n * h * w), value_[0]);
  std::vector<std::int64_t> y;
  float* to = x.data();
  for (const std::int64_t index : indices) {
    if (index < 0 || index >= size())
      throw IndexError("get_batch: example " + std::to_string(index) + " of " +
                       std::to_string(size()) + "; indices go from 0 to the size less one");
    std::int64_t dx = 0, dy = 0;
    if (options_.shift > 0) {
      const PhiloxWords words = draw.words(index);
      const auto range = static_cast<std::uint64_t>(2 * options_.shift + 1);
      dx = static_cast<std::int64_t>(words[0] * range >> 32) - options_.shift;
      dy = static_cast<std::int64_t>(words[1] * range >> 32) - options_.shift;
    }
    const std::uint8_t* from = pixels(index).data();
    const std::int64_t left = std::max<std::int64_t>(dx, 0), right = std::min(w, w + dx);
    for (std::int64_t row = std::max<std::int64_t>(dy, 0); row < std::min(h, h + dy); ++row)
      for (std::int64_t column = left; column < right; ++column)
        to[row * w + column] = value_[from[(row - dy) * w + column - dx]];
    to += h * w;
    y.push_back(label(index));
  }
  return {from_vector(x, Shape{n, 1, h, w}), from_vector(y)};
}

}  // namespace flash::data
