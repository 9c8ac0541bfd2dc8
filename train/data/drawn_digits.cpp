// train/data/drawn_digits.cpp -- strokes → distortion → distance to the pen's way → grey values
//
// Only additions, multiplications, divisions and square roots are used, which IEEE 754 defines to
// the last bit: pictures are the same on every machine.
#include "train/data/drawn_digits.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <iterator>
#include <utility>

#include "core/error.h"
#include "core/random.h"
#include "train/data/digit_strokes.h"

namespace flash::data {
namespace {

/// The random numbers of one picture: block j is philox({index, j, domain}, seed), so that they
/// don't meet those of tensors (which keep the last two counter words at zero).
class Random {
 public:
  Random(std::uint64_t seed, std::uint64_t index) : seed_(seed), index_(index) {}

  std::uint32_t word() {
    if (used_ == 4) {
      words_ = philox({static_cast<std::uint32_t>(index_), static_cast<std::uint32_t>(index_ >> 32),
                       block_++, 0x44696774u},  // "Digt"
                      {static_cast<std::uint32_t>(seed_), static_cast<std::uint32_t>(seed_ >> 32)});
      used_ = 0;
    }
    return words_[static_cast<std::size_t>(used_++)];
  }
  int below(int n) {
    return static_cast<int>(std::uint64_t{word()} * static_cast<unsigned>(n) >> 32);
  }
  float between(float low, float high) { return low + (high - low) * uniform_from_word(word()); }
  /// About normal: mean 0, deviation 1, never beyond 3.
  float normal() {
    float sum = -1.5f;
    for (int i = 0; i < 3; ++i) sum += between(0, 1);  // one after the other: the order counts
    return 2 * sum;
  }

 private:
  std::uint64_t seed_, index_;
  PhiloxWords words_{};
  std::uint32_t block_ = 0;
  int used_ = 4;
};

struct Point {
  float x, y;
};

/// Bends, turns, slants, scales and moves the unit box into the picture.
class Distortion {
 public:
  explicit Distortion(Random& random) {
    const float bend = random.between(0.015f, 0.07f);
    for (Point& p : bend_) p = {bend * random.normal(), bend * random.normal()};
    const float width = random.between(11.5f, 17.0f), height = random.between(16.5f, 20.0f);
    // The half-angle form of a rotation: t = tan(angle / 2); 0.09 is about 10 degrees.
    const float t = std::clamp(0.065f * random.normal(), -0.15f, 0.15f);
    const float cosine = (1 - t * t) / (1 + t * t), sine = 2 * t / (1 + t * t);
    const float slant = -0.1f + 0.17f * random.normal();  // most people's writing leans right
    // rotation * [1 slant; 0 1] * diag(width, height)
    xx_ = cosine * width;
    xy_ = (cosine * slant - sine) * height;
    yx_ = sine * width;
    yy_ = (sine * slant + cosine) * height;
    dx_ = 13.5f + 0.8f * random.normal();
    dy_ = 13.5f + 0.7f * random.normal();
  }

  Point operator()(StrokePoint p) const {
    const float gx = p.x * (kGrid - 1), gy = p.y * (kGrid - 1);
    const int ix = std::min(static_cast<int>(gx), kGrid - 2);
    const int iy = std::min(static_cast<int>(gy), kGrid - 2);
    const float fx = gx - static_cast<float>(ix), fy = gy - static_cast<float>(iy);
    auto at = [&](int x, int y) { return bend_[static_cast<std::size_t>(y * kGrid + x)]; };
    const Point a = at(ix, iy), b = at(ix + 1, iy), c = at(ix, iy + 1), d = at(ix + 1, iy + 1);
    auto mix = [&](float pa, float pb, float pc, float pd) {
      return (pa * (1 - fx) + pb * fx) * (1 - fy) + (pc * (1 - fx) + pd * fx) * fy;
    };
    const float x = p.x + mix(a.x, b.x, c.x, d.x) - 0.5f;
    const float y = p.y + mix(a.y, b.y, c.y, d.y) - 0.5f;
    return {xx_ * x + xy_ * y + dx_, yx_ * x + yy_ * y + dy_};
  }

