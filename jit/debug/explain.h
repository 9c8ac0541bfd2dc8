// jit/debug/explain.h -- why a trace had to be planned: what differs from the nearest planned one
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/evaluator.h"

namespace flash::jit {

/// The words of a plan's key, node by node, and the labels that a person knows the node by.
struct PlanSignature {
  struct Entry {
    std::uint64_t head = 0;                    ///< see KeyHead
    std::uint32_t inputs = 0, attributes = 0;  ///< hashes
    std::uint16_t scope = 0;
    bool operator==(const Entry& o) const {
      return head == o.head && inputs == o.inputs && attributes == o.attributes;
    }
  };
  std::vector<Entry> nodes;
  FlushReason reason{};
};

/// The traces that an evaluator planned, newest last. A replayed plan costs nothing here.
/// Thread-safe.
class PlansMade {
 public:
  PlansMade();
  ~PlansMade();
  PlansMade(const PlansMade&) = delete;
  PlansMade& operator=(const PlansMade&) = delete;
  /// Called for each trace that had no plan. Warns, once for each call site, when a site is planned
  /// more than 16 times within 64 flushes: its loop meets another trace each time.
  void note(const EvaluationRequest& request);
  std::string explain_last() const;

 private:
  struct Site {
    std::deque<std::uint64_t> misses;  ///< numbers of the flushes
    bool warned = false;
  };
  std::string explain() const;  // mutex_ is held
  mutable std::mutex mutex_;    // guards what follows
  std::deque<PlanSignature> plans_;
  std::unordered_map<std::uint64_t, Site> sites_;
};

}  // namespace flash::jit
