// core/autograd/engine.cpp -- walking the tape backwards
//
// Nodes are counted first (how many gradients each waits for), then run when theirs is complete,
// the latest recorded first. Nothing recurses, so a chain may be as long as memory allows.
#include <mutex>
#include <queue>
#include <vector>

#include "core/autograd/meta.h"
#include "core/fork.h"
#include "core/ops/elementwise.h"
#include "core/scope.h"

namespace flash::autograd {
namespace {

/// Threads may train the same leaves.
std::mutex& leaf_mutex() {
  static std::mutex& mutex = hold_at_fork(ForkOrder::kGradients, *new std::mutex);
  return mutex;
}

/// From node to its number in this walk: open addressing, no memory per entry.
class NodeMap {
 public:
  NodeMap() : slots_(64) {}
  /// The node's number; `next` is taken for a new one.
  std::uint32_t find_or_add(const TapeNode* node, std::uint32_t next) {
    if (2 * (size_ + 1) > slots_.size()) grow();
    Slot& s = slot(node);
    if (!s.node) {
      s = {node, next};
      ++size_;
    }
    return s.number;
  }
  std::uint32_t operator[](const TapeNode* node) { return slot(node).number; }

 private:
  struct Slot {
    const TapeNode* node = nullptr;
    std::uint32_t number = 0;
  };
  Slot& slot(const TapeNode* node) {
    const std::size_t mask = slots_.size() - 1;
    auto h = reinterpret_cast<std::uintptr_t>(node) >> 6;
    h *= 0x9E3779B97F4A7C15u;
    for (std::size_t i = (h >> 20) & mask;; i = (i + 1) & mask)
      if (!slots_[i].node || slots_[i].node == node) return slots_[i];
  }
  void grow() {
    std::vector<Slot> old(slots_.size() * 2);
    old.swap(slots_);
    for (const Slot& s : old)
      if (s.node) slot(s.node) = s;
  }
  std::vector<Slot> slots_;
  std::size_t size_ = 0;
};

struct Work {
  TapeNode* node;
  std::uint32_t waits = 0;   ///< edges that lead here and have not been walked
  std::uint32_t grads;       ///< its outputs' gradients: first place in Walk::grads_
  std::uint32_t inputs = 0;  ///< the numbers of its inputs: first place in Walk::inputs_
  bool target = false;
  bool needed = false;  ///< its rule must run
};

class Walk {
 public:
  Walk(std::span<BackwardTarget> targets, bool retain_graph, bool create_graph)
      : targets_(targets), retain_(retain_graph), create_(create_graph) {}

  void run(std::span<BackwardRoot> roots) {
    discover(roots);
    for (BackwardRoot& r : roots) add(grads_[work_[map_[r.node.get()]].grads + r.output], r.grad);
    for (BackwardRoot& r : roots) {
      const std::uint32_t w = map_[r.node.get()];
      if (work_[w].waits == 0 && !started_[w]) start(w);
    }
    while (!ready_.empty()) {
      const std::uint32_t w = ready_.top().second;
      ready_.pop();
      process(w);
    }
  }

 private:
  static constexpr std::uint32_t kNone = UINT32_MAX;

  std::span<const std::uint32_t> inputs(std::uint32_t w) const {
    return {inputs_.data() + work_[w].inputs, work_[w].node->edges().size()};
  }

  static void add(Tensor& sum, const Tensor& g) {
    if (g.defined()) sum = sum.defined() ? sum + g : g;
  }

  void start(std::uint32_t w) {
    started_[w] = 1;
    ready_.push({work_[w].node->sequence(), w});
  }

  std::uint32_t number(TapeNode* node, bool& fresh) {
    const auto next = static_cast<std::uint32_t>(work_.size());
    const std::uint32_t w = map_.find_or_add(node, next);
    fresh = w == next;
    if (fresh) {
      work_.push_back({.node = node, .grads = static_cast<std::uint32_t>(grads_.size())});
      grads_.resize(grads_.size() + static_cast<std::size_t>(node->outputs()));
      started_.push_back(0);
    }
    return w;
  }

  /// Numbers all nodes, counts what each waits for, and (depth first, inputs before users) finds
  /// out which are needed for the targets.
  void discover(std::span<BackwardRoot> roots) {
    struct Frame {
      std::uint32_t work, edge;
    };
    bool fresh = false;
    for (const BackwardTarget& t : targets_) work_[number(t.node, fresh)].target = true;
    std::vector<char> visited(work_.size(), 0);
    std::vector<Frame> stack;
    const auto visit = [&](std::uint32_t w) {
      visited.resize(work_.size(), 0);
      if (visited[w]) return;
      visited[w] = 1;
      work_[w].inputs = static_cast<std::uint32_t>(inputs_.size());
      inputs_.resize(inputs_.size() + work_[w].node->edges().size(), kNone);
      stack.push_back({w, 0});
    };
    for (const BackwardRoot& r : roots) {
      visit(number(r.node.get(), fresh));
      while (!stack.empty()) {
        Frame& f = stack.back();
        const std::uint32_t w = f.work;
        const std::span<Edge> edges = work_[w].node->edges();
        if (f.edge < edges.size()) {
          const std::uint32_t edge = f.edge++;
          TapeNode* to = edges[edge].node.get();
          if (!to) continue;
          const std::uint32_t child = number(to, fresh);
          inputs_[work_[w].inputs + edge] = child;
          ++work_[child].waits;
          visit(child);
          continue;
        }
        stack.pop_back();
        bool needed = targets_.empty();
        for (const std::uint32_t input : inputs(w))
          needed = needed || (input != kNone && (work_[input].needed || work_[input].target));
        work_[w].needed = needed;
      }
    }
  }