 private:
  static constexpr int kGrid = 4;
  std::array<Point, kGrid * kGrid> bend_;
  float xx_, xy_, yx_, yy_, dx_, dy_;
};

/// Point t of the Catmull-Rom spline between b and c.
Point spline(Point a, Point b, Point c, Point d, float t) {
  auto one = [t](float pa, float pb, float pc, float pd) {
    return 0.5f *
           (2 * pb +
            t * (pc - pa + t * (2 * pa - 5 * pb + 4 * pc - pd + t * (3 * pb - pa - 3 * pc + pd))));
  };
  return {one(a.x, b.x, c.x, d.x), one(a.y, b.y, c.y, d.y)};
}

/// Distance of every pixel's centre from the edge of the ink, negative inside.
class Ink {
 public:
  Ink() { distance_.fill(kFar); }

  void segment(Point a, Point b, float radius) {
    const float reach = radius + 0.75f;
    const int x0 = pixel(std::min(a.x, b.x) - reach), x1 = pixel(std::max(a.x, b.x) + reach + 1);
    const int y0 = pixel(std::min(a.y, b.y) - reach), y1 = pixel(std::max(a.y, b.y) + reach + 1);
    const float dx = b.x - a.x, dy = b.y - a.y;
    const float length2 = dx * dx + dy * dy;
    const float scale = length2 > 0 ? 1 / length2 : 0;
    for (int y = y0; y < y1; ++y) {
      float* row = &distance_[static_cast<std::size_t>(y * kDigitSize)];
      const float py = static_cast<float>(y) - a.y;
      for (int x = x0; x < x1; ++x) {
        const float px = static_cast<float>(x) - a.x;
        const float t = std::min(std::max((px * dx + py * dy) * scale, 0.0f), 1.0f);
        const float ex = px - t * dx, ey = py - t * dy;
        row[x] = std::min(row[x], std::sqrt(ex * ex + ey * ey) - radius);
      }
    }
  }

  /// How much of each pixel is covered, 0 … 1; `soft` is the width of the edge in pixels.
  void cover(float soft, std::array<float, kDigitPixels>& out) const {
    for (std::size_t i = 0; i < out.size(); ++i) {
      out[i] = std::min(std::max(0.5f - distance_[i] / soft, 0.0f), 1.0f);
    }
  }

