// jit/plan/execute.cpp -- binding a plan to a trace (memory, ArgBlocks, tiles) and running it
#include <algorithm>
#include <utility>

#include "core/error.h"
#include "core/mutants.h"
#include "core/scope.h"
#include "core/thread_object.h"
#include "jit/debug/launch.h"
#include "jit/plan/plan.h"

namespace flash::jit {
namespace {

using ir::Word;

constexpr std::int64_t kArenaAlign = 64;
constexpr std::int64_t kWholeRun = 1 << 14;      // a map's run up to here is one tile
constexpr std::int64_t kSplitWork = 1 << 16;     // elements under a grid point that pay for a split
constexpr std::int64_t kStreamBytes = 16 << 20;  // a map's outputs that no cache keeps
constexpr std::int64_t kColumnTile = 512;        // lanes of a split reduction's tile
constexpr std::int64_t kWideColumns = 256;       // lanes of one tile
constexpr std::int64_t kPartsPerThread = 16;     // at most, so that they balance

/// Everything that is made for one run; kept per thread so that a steady loop allocates nothing.
struct Scratch {
  std::vector<char*> address;  // node → memory
  std::vector<Word> words;     // all ArgBlocks
  std::vector<Launch> launches;
  std::vector<std::size_t> offset;  // of each launch's ArgBlock in words
  std::vector<int> launch_of;       // each step's, of those that have one
  std::vector<std::int64_t> sizes;
  std::vector<Ref<Buffer>> held;
};

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// A run on a device; on none if it is null.
class DeviceRun {
 public:
  DeviceRun(DeviceRuntime* device, std::unique_ptr<Recording>& kept) : device_(device) {
    gathers_ = device_ && device_->begin_run(kept, {});
  }
  /// Whether launches take effect when they are made.
  bool launches_at_once() const { return !gathers_; }
  void end(Progress& progress) {
    if (gathers_) device_->prepare_run({});
    progress.started = true;
    if (DeviceRuntime* const device = std::exchange(device_, nullptr)) device->end_run({});
  }
  /// What failed first is what is told.
  void end_after_error(const Progress& progress) noexcept {
    if (!device_) return;
    try {
      if (progress.started)
        device_->end_run({});
      else
        device_->drop_run({});
    } catch (...) {
    }
  }

 private:
  DeviceRuntime* device_;
  bool gathers_;
};

class Runner {
 public:
  Runner(Plan& plan, const EvaluationRequest& r, DeviceRuntime& device, Scratch& s)
      : plan_(plan), r_(r), t_(r.trace), device_(device), s_(s) {}

  void run(Progress& progress) {
    // Launches that are timed are made one by one.
    DeviceRun run(observed_ ? nullptr : &device_, plan_.recording);
    try {
      place_memory();
      bind_steps();
      if (run.launches_at_once()) device_.prepare(s_.launches, {});
      progress.started = run.launches_at_once();
      launch_steps(progress);
      run.end(progress);
    } catch (...) {
      run.end_after_error(progress);
      for (LiveOut& l : r_.live) l.result.reset();  // they would be half-made
      s_.held.clear();
      throw;
    }
    s_.held.clear();
  }

 private:
  const Node& node(NodeId n) const { return t_.nodes[n]; }

