// jit/plan/planner.cpp -- groups become steps; values become slots, donated or temporary memory
#include <algorithm>
#include <unordered_map>

#include "core/mutants.h"
#include "jit/plan/plan.h"

namespace flash::jit {
namespace {

class Planner {
 public:
  Planner(const EvaluationRequest& request, bool fuse, DeviceRuntime& device, KernelSource& kernels)
      : g_(request, fuse), device_(device), kernels_(kernels) {}

  std::shared_ptr<Plan> run() {
    groups_ = make_groups(g_, [&](Prim op, DType d) { return device_.takes_epilogue(op, d); });
    plan_->slot_of.assign(g_.count, -1);
    checks_first();
    add_checks(-1);
    for (int id : groups_.order) {
      add_step(id);
      add_checks(id);
    }
    order_sinks();
    place_values();
    batch();
    kernels_.load(std::move(wanted_));
    return plan_;
  }

 private:
  const Group& group(int id) const { return groups_.all[static_cast<std::size_t>(id)]; }
  static bool needs(const Group& later, std::size_t earlier) {
    return earlier / 64 < later.before.size() && (later.before[earlier / 64] >> earlier % 64 & 1);
  }

  LeafOperand operand(NodeId u) const {
    if (g_.node(u).op == Prim::kView) return {g_.in(u)[0], u};
    return {u, kNoNode};
  }

  // -- indices ----------------------------------------------------------------
  /// An index out of range is the one thing that can fail once kernels run. So all indices are
  /// checked before memory of an input is written, and what they wait for runs first.
  void checks_first() {
    std::vector<char> early(groups_.all.size(), 0);
    for (int id : groups_.order) {
      const NodeId leaf = group(id).anchor;
      if (group(id).kind != GroupKind::kLeaf || !takes_index(g_.node(leaf).op)) continue;
      const int producer = groups_.of[operand(g_.in(leaf)[1]).node];  // -1: an input
      indexed_.emplace_back(producer, leaf);
      if (producer >= 0) early[static_cast<std::size_t>(producer)] = 1;
    }
    for (std::size_t i = groups_.order.size(); i-- > 0;) {
      const int id = groups_.order[i];
      if (!early[static_cast<std::size_t>(id)]) continue;
      for (std::size_t h = 0; h < early.size(); ++h)
        if (needs(group(id), h)) early[h] = 1;
    }
    std::stable_partition(groups_.order.begin(), groups_.order.end(),
                          [&](int id) { return early[static_cast<std::size_t>(id)] != 0; });
  }

  /// A check for each index, and number of rows, that a group (-1: an input) gives.
  void add_checks(int producer) {
    std::vector<NodeId> first;  // of each check added here
    for (const auto& [from, leaf] : indexed_) {
      if (from != producer) continue;
      const NodeId index = g_.in(leaf)[1];
      const Symbol rows = rows_of(leaf);
      const auto same = std::find_if(first.begin(), first.end(), [&](NodeId other) {
        return g_.in(other)[1] == index && rows_of(other) == rows;
      });
      const auto behind = static_cast<std::size_t>(first.end() - same);  // 0: a new one
      if (behind == 0) {
        Step check;
        check.operands.push_back(operand(index));
        plan_->steps.push_back(std::move(check));
        sink_.push_back(0);
        first.push_back(leaf);
        unchecked_ = static_cast<int>(plan_->steps.size());
      }
      auto& checked = plan_->steps[plan_->steps.size() - std::max<std::size_t>(behind, 1)].checked;
      for (NodeId n = 0; n < g_.count; ++n)
        if (n == leaf || g_.canonical(n) == leaf) checked.push_back(n);
    }
  }
  Symbol rows_of(NodeId leaf) {
    const bool gather = g_.node(leaf).op == Prim::kGatherRows;
    return g_.symbol(gather ? g_.in(leaf)[0] : leaf, 0);
  }

  void add_step(int id) {
    const Group& gr = group(id);
    Step step;
    if (gr.kind == GroupKind::kLeaf) {
      step.leaf = gr.anchor;
      for (NodeId u : g_.in(gr.anchor)) step.operands.push_back(operand(u));
    }
    if (gr.kind == GroupKind::kUpdate) {
      step.update = gr.anchor;
      NodeId base = g_.in(gr.anchor)[0];
      if (g_.node(base).op == Prim::kView) base = g_.in(base)[0];
      step.update_base = base;
    }
    bool stores = gr.kind != GroupKind::kLeaf;
    for (NodeId m : gr.members) stores = stores || groups_.stored[m];
    if (stores) step.kernel = planned(build_kernel(g_, groups_, id));
    plan_->steps.push_back(std::move(step));
    sink_.push_back(groups_.sink[static_cast<std::size_t>(id)]);
  }