 private:
  static constexpr float kFar = 100;
  static int pixel(float v) { return static_cast<int>(std::clamp(v, 0.0f, 28.0f)); }
  std::array<float, kDigitPixels> distance_;
};

void draw_stroke(const Stroke& stroke, const Distortion& distort, float radius, float taper,
                 Ink& ink) {
  std::array<Point, std::size(Stroke{}.points)> p{};
  const int n = stroke.count;
  for (int i = 0; i < n; ++i) p[static_cast<std::size_t>(i)] = distort(stroke.points[i]);
  auto at = [&](int i) { return p[static_cast<std::size_t>(std::clamp(i, 0, n - 1))]; };
  const int steps = stroke.smooth ? 5 : 1;
  const int total = (n - 1) * steps;
  Point from = at(0);
  for (int i = 0; i < total; ++i) {
    const int k = i / steps;
    const float t = static_cast<float>(i % steps + 1) / static_cast<float>(steps);
    const Point to = stroke.smooth ? spline(at(k - 1), at(k), at(k + 1), at(k + 2), t) : at(k + 1);
    const float way = (static_cast<float>(i) + 0.5f) / static_cast<float>(total);
    ink.segment(from, to, radius * (1 + taper * (way - 0.5f)));
    from = to;
  }
}

/// A 3 x 3 blur that gives each of the four neighbours the weight `w`.
void blur(std::array<float, kDigitPixels>& image, float w) {
  const std::array<float, kDigitPixels> in = image;
  for (int y = 1; y + 1 < kDigitSize; ++y) {
    for (int x = 1; x + 1 < kDigitSize; ++x) {
      const auto i = static_cast<std::size_t>(y * kDigitSize + x);
      const float around = in[i - 1] + in[i + 1] + in[i - kDigitSize] + in[i + kDigitSize];
      image[i] = in[i] * (1 - 4 * w) + around * w;
    }
  }
}

}  // namespace

int DrawnDigits::label(std::uint64_t index) const { return Random(seed_, index).below(10); }

int DrawnDigits::draw(std::uint64_t index, std::span<std::uint8_t, kDigitPixels> image) const {
  Random random(seed_, index);
  const int digit = random.below(10);
  const auto same = [digit](const DigitForm& f) { return f.digit == digit; };
  const DigitForm* first = std::find_if(std::begin(kDigitForms), std::end(kDigitForms), same);
  const auto forms =
      static_cast<int>(std::count_if(std::begin(kDigitForms), std::end(kDigitForms), same));
  const DigitForm& form = first[random.below(forms)];

  const Distortion distort(random);
  const float radius = random.between(0.75f, 1.75f);
  const float taper = 0.2f * random.normal();
  Ink ink;
  for (int i = 0; i < form.count; ++i) draw_stroke(form.strokes[i], distort, radius, taper, ink);

  std::array<float, kDigitPixels> grey;
  ink.cover(random.between(1.0f, 1.5f), grey);
  blur(grey, random.between(0.0f, 0.1f));
  const float strength = random.between(215.0f, 265.0f);  // some pens are saturated in the middle
  const float noise = random.between(0.0f, 0.09f);
  for (std::size_t i = 0; i < image.size(); i += 4) {
    std::uint32_t word = random.word();
    for (std::size_t j = i; j < i + 4; ++j, word >>= 8) {
      const float grain = 1 - noise * static_cast<float>(word & 0xff) * (1.0f / 255);
      image[j] = static_cast<std::uint8_t>(std::min(strength * grain * grey[j] + 0.5f, 255.0f));
    }
  }
  return digit;
}

LabelledImages DrawnDigits::make(std::uint64_t first, std::int64_t count) const {
  if (count < 0) {
    throw ValueError("DrawnDigits::make: " + std::to_string(count) +
                     " pictures asked for (want 0 or more)");
  }
  LabelledImages out{{DType::kU8, {count, kDigitSize, kDigitSize}, {}}, {DType::kU8, {count}, {}}};
  out.images.bytes.resize(static_cast<std::size_t>(count) * kDigitPixels);
  out.labels.bytes.resize(static_cast<std::size_t>(count));
  auto* pixels = reinterpret_cast<std::uint8_t*>(out.images.bytes.data());
  for (std::size_t i = 0; i < out.labels.bytes.size(); ++i) {
    const std::span<std::uint8_t, kDigitPixels> image(pixels + i * kDigitPixels, kDigitPixels);
    out.labels.bytes[i] = static_cast<std::byte>(draw(first + i, image));
  }
  return out;
}

std::string render_ascii(std::span<const std::uint8_t, kDigitPixels> image) {
  constexpr std::string_view kShades = " .:-=+*#%@";
  std::string out;
  out.reserve(kDigitSize / 2 * (kDigitSize + 1));
  for (std::size_t y = 0; y < kDigitSize; y += 2) {  // a character is twice as high as wide
    for (std::size_t x = 0; x < kDigitSize; ++x) {
      const int sum = image[y * kDigitSize + x] + image[(y + 1) * kDigitSize + x];
      out += kShades[static_cast<std::size_t>(sum) * (kShades.size() - 1) / (2 * 255)];
    }
    out += '\n';
  }
  return out;
}

}  // namespace flash::data