  // -- memory -----------------------------------------------------------------
  void place_memory() {
    s_.address.assign(r_.count, nullptr);
    for (std::size_t i = 0; i < r_.count; ++i)
      if (const Node& n = t_.nodes[i]; n.op == Prim::kInput)
        s_.address[i] = static_cast<char*>(n.buffer->data());
    s_.sizes.clear();
    for (const Slot& slot : plan_.slots) {
      std::int64_t bytes = 0;
      for (NodeId n : slot.nodes) bytes = std::max(bytes, t_.bytes(node(n)));
      s_.sizes.push_back(slot.donor != kNoNode ? 0 : bytes);
    }
    const std::shared_ptr<const Plan::Layout> layout = memory_layout();
    char* arena = nullptr;
    if (layout->bytes) {
      s_.held.push_back(
          Buffer::allocate(device_, static_cast<std::size_t>(layout->bytes), "arena"));
      arena = static_cast<char*>(s_.held.back()->data());
    }
    const auto place = [&](const Slot& slot, char* at) {
      for (NodeId n : slot.nodes) s_.address[n] = at;
    };
    for (const Slot& slot : plan_.slots) {
      if (slot.donor != kNoNode) {
        if (slot.live >= 0) result_of(slot) = Ref<Buffer>(node(slot.donor).buffer);
        place(slot, s_.address[slot.donor]);
      } else if (slot.live >= 0) {
        const NodeId n = r_.live[static_cast<std::size_t>(slot.live)].node;
        Ref<Buffer> b =
            Buffer::allocate(device_, static_cast<std::size_t>(t_.bytes(node(n))), label(n));
        place(slot, static_cast<char*>(b->data()));
        result_of(slot) = std::move(b);
      }
    }
    for (std::size_t i = 0; i < plan_.slots.size(); ++i) {
      const Slot& slot = plan_.slots[i];
      if (slot.donor != kNoNode || slot.live >= 0) continue;
      if (const int host = layout->hosts[i]; host >= 0)
        place(slot,
              static_cast<char*>(result_of(plan_.slots[static_cast<std::size_t>(host)])->data()));
      else
        place(slot, arena ? arena + layout->offsets[i] : nullptr);
    }
  }
  Ref<Buffer>& result_of(const Slot& slot) {
    return r_.live[static_cast<std::size_t>(slot.live)].result;
  }

  const char* label(NodeId n) const {
    const std::string_view s = scope_name(node(n).scope);
    return s.empty() ? info(node(n).op).name.data() : s.data();
  }

  /// In order of size: into the memory of a result that is written later, where nobody else lies
  /// at the time, or else the first place in the arena that is free as long.
  std::shared_ptr<const Plan::Layout> memory_layout() {
    {
      std::lock_guard lock(plan_.mutex);
      if (plan_.layout && plan_.layout->sizes == s_.sizes) return plan_.layout;
    }
    auto layout = std::make_shared<Plan::Layout>();
    layout->sizes = s_.sizes;
    layout->offsets.assign(s_.sizes.size(), 0);
    layout->hosts.assign(s_.sizes.size(), -1);
    std::vector<std::size_t> order;
    std::vector<Host> hosts;
    for (std::size_t i = 0; i < s_.sizes.size(); ++i) {
      const Slot& slot = plan_.slots[i];
      if (slot.live < 0 && s_.sizes[i] > 0) order.push_back(i);
      // Results of one launch have no order among each other.
      if (slot.live >= 0 && slot.donor == kNoNode && s_.sizes[i] > 0)
        hosts.push_back({static_cast<int>(i), first_of_batch(slot.first), s_.sizes[i], {}});
    }
    // The latest first: the one that a result is made of cannot lie in its memory.
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) {
      if (s_.sizes[a] != s_.sizes[b]) return s_.sizes[a] > s_.sizes[b];
      return plan_.slots[a].last > plan_.slots[b].last;
    });
    const auto last = [](const Slot& slot) {
      return mutant(Mutant::kArenaOverlap) ? std::max(slot.first, slot.last - 1) : slot.last;
    };
    std::vector<std::size_t> placed;
    for (std::size_t i : order) {
      const Slot& slot = plan_.slots[i];
      if (Host* host = free_host(hosts, slot, s_.sizes[i])) {
        layout->hosts[i] = host->slot;
        host->guests.emplace_back(slot.first, slot.last);
        continue;
      }
      std::vector<std::pair<std::int64_t, std::int64_t>> busy;
      for (std::size_t j : placed)
        if (slot.first <= last(plan_.slots[j]) && plan_.slots[j].first <= last(slot))
          busy.emplace_back(layout->offsets[j], layout->offsets[j] + s_.sizes[j]);
      std::sort(busy.begin(), busy.end());
      std::int64_t at = 0;
      for (const auto& [from, to] : busy) {
        if (at + s_.sizes[i] <= from) break;
        at = std::max(at, ceil_div(to, kArenaAlign) * kArenaAlign);
      }
      layout->offsets[i] = at;
      layout->bytes = std::max(layout->bytes, at + s_.sizes[i]);
      placed.push_back(i);
    }
    std::lock_guard lock(plan_.mutex);
    plan_.layout = layout;
    return layout;
  }