  std::unique_ptr<PlannedKernel> planned(BuiltKernel built) {
    auto k = std::make_unique<PlannedKernel>();
    k->code = ir::key_of(built.kernel);
    k->form = built.kernel.form;
    k->roles = built.kernel.axes;
    k->reduces = built.kernel.has_reduce();
    k->spec = std::move(built.spec);
    wanted_.push_back({built.kernel, &k->whole});
    if (built.splittable) {
      built.kernel.mode = ir::Mode::kSplit;
      wanted_.push_back({std::move(built.kernel), &k->split});
    }
    return k;
  }

  /// The schedule ends with the sinks; among them equal code stands together.
  void order_sinks() {
    std::vector<std::size_t> at(plan_->steps.size());
    for (std::size_t i = 0; i < at.size(); ++i) at[i] = i;
    std::stable_sort(at.begin(), at.end(), [&](std::size_t a, std::size_t b) {
      if (sink_[a] != sink_[b]) return sink_[a] < sink_[b];
      if (!sink_[a]) return false;
      const ir::Key &x = plan_->steps[a].kernel->code, &y = plan_->steps[b].kernel->code;
      return x.lo != y.lo ? x.lo < y.lo : x.hi < y.hi;
    });
    std::vector<Step> steps;
    std::vector<char> sink;
    for (std::size_t i : at) {
      steps.push_back(std::move(plan_->steps[i]));
      sink.push_back(sink_[i]);
    }
    plan_->steps = std::move(steps);
    sink_ = std::move(sink);
  }

  // -- values -----------------------------------------------------------------
  void place_values() {
    const int n = static_cast<int>(plan_->steps.size());
    last_use_.assign(g_.count, -1);
    for (int s = 0; s < n; ++s) {
      const Step& step = plan_->steps[static_cast<std::size_t>(s)];
      for (const LeafOperand& o : step.operands) use(o.node, s);
      if (step.kernel)
        for (const MemoryOperand& o : step.kernel->spec.operands)
          if (!o.store) use(o.node, s);
      if (step.update != kNoNode) use(step.update_base, s);
    }
    for (std::size_t i = 0; i < g_.carrier.size(); ++i)
      live_index_[g_.carrier[i]] = static_cast<int>(i);
    overwrites_.resize(plan_->steps.size());
    for (int s = 0; s < n; ++s) place_step(s);
  }
  void use(NodeId node, int step) { last_use_[node] = std::max(last_use_[node], step); }

  int live_index(NodeId n) const {
    auto it = live_index_.find(n);
    return it == live_index_.end() ? -1 : it->second;
  }

  int new_slot(NodeId n, int step, NodeId donor = kNoNode) {
    Slot slot;
    slot.nodes.push_back(n);
    slot.first = step;
    slot.last = std::max(step, last_use_[n]);
    slot.live = live_index(n);
    slot.donor = donor;
    plan_->slots.push_back(slot);
    return plan_->slot_of[n] = static_cast<int>(plan_->slots.size() - 1);
  }
  void share(NodeId n, int id) {
    Slot& slot = plan_->slots[static_cast<std::size_t>(id)];
    slot.nodes.push_back(n);
    slot.last = std::max(slot.last, last_use_[n]);
    if (slot.live < 0) slot.live = live_index(n);
    plan_->slot_of[n] = id;
  }

  void place_step(int s) {
    Step& step = plan_->steps[static_cast<std::size_t>(s)];
    const bool raw_hidden = step.leaf != kNoNode && !groups_.stored[step.leaf];
    bool raw_placed = step.leaf == kNoNode;
    if (step.leaf != kNoNode && !raw_hidden) {
      new_slot(step.leaf, s);
      raw_placed = true;
    }
    if (step.update != kNoNode) {
      place_update(step, s);
      return;
    }
    if (!step.kernel) {
      if (!raw_placed) new_slot(step.leaf, s);
      return;
    }
    for (const MemoryOperand& o : step.kernel->spec.operands) {
      if (!o.store) continue;
      const bool under = !raw_placed &&
                         size_of(g_.node(o.node).dtype) == size_of(g_.node(step.leaf).dtype) &&
                         g_.node(o.node).rank == g_.node(step.leaf).rank;
      if (under) {
        share(step.leaf, new_slot(o.node, s));
        raw_placed = true;
        continue;
      }
      const NodeId in_place = find_in_place(step, o, s);
      if (in_place != kNoNode) overwrites_[static_cast<std::size_t>(s)].push_back(in_place);
      if (in_place != kNoNode && plan_->slot_of[in_place] >= 0)
        share(o.node, plan_->slot_of[in_place]);
      else
        new_slot(o.node, s, in_place);
    }
    if (!raw_placed) new_slot(step.leaf, s);
  }

