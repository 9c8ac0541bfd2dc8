// jit/debug/explain.cpp -- signatures of planned traces, the nearest one, and the difference in
// words
#include "jit/debug/explain.h"

#include <algorithm>

#include "core/counters.h"
#include "core/fork.h"
#include "core/log.h"
#include "core/scope.h"
#include "jit/cache/key_walk.h"

namespace flash::jit {
namespace {

constexpr std::size_t kKept = 256;        // signatures
constexpr std::size_t kMostSites = 4096;  // call sites that are watched
constexpr std::size_t kSiteNodes = 8;     // leading nodes that make a call site
constexpr std::uint64_t kWindow = 64;     // flushes
constexpr std::size_t kMostMisses = 16;

struct Writer {
  explicit Writer(PlanSignature& to) : s(to) {}
  static void mix(std::uint32_t& h, std::uint64_t v) {
    const std::uint64_t x = (v ^ h) * 0x9E3779B97F4A7C15u;
    h = static_cast<std::uint32_t>(x >> 32) + 1;
  }
  void node(std::uint64_t head) { s.nodes.emplace_back().head = head; }
  void input(std::uint64_t distance) { mix(s.nodes.back().inputs, distance); }
  void attribute(std::uint64_t word) { mix(s.nodes.back().attributes, word); }
  PlanSignature& s;
};

PlanSignature signature(const EvaluationRequest& r) {
  PlanSignature s;
  s.reason = r.reason;
  s.nodes.reserve(r.count);
  Writer w(s);
  walk_key(r, w);
  for (std::size_t i = 0; i < r.count; ++i) s.nodes[i].scope = r.trace.nodes[i].scope;
  return s;
}

std::uint64_t site_of(const PlanSignature& s) {
  std::uint64_t h = static_cast<std::uint64_t>(s.reason) + 1;
  for (std::size_t i = 0; i < std::min(kSiteNodes, s.nodes.size()); ++i) {
    h = (h ^ (s.nodes[i].head & 0xff) ^ static_cast<std::uint64_t>(s.nodes[i].scope) << 8) *
        0xFF51AFD7ED558CCDu;
    h ^= h >> 32;
  }
  return h;
}

std::size_t common_prefix(const PlanSignature& a, const PlanSignature& b) {
  const std::size_t n = std::min(a.nodes.size(), b.nodes.size());
  std::size_t i = 0;
  while (i < n && a.nodes[i] == b.nodes[i]) ++i;
  return i;
}

std::size_t equal_nodes(const PlanSignature& a, const PlanSignature& b) {
  std::size_t equal = 0;
  for (std::size_t i = 0; i < std::min(a.nodes.size(), b.nodes.size()); ++i)
    equal += a.nodes[i] == b.nodes[i];
  return equal;
}

const PlanSignature* nearest(const std::deque<PlanSignature>& all, const PlanSignature& to) {
  const PlanSignature* best = nullptr;
  std::size_t score = 0;
  for (const PlanSignature& s : all) {
    if (&s == &to) continue;
    // One of the same length is nearer than any other: there the nodes correspond one to one.
    const bool same = s.nodes.size() == to.nodes.size();
    const std::size_t n = same ? (equal_nodes(s, to) + 1) << 20 : common_prefix(s, to);
    if (best && n < score) continue;
    best = &s;
    score = n;
  }
  return best;
}

std::uint64_t field(const PlanSignature::Entry& e, int shift, unsigned bits) {
  return e.head >> shift & ((std::uint64_t{1} << bits) - 1);
}
std::string op_name(const PlanSignature::Entry& e) {
  return std::string(info(static_cast<Prim>(e.head & 0xff)).name);
}
std::string operation(const PlanSignature& s, std::size_t i) {
  const PlanSignature::Entry& e = s.nodes[i];
  std::string text = "operation " + std::to_string(i) + " of " + std::to_string(s.nodes.size()) +
                     ", " + op_name(e);
  if (const std::string_view scope = scope_name(e.scope); !scope.empty())
    text += " in '" + std::string(scope) + "'";
  return text;
}

const char* life(std::uint64_t live) {
  return live == 0 ? "not kept" : live == 1 ? "kept by the program" : "kept by the tape only";
}

/// In what a node of the new trace differs from that of an old one.
std::string difference(const PlanSignature::Entry& now, const PlanSignature::Entry& then) {
  const auto differs = [&](int shift, unsigned bits) {
    return field(now, shift, bits) != field(then, shift, bits);
  };
  if (differs(0, 8)) return "was " + op_name(then);
  if (differs(KeyHead::kDType, 8)) {
    const auto dtype = [](const PlanSignature::Entry& e) {
      return std::string(name(static_cast<DType>(field(e, KeyHead::kDType, 8))));
    };
    return "is " + dtype(now) + " and was " + dtype(then);
  }
  if (differs(KeyHead::kRank, 8))
    return "has " + std::to_string(field(now, KeyHead::kRank, 8)) + " dimensions and had " +
           std::to_string(field(then, KeyHead::kRank, 8));
  if (differs(KeyHead::kInputs, 8))
    return "has " + std::to_string(field(now, KeyHead::kInputs, 8)) + " inputs and had " +
           std::to_string(field(then, KeyHead::kInputs, 8));
  if (differs(KeyHead::kOnes, 8)) {
    const std::uint64_t change = field(now, KeyHead::kOnes, 8) ^ field(then, KeyHead::kOnes, 8);
    int d = 0;
    while (!(change >> d & 1)) ++d;
    const bool one = field(now, KeyHead::kOnes, 8) >> d & 1;
    return "has size 1 in dimension " + std::to_string(d) + (one ? " and had another" : " no more");
  }
  if (differs(KeyHead::kLive, 2))
    return std::string("its value is ") + life(field(now, KeyHead::kLive, 2)) + " and was " +
           life(field(then, KeyHead::kLive, 2));
  if (differs(KeyHead::kDying, 1))
    return field(now, KeyHead::kDying, 1)
               ? "nobody needs its buffer afterwards, before somebody did"
               : "its buffer is needed afterwards, before it was not";
  if (differs(KeyHead::kPass, 2)) return "was recorded in another pass (forward, backward)";
  if (now.inputs != then.inputs) return "reads other operations' results";
  if (field(now, 0, 8) == static_cast<std::uint64_t>(Prim::kView)) return "walks memory otherwise";
  return "has other fixed attributes (axes, kind of view, dtype)";
}

}  // namespace

std::string PlansMade::explain() const {
  if (plans_.empty()) return "nothing was planned yet";
  const PlanSignature& last = plans_.back();
  const PlanSignature* near = nearest(plans_, last);
  const std::string what = "the last trace that was planned (" + std::to_string(last.nodes.size()) +
                           " operations, flushed by: " + name(last.reason) + ") ";
  if (!near) return what + "was the first";
  const std::size_t at = common_prefix(last, *near);
  if (at == near->nodes.size()) {
    if (at == last.nodes.size())
      return what + "is equal to one that was planned before and forgotten";
    return what + "goes on where the nearest one ends: with " + operation(last, at);
  }
  if (at == last.nodes.size())
    return what + "ends where the nearest one goes on: with " + operation(*near, at);
  return what + "differs from the nearest one (" + std::to_string(near->nodes.size()) +
         " operations) in " + operation(last, at) + ": " +
         difference(last.nodes[at], near->nodes[at]);
}

PlansMade::PlansMade() { hold_at_fork(ForkOrder::kReports, mutex_); }
PlansMade::~PlansMade() { forget_at_fork(&mutex_); }

void PlansMade::note(const EvaluationRequest& request) {
  const std::uint64_t flush = counters().flushes.load(std::memory_order_relaxed);
  std::string warning;
  {
    std::lock_guard lock(mutex_);
    plans_.push_back(signature(request));
    if (plans_.size() > kKept) plans_.pop_front();
    if (sites_.size() > kMostSites) sites_.clear();
    Site& site = sites_[site_of(plans_.back())];
    site.misses.push_back(flush);
    while (flush - site.misses.front() >= kWindow) site.misses.pop_front();
    if (site.misses.size() > kMostMisses && !site.warned) {
      site.warned = true;
      warning = "one call site was planned " + std::to_string(site.misses.size()) + " times in " +
                std::to_string(kWindow) + " flushes: " + explain();
    }
  }
  if (!warning.empty()) logging::warn(warning);
}

std::string PlansMade::explain_last() const {
  std::lock_guard lock(mutex_);
  return explain();
}

}  // namespace flash::jit