  /// A result's memory, which is there before it is written.
  struct Host {
    int slot;
    int until;  ///< the step that writes it
    std::int64_t bytes;
    std::vector<std::pair<int, int>> guests;  ///< steps
  };
  static Host* free_host(std::vector<Host>& hosts, const Slot& slot, std::int64_t bytes) {
    constexpr std::size_t kMostTries = 64;
    for (std::size_t h = hosts.size(), tries = 0; h-- > 0 && tries < kMostTries; ++tries) {
      Host& host = hosts[h];
      if (slot.last >= host.until || bytes > host.bytes) continue;
      if (std::none_of(host.guests.begin(), host.guests.end(), [&](const auto& g) {
            return slot.first <= g.second && g.first <= slot.last;
          }))
        return &host;
    }
    return nullptr;
  }
  int first_of_batch(int step) const {
    while (step > 0 && plan_.steps[static_cast<std::size_t>(step) - 1].batch ==
                           plan_.steps[static_cast<std::size_t>(step)].batch)
      --step;
    return step;
  }

  // -- ArgBlocks --------------------------------------------------------------
  void bind_steps() {
    s_.words.clear();
    s_.launches.clear();
    s_.offset.clear();
    s_.launch_of.clear();
    for (const Step& step : plan_.steps) {
      s_.launch_of.push_back(static_cast<int>(s_.launches.size()));
      if (step.kernel) bind_kernel(*step.kernel, step.leaf != kNoNode);
    }
    const Word* const args = device_.bind_args(s_.words, {});
    for (std::size_t i = 0; i < s_.launches.size(); ++i) {
      s_.launches[i].args = args + s_.offset[i];
      s_.launches[i].host_args = s_.words.data() + s_.offset[i];
    }
  }

  char* element(NodeId n, std::int64_t offset) const {
    char* const first = s_.address[n];
    return first ? first + offset * size_of(node(n).dtype) : nullptr;  // null: it has no elements
  }

  struct Walk {
    const std::int64_t* shape;
    Strides strides;
    std::int64_t offset = 0;
  };
  /// Strides (elements) of a value as a view shows it.
  Walk walk(NodeId n, NodeId view) const {
    Walk w{};
    if (view == kNoNode) {
      const auto shape = t_.shape(node(n));
      w.shape = shape.data();
      w.strides = contiguous_strides(Shape(shape));
    } else if (node(view).op == Prim::kUpdate) {
      const auto a = t_.attrs(node(view));
      const auto rank = (a.size() - 1) / 2;
      w.offset = a[0];
      w.strides = Shape(a.subspan(1, rank));
      w.shape = a.data() + 1 + rank;
    } else {
      const auto a = t_.attrs(node(view));
      w.offset = a[2];
      w.strides = Shape(a.subspan(3));
      w.shape = t_.shape(node(view)).data();
      if (const auto r = w.strides.rank(); mutant(Mutant::kSwappedStrides) && r > 1)
        std::swap(w.strides[r - 1], w.strides[r - 2]);
    }
    return w;
  }

  std::int64_t size(const SizeOf& s) const {
    if (s.node == kNoNode) return 1;
    const Node& n = node(s.node);
    return s.attr ? t_.attrs(n)[s.index] : t_.shape(n)[s.index];
  }

  void bind_kernel(const PlannedKernel& k, bool epilogue) {
    const BindSpec& spec = k.spec;
    const std::size_t at = s_.words.size();
    s_.words.resize(at + static_cast<std::size_t>(spec.words), 0);
    Word* w = s_.words.data() + at;
    const std::size_t axes = spec.axes.size();
    std::int64_t parts[kMaxRank];
    for (std::size_t p = 0; p < spec.parts.size(); ++p) parts[p] = size(spec.parts[p]);
    Word* extent = w + ir::kArgExtents;
    for (std::size_t a = 0; a < axes; ++a) {
      extent[a] = 1;
      for (int p : spec.axes[a]) extent[a] *= parts[p];
    }
    for (const MemoryOperand& o : spec.operands) {
      const Walk walked = walk(o.node, o.view);
      const std::int64_t bytes = size_of(node(o.node).dtype);
      w[o.pointer] = reinterpret_cast<std::intptr_t>(element(o.node, walked.offset));
      for (std::size_t a = 0; a < axes; ++a)
        w[static_cast<std::size_t>(o.strides) + a] =
            o.dims[a] < 0 ? 0 : walked.strides[o.dims[a]] * bytes;
    }
    for (const ScalarWord& s : spec.scalars) w[s.word] = scalar(spec, s, parts);
    for (const IotaWords& i : spec.iotas) bind_iota(w, i, axes);
    s_.offset.push_back(at);
    s_.launches.push_back({.kernel = k.whole.get()});
    if (epilogue) return;  // the leaf kernel sets extents and tiles
    choose_tiles(k, at);
  }

