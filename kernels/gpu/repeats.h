// kernels/gpu/repeats.h -- which of a plan's runs come again, and what was recorded of them
//
// A run's commands are compared with those of the runs before whose words lay in the same place, so
// of one thread. When the same come twice in a row they are recorded; from then on they are
// replayed whenever they come. Others that come now and then leave the recording as it is.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace flash::gpu {

/// Executable: what was recorded; false where there is nothing, and lets go when it is destroyed.
/// One call at a time.
template <class Command, class Executable>
class Repeats {
 public:
  /// Without `records` nothing is ever recorded.
  explicit Repeats(bool records) : records_(records) {}

  /// What does these commands with their words at `args`; made by record() where it is time to.
  /// Null: they are to be enqueued one by one. A record() that gives nothing is not asked again.
  template <class Record>
  const Executable* find(const std::vector<Command>& commands, std::uint64_t args,
                         Record&& record) {
    Thread& t = of(args);
    bool replays = t.executable && commands == t.recorded;
    if (!replays && records_ && commands.size() >= kWorthRecording && commands == t.last) {
      t.recorded.clear();
      t.executable = Executable();
      t.executable = record();
      replays = records_ = static_cast<bool>(t.executable);
      if (replays) t.recorded = commands;
    }
    if (replays)
      t.last.clear();
    else
      t.last = commands;
    return replays ? &t.executable : nullptr;
  }

 private:
  // To submit a recording costs some microseconds, as two or three launches do.
  static constexpr std::size_t kWorthRecording = 4;
  // Threads that run one plan: a recording each.
  static constexpr std::size_t kMostThreads = 8;

  struct Thread {
    std::uint64_t args = 0;
    std::vector<Command> last = {};      ///< of the latest run that was not replayed
    std::vector<Command> recorded = {};  ///< what `executable` does
    Executable executable = {};
  };
  Thread& of(std::uint64_t args) {
    auto at = std::find_if(threads_.begin(), threads_.end(),
                           [&](const Thread& t) { return t.args == args; });
    if (at == threads_.end()) {
      if (threads_.size() == kMostThreads) threads_.pop_back();
      at = threads_.insert(threads_.end(), Thread{.args = args});
    }
    std::rotate(threads_.begin(), at, at + 1);
    return threads_.front();
  }

  bool records_;
  std::vector<Thread> threads_;  // the latest used first
};

}  // namespace flash::gpu