  void process(std::uint32_t w) {
    TapeNode& node = *work_[w].node;
    const auto n = static_cast<std::size_t>(node.outputs());
    std::vector<Tensor>& grads = node_grads_;
    grads.resize(n);
    bool any = false;
    for (std::size_t i = 0; i < n; ++i) {
      grads[i] = std::move(grads_[work_[w].grads + i]);
      any |= grads[i].defined();
    }
    if (any && node.extra()) observe(node, grads);
    if (work_[w].target)
      for (BackwardTarget& t : targets_)
        if (t.node == &node) t.grad = grads[t.output];
    if (node.is_leaf()) {
      if (targets_.empty() && any && node.active()) accumulate(node, std::move(grads[0]));
      grads.clear();
      return;
    }
    const std::span<Edge> edges = node.edges();
    const std::span<const std::uint32_t> in = inputs(w);
    wanted_.assign(edges.size(), 0);
    for (std::size_t i = 0; i < edges.size(); ++i)
      wanted_[i] = in[i] != kNone && (work_[in[i]].target || work_[in[i]].needed);
    results_.resize(edges.size());
    if (any && work_[w].needed) differentiate(node, grads, wanted_, results_);
    grads.clear();
    for (std::size_t i = 0; i < edges.size(); ++i) {
      const std::uint32_t c = in[i];
      if (c == kNone) continue;
      if (wanted_[i]) add(grads_[work_[c].grads + edges[i].output], results_[i]);
      if (--work_[c].waits == 0 && !started_[c]) start(c);
    }
    results_.clear();
  }

  void differentiate(TapeNode& node, std::span<Tensor> grads, std::span<const char> wanted,
                     std::span<Tensor> results) {
    if (node.freed())
      throw AutogradError(std::string("backward: the graph was freed (") + node.name() +
                          " has no saved values any more); pass retain_graph to the first "
                          "backward() or grad() to walk it twice");
    BackwardCall call(node, grads, wanted, results);
    // Behind a result that is made again the gradient is computed from the operand as well.
    PassScope pass(node.rule().again ? Pass::kAgain : Pass::kBackward);
    node.rule().vjp(call);
    if (!retain_) node.free_saved();
  }

  /// Hooks, then retain_grad().
  void observe(TapeNode& node, std::vector<Tensor>& grads) {
    const std::vector<Hook> hooks = node.extra()->hooks;  // a hook may add or remove others
    for (const Hook& h : hooks) {
      Tensor& g = grads[h.output];
      if (!g.defined()) continue;
      const Tensor other = h.call(g);
      if (!other.defined()) continue;
      if (!(other.shape() == g.shape()) || other.dtype() != g.dtype() ||
          other.device() != g.device()) {
        const auto described = [](const Tensor& t) {
          return t.shape().str() + " of " + std::string(name(t.dtype())) + " on " +
                 t.device().str();
        };
        throw AutogradError("register_hook: the hook of " + std::string(node.name()) +
                            " returned a gradient " + described(other) + "; it must be " +
                            described(g));
      }
      g = other;
    }
    if (node.is_leaf() || !targets_.empty()) return;
    for (NodeExtra::Kept& k : node.extra()->kept)
      if (const Tensor& g = grads[k.output]; g.defined())
        k.grad = k.grad.defined() ? k.grad + g : g.clone();
  }

  void accumulate(TapeNode& leaf, Tensor g) {
    std::lock_guard lock(leaf_mutex());
    if (const NodeExtra* extra = leaf.extra(); extra && extra->replaced)
      throw AutogradError(
          "backward: a leaf was given data of another shape, dtype or device (by set_data(), or "
          "Module::to()) after it was used; compute what depends on it again");
    NodeExtra::Kept& k = leaf.need_kept(0);
    if (!create_ && tracked(g)) g = g.detach();
    if (k.grad.defined()) {
      if (create_ || tracked(k.grad))
        k.grad = k.grad + g;
      else
        k.grad.add_(g);  // seen by whoever holds the gradient
      return;
    }
    // The gradient becomes the user's, who may change it in place: it must be nobody else's.
    const TensorImpl& i = *g.impl();
    const bool own = i.refs.get() == 1 && i.cell->refs() == 1 && i.offset == 0 &&
                     g.numel() == i.cell->shape.numel() && g.is_contiguous();
    k.grad = own ? std::move(g) : g.clone();
  }
  static bool tracked(const Tensor& t) { return history_of(t).node != nullptr; }

  std::span<BackwardTarget> targets_;
  bool retain_, create_;
  NodeMap map_;
  std::vector<Work> work_;
  std::vector<std::uint32_t> inputs_;  ///< of all nodes' edges: who is there; kNone: nobody
  std::vector<Tensor> grads_;          ///< of all nodes' outputs, until they are processed
  std::vector<char> started_;
  // Of the node that is processed; kept for their memory.
  std::vector<Tensor> node_grads_, results_;
  std::vector<char> wanted_;
  std::priority_queue<std::pair<std::uint64_t, std::uint32_t>> ready_;
};

}  // namespace

void run_backward(std::span<BackwardRoot> roots, std::span<BackwardTarget> targets,
                  bool retain_graph, bool create_graph) {
  GradMode mode(create_graph);
  PassScope pass(Pass::kBackward);
  Walk(targets, retain_graph || create_graph, create_graph).run(roots);
}

}  // namespace flash::autograd