  Word scalar(const BindSpec& spec, const ScalarWord& s, const std::int64_t* parts) const {
    switch (s.kind) {
      case ScalarWord::kAttr:
        return first_given(&s, t_.attrs(node(s.node))[static_cast<std::size_t>(s.index)]);
      case ScalarWord::kSize:
        return parts[s.index];
      case ScalarWord::kInner: {
        std::int64_t n = 1;
        for (int p = s.index + 1; p <= s.end; ++p) n *= parts[p];
        return n;
      }
      case ScalarWord::kStride: {
        const MemoryOperand& o = spec.operands[static_cast<std::size_t>(s.operand)];
        return walk(o.node, o.view).strides[s.index];
      }
      case ScalarWord::kFlatStride:
        return walk(s.node, kNoNode).strides[s.index];
    }
    return 0;
  }

  void bind_iota(Word* w, const IotaWords& i, std::size_t axes) const {
    Word* words = w + i.slot;
    for (std::size_t a = 0; a <= axes; ++a) words[a] = 0;
    if (i.kind == IotaWords::kAxis) {
      words[1 + i.axis] = 1;
    } else if (i.kind == IotaWords::kRange) {
      words[0] = t_.attrs(node(i.node))[1];
      words[1 + i.axis] = t_.attrs(node(i.node))[2];
    } else {
      const Walk walked = walk(i.node, kNoNode);
      for (std::size_t a = 0; a < axes; ++a)
        if (i.dims[a] >= 0) words[1 + a] = walked.strides[i.dims[a]];
    }
  }

  /// Tiles, and whether a reduction with few grid points is cut in parts. Neither changes a bit.
  void choose_tiles(const PlannedKernel& k, std::size_t at) {
    Word* w = s_.words.data() + at;
    const Word* extent = w + ir::kArgExtents;
    const std::size_t axes = k.roles.size();
    std::int64_t grid = 1, outer = 1, run = 1, lane = 1;
    for (std::size_t a = 0; a < axes; ++a) {
      if (k.roles[a] == ir::Role::kGrid) grid *= extent[a];
      if (k.roles[a] == ir::Role::kLane) lane = extent[a];
      if (k.roles[a] == ir::Role::kLoop) {
        outer *= run;
        run = extent[a];
      }
    }
    const std::int64_t threads = device_.parallelism();
    w[ir::kArgChunks] = 1;
    if (!k.reduces) {
      w[ir::kArgChunk] = std::max<std::int64_t>(run, 1);
      if (run > kWholeRun) {
        w[ir::kArgChunk] = std::max(kWholeRun / 2, ceil_div(ceil_div(run, threads * 8), 64) * 64);
        w[ir::kArgChunks] = ceil_div(run, w[ir::kArgChunk]);
      }
      std::int64_t stored = 0;
      for (const MemoryOperand& o : k.spec.operands)
        if (o.store) stored += grid * run * size_of(node(o.node).dtype);
      if (stored >= kStreamBytes) w[ir::kArgFlags] |= ir::kFlagStream;
      s_.launches.back().tiles = run == 0 ? 0 : grid * w[ir::kArgChunks];
      return;
    }
    const bool column = k.form == ir::Form::kColumn;
    const std::int64_t block = column ? ir::kColumnBlock : ir::kRowBlock;
    const std::int64_t blocks = outer * ceil_div(run, block);
    if (column) {
      w[ir::kArgChunk] = std::max<std::int64_t>(lane, 1);
      const std::int64_t want =
          ceil_div(
              ceil_div(lane, 64),
              std::max<std::int64_t>(1, ceil_div(2 * threads, std::max<std::int64_t>(grid, 1)))) *
          64;
      if (lane > 64) w[ir::kArgChunk] = std::min(lane, want);
    } else {
      w[ir::kArgChunk] = std::max<std::int64_t>(run, 1);
    }
    const std::int64_t points = column ? grid * ceil_div(lane, kColumnTile) : grid;
    // Wide enough columns for every thread stream nearly as well as whole rows, in one launch.
    const bool wide = column && w[ir::kArgChunk] >= kWideColumns &&
                      grid * ceil_div(lane, w[ir::kArgChunk]) >= 2 * threads;
    const bool split = k.split && threads > 1 && blocks > 1 && points > 0 && points < 4 * threads &&
                       !wide && outer * run * lane >= kSplitWork;
    if (!split) {
      if (column) w[ir::kArgChunks] = std::max<std::int64_t>(1, ceil_div(lane, w[ir::kArgChunk]));
      s_.launches.back().tiles = lane == 0 ? 0 : grid * w[ir::kArgChunks];
      return;
    }
    if (column) {
      w[ir::kArgChunk] = std::min(lane, kColumnTile);
      w[ir::kArgChunks] = ceil_div(lane, w[ir::kArgChunk]);
    }
    split_in_parts(k, at, blocks, points, grid * lane);
  }