  void place_update(Step& step, int s) {
    const NodeId base = step.update_base;
    bool read = false;  // the value may be made of the base's old elements
    for (const MemoryOperand& o : step.kernel->spec.operands)
      read = read || (!o.store && o.node == base);
    const int id = plan_->slot_of[base];
    const bool last = last_use_[base] == s && !read;
    if (id >= 0 && last && live_index(base) < 0 &&
        plan_->slots[static_cast<std::size_t>(id)].live < 0) {
      share(step.update, id);
      step.update_base = kNoNode;
      return;
    }
    if (id < 0 && last && may_donate(base, s)) {
      new_slot(step.update, s, base);
      donated_[base] = s;
      step.update_base = kNoNode;
    } else {
      new_slot(step.update, s);
    }
  }

  bool may_donate(NodeId input, int step) const {
    return g_.dying[input] && !donated_.contains(input) && step >= unchecked_;
  }
  /// A dying input or a temporary that this step reads last, and at the same index as it stores
  /// `out`: `out` takes its memory.
  NodeId find_in_place(const Step& step, const MemoryOperand& out, int s) {
    if (out.view != kNoNode) return kNoNode;
    for (const MemoryOperand& o : step.kernel->spec.operands) {
      if (o.store || (last_use_[o.node] != s && !mutant(Mutant::kWrongDonation))) continue;
      if (g_.node(o.node).op == Prim::kInput) {
        if (!may_donate(o.node, s)) continue;
      } else {
        const int id = plan_->slot_of[o.node];
        if (id < 0) continue;  // none yet: this step's own raw output
        const Slot& slot = plan_->slots[static_cast<std::size_t>(id)];
        if (slot.live >= 0 || slot.first == s || slot.last != s) continue;
        const auto& taken = overwrites_[static_cast<std::size_t>(s)];
        if (std::find(taken.begin(), taken.end(), o.node) != taken.end()) continue;
      }
      bool fits = true;
      for (const MemoryOperand& r : step.kernel->spec.operands)
        if (!r.store && r.node == o.node) fits = fits && same_index(r, out) && r.loop <= out.loop;
      for (const LeafOperand& l : step.operands) fits = fits && l.node != o.node;
      if (!fits) continue;
      if (g_.node(o.node).op == Prim::kInput) donated_[o.node] = s;
      return o.node;
    }
    return kNoNode;
  }
  bool same_index(const MemoryOperand& in, const MemoryOperand& out) {
    return in.view == kNoNode &&
           size_of(g_.node(in.node).dtype) == size_of(g_.node(out.node).dtype) &&
           in.dims == out.dims && g_.symbols(in.node) == g_.symbols(out.node) &&
           g_.node(in.node).rank == g_.node(out.node).rank;
  }

  // -- batches ----------------------------------------------------------------
  /// Equal kernels that stand together and don't depend on each other are one launch.
  void batch() {
    int batch = 0;
    for (std::size_t i = 0; i < plan_->steps.size(); ++i) {
      Step& step = plan_->steps[i];
      step.batch = batch++;
      if (i == 0 || !sink_[i] || !sink_[i - 1]) continue;
      const Step& before = plan_->steps[i - 1];
      if (step.kernel->code == before.kernel->code && independent(i, before.batch)) {
        step.batch = before.batch;
        batch = before.batch + 1;
      }
    }
  }
  bool independent(std::size_t i, int batch) const {
    const auto reads_of = [&](std::size_t a, std::size_t b) {
      for (const MemoryOperand& o : plan_->steps[a].kernel->spec.operands)
        for (const NodeId n : overwrites_[b])
          if (!o.store && o.node == n) return true;
      return false;
    };
    for (std::size_t j = i; j-- > 0 && plan_->steps[j].batch == batch;)
      if (reads_of(i, j) || reads_of(j, i)) return false;
    return true;
  }

  Graph g_;
  DeviceRuntime& device_;
  KernelSource& kernels_;
  std::vector<WantedKernel> wanted_;  // by the steps
  Groups groups_;
  std::shared_ptr<Plan> plan_ = std::make_shared<Plan>();
  std::vector<char> sink_;
  std::vector<std::pair<int, NodeId>> indexed_;  ///< the group that gives the index, and the leaf
  int unchecked_ = 0;                            ///< steps up to the last check
  std::vector<int> last_use_;
  std::vector<std::vector<NodeId>> overwrites_;  ///< by step: values whose memory its results take
  std::unordered_map<NodeId, int> live_index_;
  std::unordered_map<NodeId, int> donated_;
};

}  // namespace

std::shared_ptr<Plan> make_plan(const EvaluationRequest& request, bool fuse, DeviceRuntime& device,
                                KernelSource& kernels) {
  return Planner(request, fuse, device, kernels).run();
}

}  // namespace flash::jit
