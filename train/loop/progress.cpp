// train/loop/progress.cpp -- drawing the bar and the lines
#include "train/loop/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace flash::train {

constexpr std::chrono::milliseconds kRedraw{100};
constexpr std::chrono::seconds kSilence{10};  // in a pipe

std::string plain(const ProgressLine& line) {
  std::string out = "validation";
  if (line.epoch > 0)
    out = "epoch " + std::to_string(line.epoch) + "/" + std::to_string(line.epochs);
  char text[200];
  std::snprintf(text, sizeof text, "  step %lld/%lld  loss %.4f", static_cast<long long>(line.step),
                static_cast<long long>(line.steps), line.loss);
  out += text;
  if (line.accuracy) {
    std::snprintf(text, sizeof text, "  accuracy %.2f %%", *line.accuracy * 100);
    out += text;
  }
  if (line.epoch == 0) return out;
  std::snprintf(text, sizeof text, "  lr %.1e", line.lr);
  return out + text;
}

Progress::Progress(bool quiet, std::int64_t every)
    : quiet_(quiet), terminal_(isatty(STDOUT_FILENO) == 1), every_(every) {}

bool Progress::due(std::int64_t step, std::int64_t steps) {
  if (quiet_) return false;
  if (!terminal_) {
    if (every_ == 0) return false;
    if (step == 1) last_ = std::chrono::steady_clock::now();  // what came before was no step
    return waited(step % every_ == 0 || step == steps ? std::chrono::seconds(0) : kSilence);
  }
  return waited(step == steps ? std::chrono::milliseconds(0) : kRedraw);
}

bool Progress::due_in_validation(std::int64_t step, std::int64_t steps) {
  if (quiet_ || (!terminal_ && every_ == 0)) return false;
  if (step == steps) {
    wipe();
    return false;
  }
  if (step == 1) last_ = std::chrono::steady_clock::now();
  return waited(terminal_ ? kRedraw : kSilence);
}

bool Progress::waited(std::chrono::milliseconds least) {
  const auto now = std::chrono::steady_clock::now();
  if (now - last_ < least) return false;
  last_ = now;
  return true;
}

void Progress::show(const ProgressLine& line) {
  if (quiet_) return;
  if (!terminal_) {
    std::printf("%s\n", plain(line).c_str());
  } else {
    constexpr std::int64_t kWidth = 16;
    const std::int64_t full = line.steps > 0 ? kWidth * line.step / line.steps : kWidth;
    std::string bar(static_cast<std::size_t>(full), '#');
    bar.resize(kWidth, '.');
    std::string text = "[" + bar + "] " + plain(line);
    // A line that wraps could not be drawn over.
    winsize window = {};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 1)
      text.resize(std::min<std::size_t>(text.size(), window.ws_col - 1u));
    std::printf("\r\x1b[K%s", text.c_str());
    bar_ = true;
  }
  std::fflush(stdout);
}

void Progress::wipe() {
  if (bar_) std::printf("\r\x1b[K");
  bar_ = false;
}

void Progress::say(const std::string& text) {
  if (quiet_) return;
  wipe();
  std::printf("%s\n", text.c_str());
  std::fflush(stdout);
}

}  // namespace flash::train