  /// Mode kSplit: `blocks` reduction blocks of each of `tiles` tiles become parts, enough for all
  /// threads; more would only make combining them longer. A reduction has `results` values.
  void split_in_parts(const PlannedKernel& k, std::size_t at, std::int64_t blocks,
                      std::int64_t tiles, std::int64_t results) {
    Word* w = s_.words.data() + at;
    const std::int64_t most = ceil_div(kPartsPerThread * device_.parallelism(), tiles);
    w[ir::kArgPartBlocks] = 1;
    while (ceil_div(blocks, w[ir::kArgPartBlocks]) > most) w[ir::kArgPartBlocks] *= 2;
    const std::int64_t parts = ceil_div(blocks, w[ir::kArgPartBlocks]);
    w[ir::kArgParts] = parts;
    for (std::size_t i = 0; i < k.spec.partials.size(); ++i) {
      const std::int64_t bytes = results * parts * size_of(k.spec.partial_dtypes[i]);
      s_.held.push_back(Buffer::allocate(device_, static_cast<std::size_t>(bytes), "partial sums"));
      w[k.spec.partials[i]] = reinterpret_cast<std::intptr_t>(s_.held.back()->data());
    }
    s_.launches.back() = {.kernel = k.split.get(), .tiles = tiles * parts};
    // The tallies stand behind the kernel's words, which are the last so far.
    w[ir::kArgTallies] = static_cast<Word>(s_.words.size() - at);
    s_.words.resize(s_.words.size() + static_cast<std::size_t>(tiles), 0);
  }

  // -- launches ---------------------------------------------------------------
  void launch_steps(Progress& progress) {
    std::exception_ptr bad_index;  // the first; checks that stand together are all made
    for (std::size_t i = 0; i < plan_.steps.size();) {
      const Step& step = plan_.steps[i];
      if (!step.checked.empty()) {
        try {
          check_index(step);
        } catch (const IndexError&) {
          if (!bad_index) bad_index = std::current_exception();
          progress.failed.insert(progress.failed.end(), step.checked.begin(), step.checked.end());
        }
        ++i;
        continue;
      }
      if (bad_index) std::rethrow_exception(bad_index);
      std::size_t end = i + 1;
      if (step.leaf == kNoNode)
        while (end < plan_.steps.size() && plan_.steps[end].batch == step.batch) ++end;
      if (step.leaf != kNoNode) {
        run_leaf(step, i);
        ++i;
        continue;
      }
      if (step.update != kNoNode && step.update_base != kNoNode) {
        const Node& n = node(step.update);
        const std::int64_t bytes = t_.bytes(n);
        if (bytes)
          timed(
              [&] {
                const Node& base = node(step.update_base);
                void* const to = s_.address[step.update];
                const auto size = static_cast<std::size_t>(bytes);
                if (base.op == Prim::kInput)  // the user's memory may have gaps
                  base.buffer->give_value(to, size);
                else
                  device_.copy(to, s_.address[step.update_base], size, {});
              },
              [&](auto watch) {
                report_launch("copy", false, 1, {2 * bytes, 0}, std::move(watch));
              });
      }
      launch_batch(i, end);
      i = end;
    }
  }

