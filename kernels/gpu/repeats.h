// kernels/gpu/repeats.h -- which of a plan's runs come again, and what was recorded of them
//
// A run's commands are compared with those of the runs before whose words lay in the same place, so
// of one thread. When the same come again among the latest few they are recorded; from then on they
// are replayed whenever they come. A few recordings are kept: shapes take turns, and so do the
// addresses that a copy or a library's product names. Where recordings are seldom replayed no more
// are made.
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
    if (!records_ || commands.size() < kWorthRecording) return nullptr;
    Thread& t = latest_first(
        threads_, kMostThreads, [&](const Thread& x) { return x.args == args; },
        [&] { return Thread{.args = args}; });
    const auto same = [&](const auto& x) { return x.commands == commands; };
    if (const auto at = std::find_if(t.recorded.begin(), t.recorded.end(), same);
        at != t.recorded.end()) {
      std::rotate(t.recorded.begin(), at, at + 1);
      ++t.replays;
      return &t.recorded.front().executable;
    }
    const auto seen = std::find_if(t.seen.begin(), t.seen.end(), same);
    if (seen == t.seen.end()) {
      latest_first(
          t.seen, kMostRuns, [](const Seen&) { return false; }, [&] { return Seen{commands}; });
      return nullptr;
    }
    if (t.made >= kMostRuns + t.replays / kWorthMaking) return nullptr;
    Executable made = record();
    records_ = static_cast<bool>(made);
    if (!records_) return nullptr;
    ++t.made;
    t.seen.erase(seen);
    return &latest_first(
                t.recorded, kMostRuns, [](const Recorded&) { return false; },
                [&] {
                  return Recorded{commands, std::move(made)};
                })
                .executable;
  }

 private:
  // To submit a recording costs some microseconds, as two or three launches do.
  static constexpr std::size_t kWorthRecording = 4;
  // Threads that run one plan, and the runs of one that are kept.
  static constexpr std::size_t kMostThreads = 8, kMostRuns = 4;
  // Replays that pay for making one recording more.
  static constexpr std::uint64_t kWorthMaking = 8;

  struct Seen {
    std::vector<Command> commands;
  };
  struct Recorded {
    std::vector<Command> commands;
    Executable executable;
  };
  struct Thread {
    std::uint64_t args = 0;
    std::vector<Seen> seen = {};  ///< the latest first, as in all of these lists
    std::vector<Recorded> recorded = {};
    std::uint64_t made = 0, replays = 0;
  };

  /// The item that is wanted, or a new one in the place of the one used longest ago; first now.
  template <class T, class Wanted, class Make>
  static T& latest_first(std::vector<T>& items, std::size_t most, Wanted&& wanted, Make&& make) {
    auto at = std::find_if(items.begin(), items.end(), wanted);
    if (at == items.end()) {
      if (items.size() == most) items.pop_back();
      at = items.insert(items.end(), make());
    }
    std::rotate(items.begin(), at, at + 1);
    return items.front();
  }

  bool records_;
  std::vector<Thread> threads_;
};

}  // namespace flash::gpu
