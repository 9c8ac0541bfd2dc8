// apps/flash/predict.cpp -- fitting a picture to what the network was trained on, and the answers
#include "apps/flash/predict.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "apps/flash/devices.h"
#include "apps/flash/lenet.h"
#include "apps/flash/train_digits.h"

namespace flash::apps {
namespace fs = std::filesystem;
namespace {

constexpr std::int64_t kSide = 28;
using Picture = std::vector<std::uint8_t>;  // kSide · kSide, 0 is background

/// Weights in a file, or in the folder of a run (its final ones, else its newest checkpoint's).
nn::StateDict load_weights(const std::string& path) {
  if (!fs::is_directory(path)) return load(path);
  const fs::path inside = fs::path(path) / "model.safetensors";
  if (fs::exists(inside)) return load(inside.string());
  if (const auto found = train::find_checkpoint(path))
    return load((fs::path(found->path) / "model.safetensors").string());
  throw IoError("--checkpoint: there are no weights in the folder '" + path + "'");
}

/// Mean over the part of `image` that one pixel of the scaled picture covers.
double area_mean(const std::uint8_t* image, std::int64_t width, double top, double bottom,
                 double left, double right) {
  double sum = 0, area = 0;
  for (auto y = static_cast<std::int64_t>(top); static_cast<double>(y) < bottom; ++y)
    for (auto x = static_cast<std::int64_t>(left); static_cast<double>(x) < right; ++x) {
      const double fy = static_cast<double>(y), fx = static_cast<double>(x);
      const double part = (std::min(fy + 1, bottom) - std::max(fy, top)) *
                          (std::min(fx + 1, right) - std::max(fx, left));
      sum += part * image[y * width + x];
      area += part;
    }
  return area > 0 ? sum / area : 0;
}

Picture fit_picture(const HostArray& image, const std::string& path) {
  const std::int64_t h = image.shape[0], w = image.shape[1];
  if (h < 1 || w < 1) throw ShapeError("'" + path + "' has no pixels");
  Picture pixels(static_cast<std::size_t>(h * w));
  std::transform(image.bytes.begin(), image.bytes.end(), pixels.begin(),
                 [](std::byte b) { return static_cast<std::uint8_t>(b); });
  // The network knows light strokes on dark: a light border means the opposite.
  std::int64_t border = 0, count = 0;
  for (std::int64_t y = 0; y < h; ++y)
    for (std::int64_t x = 0; x < w; ++x)
      if (y == 0 || x == 0 || y == h - 1 || x == w - 1) {
        border += pixels[static_cast<std::size_t>(y * w + x)];
        ++count;
      }
  if (border > 127 * count)
    for (auto& p : pixels) p = static_cast<std::uint8_t>(255 - p);
  if (h == kSide && w == kSide) return pixels;

  // Scaled to fit, centred, aspect kept.
  const double scale = static_cast<double>(std::max(h, w)) / kSide;
  const auto rows =
      std::clamp<std::int64_t>(std::llround(static_cast<double>(h) / scale), 1, kSide);
  const auto columns =
      std::clamp<std::int64_t>(std::llround(static_cast<double>(w) / scale), 1, kSide);
  const double dy = static_cast<double>(h) / static_cast<double>(rows);
  const double dx = static_cast<double>(w) / static_cast<double>(columns);
  Picture out(kSide * kSide, 0);
  for (std::int64_t y = 0; y < rows; ++y)
    for (std::int64_t x = 0; x < columns; ++x) {
      const double fy = static_cast<double>(y), fx = static_cast<double>(x);
      const double mean =
          area_mean(pixels.data(), w, fy * dy, std::min((fy + 1) * dy, static_cast<double>(h)),
                    fx * dx, std::min((fx + 1) * dx, static_cast<double>(w)));
      const std::int64_t at = (y + (kSide - rows) / 2) * kSide + x + (kSide - columns) / 2;
      out[static_cast<std::size_t>(at)] = static_cast<std::uint8_t>(std::lround(mean));
    }
  return out;
}

struct Answer {
  int digit = 0;
  double probability = 0;
};

std::vector<Answer> ask(LeNet& model, const std::vector<Picture>& pictures) {
  NoGrad guard;
  const data::DigitsOptions scale;  // as in training
  std::vector<Answer> answers;
  constexpr std::size_t kBatch = 250;
  for (std::size_t first = 0; first < pictures.size(); first += kBatch) {
    const std::size_t last = std::min(first + kBatch, pictures.size());
    data::LabelledImages batch;
    const auto n = static_cast<std::int64_t>(last - first);
    batch.images.dtype = batch.labels.dtype = DType::kU8;
    batch.images.shape = {n, kSide, kSide};
    batch.labels.shape = {n};
    batch.labels.bytes.resize(last - first);
    std::vector<std::int64_t> indices;
    for (std::size_t i = first; i < last; ++i) {
      indices.push_back(static_cast<std::int64_t>(i - first));
      for (const std::uint8_t p : pictures[i]) batch.images.bytes.push_back(std::byte{p});
    }
    const data::Digits digits(std::move(batch), scale);
    const Tensor logits = model.forward(digits.get_batch(indices, {}).x);
    const std::vector<float> p = softmax(logits, 1).to_vector<float>();
    for (std::size_t i = 0; i < last - first; ++i) {
      const float* row = p.data() + i * 10;
      const float* best = std::max_element(row, row + 10);
      answers.push_back({static_cast<int>(best - row), *best});
    }
  }
  return answers;
}

/// Two pictures side by side, the answers beside them.
void show(const std::vector<Picture>& pictures, const std::vector<Answer>& answers,
          const std::vector<int>& labels) {
  int right = 0;
  for (std::size_t i = 0; i < pictures.size(); i += 2) {
    std::vector<std::string> lines;
    for (std::size_t k = i; k < std::min(i + 2, pictures.size()); ++k) {
      const std::string text = data::render_ascii(std::span<const std::uint8_t, data::kDigitPixels>(
          pictures[k].data(), data::kDigitPixels));
      const bool good = answers[k].digit == labels[k];
      right += good;
      std::size_t row = 0;
      for (std::size_t at = 0; at < text.size(); ++row) {
        const std::size_t end = text.find('\n', at);
        std::string side;
        char piece[40];
        if (row == 5) {
          std::snprintf(piece, sizeof piece, "answer %d", answers[k].digit);
          side = piece;
        } else if (row == 6) {
          std::snprintf(piece, sizeof piece, "%.1f %%", answers[k].probability * 100);
          side = piece;
        } else if (row == 7) {
          std::snprintf(piece, sizeof piece, "drawn %d%s", labels[k], good ? "" : "  WRONG");
          side = piece;
        }
        side.resize(16, ' ');
        if (lines.size() <= row) lines.emplace_back();
        lines[row] += text.substr(at, end - at) + "  " + side;
        at = end + 1;
      }
    }
    for (std::string& line : lines) {
      while (!line.empty() && line.back() == ' ') line.pop_back();
      std::printf("%s\n", line.c_str());
    }
  }
  std::printf("%d of %zu held-out digits right\n", right, pictures.size());
}

}  // namespace

int predict(const PredictOptions& options) {
  use_device(options.device);
  LeNet model;
  model.load_state_dict(load_weights(options.checkpoint));
  model.eval();
  std::vector<Picture> pictures;
  std::vector<std::string> read, errors;
  for (const std::string& path : options.images) {
    try {
      pictures.push_back(fit_picture(io::read_image(path, 1), path));
      read.push_back(path);
    } catch (const Error& e) {
      errors.emplace_back(e.what());
    }
  }
  const std::vector<Answer> answers = ask(model, pictures);
  for (std::size_t i = 0; i < answers.size(); ++i)
    std::printf("%s: %d  (%.2f %%)\n", read[i].c_str(), answers[i].digit,
                answers[i].probability * 100);
  std::fflush(stdout);
  for (const std::string& error : errors) std::fprintf(stderr, "flash: %s\n", error.c_str());
  if (options.held_out > 0) {
    const data::DrawnDigits drawn(kDrawnSeed);
    std::vector<Picture> held;
    std::vector<int> labels;
    for (std::int64_t i = 0; i < options.held_out; ++i) {
      Picture& picture = held.emplace_back(data::kDigitPixels);
      labels.push_back(drawn.draw(
          kDrawnHeldOutBegin + static_cast<std::uint64_t>(i),
          std::span<std::uint8_t, data::kDigitPixels>(picture.data(), data::kDigitPixels)));
    }
    show(held, ask(model, held), labels);
  }
  return errors.empty() ? 0 : 1;
}

}  // namespace flash::apps