  /// The kernels of a batch run as one launch.
  void launch_batch(std::size_t begin, std::size_t end) {
    batch_.clear();
    for (std::size_t i = begin; i < end; ++i)
      if (const Launch& l = s_.launches[static_cast<std::size_t>(s_.launch_of[i])]; l.tiles > 0)
        batch_.push_back(l);
    if (batch_.empty()) return;
    timed([&] { device_.launch(batch_, {}); },
          [&](auto watch) {
            Work work;
            std::int64_t tiles = 0;
            for (const Launch& l : batch_) tiles += l.tiles;
            for (std::size_t i = begin; i < end; ++i)
              work.bytes += work_of(t_, plan_, plan_.steps[i]).bytes;
            report_launch(batch_[0].kernel->name, false, tiles, work, std::move(watch));
          });
  }

  template <class Run, class Report>
  void timed(Run&& run, Report&& report) {
    if (!observed_) [[likely]] {
      run();
      return;
    }
    std::unique_ptr<Stopwatch> watch = device_.start_timing({});
    run();
    watch->stop();
    report(std::move(watch));
  }

  flash::Operand operand(const LeafOperand& o) const {
    const Walk walked = walk(o.node, o.view);
    const NodeId shown = o.view == kNoNode ? o.node : o.view;
    return {element(o.node, walked.offset), node(o.node).dtype, Shape(t_.shape(node(shown))),
            walked.strides};
  }

  void check_index(const Step& step) {
    const Node& n = node(step.checked[0]);
    const bool gather = n.op == Prim::kGatherRows;
    const std::int64_t rows = t_.shape(gather ? node(t_.in(n)[0]) : n)[0];
    try {
      device_.check_index(operand(step.operands[0]), rows, {});
    } catch (const IndexError& e) {
      const std::string_view scope = scope_name(n.scope);
      throw IndexError(std::string(index_user(n.op)) +
                       (scope.empty() ? "" : " (in " + std::string(scope) + ")") + ": " + e.what());
    }
  }

  void run_leaf(const Step& step, std::size_t index) {
    const Node& n = node(step.leaf);
    flash::Operand in[8];
    std::size_t count = 0;
    for (const LeafOperand& o : step.operands) in[count++] = operand(o);
    const Shape shape(t_.shape(n));
    LeafCall call;
    call.op = n.op;
    call.inputs = {in, count};
    call.output = {s_.address[step.leaf], n.dtype, shape, contiguous_strides(shape)};
    call.attrs = t_.attrs(n);
    Epilogue epilogue;
    std::vector<AffineWords> affine;
    if (step.kernel) {
      const BindSpec& spec = step.kernel->spec;
      for (const MemoryOperand& o : spec.operands) affine.push_back({o.pointer, o.strides});
      for (const IotaWords& i : spec.iotas) affine.push_back({i.slot, i.slot + 1});
      const Launch& l = s_.launches[static_cast<std::size_t>(s_.launch_of[index])];
      epilogue = {l.kernel, l.host_args, spec.words, static_cast<int>(spec.axes.size()), affine};
      call.epilogue = &epilogue;
    }
    timed([&] { device_.run_leaf(call, {}); },
          [&](auto watch) {
            report_launch(info(n.op).name, true, 0, work_of(t_, plan_, step), std::move(watch));
          });
  }

  Plan& plan_;
  const EvaluationRequest& r_;
  const Trace& t_;
  DeviceRuntime& device_;
  Scratch& s_;
  std::vector<Launch> batch_;
  const bool observed_ = observing();
};

}  // namespace

void prepare_run() { thread_object<Scratch>(); }

void run_plan(Plan& plan, const EvaluationRequest& request, DeviceRuntime& device,
              Progress& progress) {
  Runner(plan, request, device, thread_object<Scratch>()).run(progress);
}

}  // namespace flash::jit
