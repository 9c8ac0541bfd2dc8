// kernels/vulkan/runtime.cpp -- devices behind the seam: kernels, the shape of a launch
#include "kernels/vulkan/runtime.h"

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <utility>

#include "core/counters.h"
#include "core/error.h"
#include "jit/emit/clike/clike.h"
#include "kernels/gpu/limits.h"
#include "kernels/gpu/scratch.h"
#include "kernels/gpu/stopwatch.h"
#include "kernels/leaf.h"
#include "kernels/vulkan/engine.h"
#include "kernels/vulkan/glsl_compiler.h"
#include "kernels/vulkan/probe.h"
#include "kernels/vulkan/recordings.h"
#include "kernels/vulkan/timer.h"

namespace flash::vulkan {
namespace {

enum class Shape : std::uint8_t { kWide, kNarrow, kWarp };

class VulkanKernel final : public LoadedKernel {
 public:
  VulkanKernel(std::shared_ptr<Engine> engine, const ir::Kernel& k) : engine_(std::move(engine)) {
    name = k.name;
    const emit::Dialect dialect{.wide = engine_->gpu()->traits().wide};
    source_ = emit::clike_function(k, "kernel", dialect);
    vector_ = emit::vector_width(k, dialect);
    program_ = std::make_unique<Program>(engine_->gpu(), source_, name);
    warp_ = k.form == ir::Form::kRow && k.has_reduce();
    split_ = k.mode == ir::Mode::kSplit;
    vector_extent_ = ir::kArgExtents + k.vector_axis();
    program_->pipeline(warp_ ? emit::kWarp : wide(), 1);  // so that a failure is one of load()
  }
  ~VulkanKernel() override { engine_->retire(std::move(program_)); }

  std::string listing() const override { return source_; }

  /// A block is 128 threads along a tile, or 16 along each of 8 tiles that are short. Few shapes,
  /// for each is compiled by itself.
  Command dispatch(const Launch& l) const {
    Command d{.program = program_.get(), .x = wide(), .tiles = l.tiles};
    const std::int64_t along =
        (std::min(l.host_args[ir::kArgChunk], l.host_args[vector_extent_]) + vector_ - 1) / vector_;
    if (warp_) {
      d.x = emit::kWarp;
    } else if (along <= wide() / 4 && !split_ && l.tiles > 1) {
      d.x = 16;
      d.y = wide() / 16;
    }
    const std::int64_t blocks = (d.tiles + d.y - 1) / d.y;
    d.blocks =
        static_cast<std::uint32_t>(std::min<std::int64_t>(blocks, engine_->gpu()->most_blocks));
    return d;
  }

 private:
  int wide() const { return std::min(128, engine_->gpu()->block_threads()); }

  const std::shared_ptr<Engine> engine_;
  std::unique_ptr<Program> program_;
  std::string source_;
  bool warp_ = false, split_ = false;
  int vector_extent_ = 0, vector_ = 1;
};

/// Text that becomes part of the leaf kernels that call it.
class VulkanEpilogue final : public LoadedKernel {
 public:
  VulkanEpilogue(std::shared_ptr<Engine> engine, const ir::Kernel& k)
      : engine_(std::move(engine)), text_(emit::clike_epilogue(k)) {
    name = k.name;
  }
  ~VulkanEpilogue() override {
    for (auto& [leaf, program] : programs_) engine_->retire(std::move(program));
  }
  std::string listing() const override { return text_; }

  /// The program of a leaf kernel that calls it, compiled when it is asked for first.
  Program& program(const gpu::LeafLaunch& l) const {
    const std::string entry(l.entry);
    const std::lock_guard lock(mutex_);
    std::unique_ptr<Program>& program = programs_[entry + std::string(l.epilogue_index)];
    if (!program) {
      const CompileTime time;
      program = std::make_unique<Program>(engine_->gpu(),
                                          gpu::with_epilogue(l.source, text_, l.epilogue_index),
                                          entry + "+" + name);
      add_compiled(entry + "+" + name, time.microseconds());
    }
    return *program;
  }

 private:
  const std::shared_ptr<Engine> engine_;
  const std::string text_;
  mutable std::mutex mutex_;                                                    // guards programs_
  mutable std::unordered_map<std::string, std::unique_ptr<Program>> programs_;  // by leaf and index
};

}  // namespace

/// What a thread runs, or ran last.
struct VulkanRuntime::ThreadRun {
  explicit ThreadRun(Allocator& allocator) : scratch(allocator) {}
  std::unique_ptr<Recording>* kept = nullptr;  ///< null: no run is open
  /// Where the ArgBlocks of replayed runs go. The next run writes them over, in the same queue:
  /// behind the commands that read them.
  Block* args = nullptr;
  gpu::QueueStopwatch<Timer>* watch = nullptr;  ///< that waits for the next command
  // Of the open run, for end_run():
  const std::int64_t* bound = nullptr;  ///< what bind_args() returned: the words begin with these
  std::vector<std::int64_t> words;
  std::vector<Command> commands;
  gpu::Scratch scratch;
  bool may_fault = false;

  /// To be called in front of a command.
  void begin_timing() const {
    if (watch != nullptr) watch->start();
  }
  /// A leaf kernel's launch, behind what is there.
  void add(Program& program, const gpu::LeafLaunch& l) {
    commands.push_back({.program = &program,
                        .x = l.x,
                        .y = l.y,
                        .blocks = static_cast<std::uint32_t>(l.grid),
                        .tiles = l.tiles,
                        .args = words.size() * sizeof(std::int64_t)});
    words.insert(words.end(), l.words.begin(), l.words.end());
  }
  /// All is enqueued, or given up.
  void clear() noexcept {
    scratch.give_back();
    kept = nullptr;
    bound = nullptr;
    words.clear();
    commands.clear();
    may_fault = false;
  }
};

VulkanRuntime::VulkanRuntime(int index, const emit::GlslTraits* traits) : index_(index) {
  gpu_ =
      std::make_shared<Gpu>(*instance(), candidates().at(static_cast<std::size_t>(index)), index);
  load_threads_ = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  // Vulkan does not say how many processors a GPU has.
  parallelism_ = gpu_->is_software() ? load_threads_ : 64;
  if (traits != nullptr)
    gpu_->set_traits(*traits);
  else
    probe(gpu_);
  engine_ = std::make_shared<Engine>(gpu_);
  allocator_ = std::make_unique<Allocator>(engine_->take_memory(), nullptr, gpu_->label.c_str());
  gpu_->throw_complaints();
  // After the probe, which has brought in what the driver compiles with: that goes after this.
  static std::once_flag registered;
  std::call_once(registered, [] { std::atexit(wait_at_exit); });
}

// A driver that computes on the host's threads is in the midst of code that exit() tears down.
void VulkanRuntime::wait_at_exit() {
  for (DeviceRuntime* open : open_runtimes()) {
    if (open->id().type() != DeviceType::kVulkan) continue;
    const auto& runtime = static_cast<const VulkanRuntime&>(*open);
    if (!runtime.gpu_->is_software() || !runtime.gpu_->process.here()) continue;
    try {
      runtime.engine_->drain();
    } catch (const std::exception&) {  // a device that is lost works on nothing
    }
  }
}

VulkanRuntime::~VulkanRuntime() {
  engine_->drain();
  for (const auto& [thread, run] : runs_) allocator_->free(run->args);
  allocator_.reset();
}

Device VulkanRuntime::id() const { return Device::unchecked(DeviceType::kVulkan, index_); }

Engine& VulkanRuntime::engine() {
  gpu_->process.check(gpu_->label);
  return *engine_;
}

Allocator& VulkanRuntime::allocator() { return *allocator_; }

std::shared_ptr<LoadedKernel> VulkanRuntime::load(const ir::Kernel& kernel, CodeKind) {
  const bool f64 = gpu_->traits().has_f64 && gpu_->traits().f64_arithmetic;
  if (!f64)
    for (const ir::Inst& i : kernel.insts)
      if (i.type == ir::Type::kF64)
        throw DTypeError(gpu_->label + " (" + gpu_->name +
                         ") has no f64 arithmetic, which kernel " + kernel.name +
                         " needs; use f32 there, or another device.");
  gpu_->process.check(gpu_->label);
  if (kernel.mode == ir::Mode::kEpilogue) return std::make_shared<VulkanEpilogue>(engine_, kernel);
  auto loaded = std::make_shared<VulkanKernel>(engine_, kernel);
  gpu_->throw_complaints();
  return loaded;
}

VulkanRuntime::ThreadRun& VulkanRuntime::this_run() {
  const std::lock_guard lock(runs_mutex_);
  std::unique_ptr<ThreadRun>& run = runs_[std::this_thread::get_id()];
  if (!run) run = std::make_unique<ThreadRun>(*allocator_);
  return *run;
}

bool VulkanRuntime::begin_run(std::unique_ptr<Recording>& kept, Stream) {
  gpu_->process.check(gpu_->label);
  this_run().kept = &kept;
  return true;
}

const std::int64_t* VulkanRuntime::bind_args(std::span<const std::int64_t> words, Stream stream) {
  Engine& e = engine();
  ThreadRun& run = this_run();
  if (run.kept == nullptr) return e.bind_args(words, stream);
  run.words.assign(words.begin(), words.end());
  return run.bound = words.data();
}

void VulkanRuntime::prepare_run(Stream) {
  ThreadRun& run = this_run();
  const std::size_t bytes = run.words.size() * sizeof(std::int64_t);
  if (run.commands.empty() || (run.args != nullptr && run.args->capacity >= bytes)) return;
  constexpr std::size_t kLeast = 16 << 10;
  Block* const larger = allocator_->allocate(std::max(2 * bytes, kLeast), "ArgBlocks");
  allocator_->free(std::exchange(run.args, larger));
}

void VulkanRuntime::drop_run(Stream) { this_run().clear(); }

void VulkanRuntime::end_run(Stream stream) {
  ThreadRun& run = this_run();
  struct Close {
    ThreadRun& run;
    ~Close() { run.clear(); }
  } const close{run};
  if (run.commands.empty()) return;
  run.begin_timing();
  const std::lock_guard lock(recordings_mutex_);
  if (!*run.kept) *run.kept = std::make_unique<Recordings>(engine_);
  if (static_cast<Recordings&>(**run.kept)
          .run({run.commands, run.words, run.args->data, run.may_fault}, stream))
    ++counters.replays;
}

void VulkanRuntime::launch(std::span<const Launch> items, Stream stream) {
  Engine& e = engine();
  ++counters.launches;
  ThreadRun& run = this_run();
  std::vector<Command> now;
  std::vector<Command>& commands = run.kept != nullptr ? run.commands : now;
  bool first = true;
  for (const Launch& l : items) {
    if (l.tiles == 0) continue;
    Command c = static_cast<const VulkanKernel*>(l.kernel)->dispatch(l);
    c.args = run.kept != nullptr
                 ? static_cast<VkDeviceAddress>(l.args - run.bound) * sizeof(std::int64_t)
                 : static_cast<VkDeviceAddress>(reinterpret_cast<std::uintptr_t>(l.args));
    c.beside = !std::exchange(first, false);
    commands.push_back(c);
  }
  if (run.kept != nullptr) return;
  run.begin_timing();
  e.enqueue(commands, stream);
}

// Where a CPU plays a GPU, compiling a leaf kernel again costs more than a pass over memory.
bool VulkanRuntime::takes_epilogue(Prim op, DType) const {
  return leaf_takes_epilogue(op) && !gpu_->is_software();
}

gpu::Capabilities VulkanRuntime::capabilities() const {
  gpu::Capabilities device;
  device.processors = parallelism();
  device.block_threads = gpu_->block_threads();
  device.shared_bytes = gpu_->shared_bytes;
  device.most_blocks = gpu_->most_blocks;
  device.f64 = gpu_->traits().has_f64 && gpu_->traits().f64_arithmetic;
  device.software = gpu_->is_software();
  return device;
}

void VulkanRuntime::run_leaf(const LeafCall& call, Stream stream) {
  Engine& e = engine();
  ++counters.launches;
  ++counters.leaf_launches;
  ThreadRun& run = this_run();
  struct Done {
    ThreadRun& run;
    ~Done() {
      run.scratch.kernel_ends();
      if (run.kept == nullptr) run.clear();
    }
  } const done{run};
  const auto scratch = [&](std::size_t bytes) { return run.scratch.take(bytes); };
  const gpu::LeafMemory memory{scratch, e.faults(), e.next_serial()};
  for (const gpu::LeafLaunch& l : gpu::leaf_launches(call, capabilities(), memory))
    run.add(l.epilogue_index.empty()
                ? e.leaf_program(l)
                : static_cast<const VulkanEpilogue*>(call.epilogue->kernel)->program(l),
            l);
  if (call.op == Prim::kGatherRows || call.op == Prim::kScatterAddRows) run.may_fault = true;
  if (run.kept != nullptr) return;
  run.begin_timing();
  e.run(run.commands, run.words, run.may_fault, stream);
}

void VulkanRuntime::count_copy(std::size_t bytes) {
  ++counters.launches;
  counters.bytes_moved += 2 * bytes;
}
void VulkanRuntime::copy(void* dst, const void* src, std::size_t bytes, Stream stream) {
  if (bytes == 0) return;
  count_copy(bytes);
  Engine& e = engine();
  const Command copy{.to = e.place_of(dst), .from = e.place_of(src), .bytes = bytes};
  ThreadRun& run = this_run();
  if (run.kept != nullptr) return run.commands.push_back(copy);
  run.begin_timing();
  e.enqueue({&copy, 1}, stream);
}
void VulkanRuntime::to_host(void* dst, const void* src, std::size_t bytes, Stream stream) {
  engine().to_host(dst, src, bytes, stream);
  if (bytes > 0) count_copy(bytes);
}
void VulkanRuntime::from_host(void* dst, const void* src, std::size_t bytes, Stream stream) {
  if (bytes == 0) return;
  engine().from_host(dst, src, bytes, stream);
  count_copy(bytes);
}
void VulkanRuntime::synchronize(Stream stream) { engine().synchronize(stream); }

std::string VulkanRuntime::description() {
  const std::string traits = emit::to_string(gpu_->traits());
  return gpu_->driver + ", " + format_bytes(gpu_->memory()) + (traits.empty() ? "" : "; " + traits);
}

std::unique_ptr<Stopwatch> VulkanRuntime::start_timing(Stream stream) {
  engine();  // throws in a child of a fork
  return std::make_unique<gpu::QueueStopwatch<Timer>>(Timer(engine_, stream), this_run().watch);
}

MachineLimits VulkanRuntime::limits() {
  Engine& e = engine();
  const std::lock_guard lock(limits_mutex_);
  if (limits_) return *limits_;
  allocator_->trim();
  const auto upload = [&](void* to, std::span<const std::int64_t> words) {
    e.from_host(to, words.data(), words.size_bytes(), {});
  };
  const auto launch = [&](const gpu::LeafLaunch& l, const void* args) {
    const Command command{
        .program = &e.leaf_program(l),
        .x = l.x,
        .y = l.y,
        .blocks = static_cast<std::uint32_t>(l.grid),
        .tiles = l.tiles,
        .args = static_cast<VkDeviceAddress>(reinterpret_cast<std::uintptr_t>(args))};
    e.enqueue({&command, 1}, {});
  };
  const auto time = [&](FunctionRef<void()> enqueue) {
    Timer timer(engine_, {});
    timer.start();
    enqueue();
    timer.stop();
    return timer.microseconds();
  };
  const MachineLimits found =
      gpu::measure_limits({capabilities(), gpu_->memory(), e.memory(), upload, launch, time});
  if (found.gb_per_s > 0) limits_ = found;  // else there was no room, and may be some later
  return found;
}

int count_devices() {
  if (!no_compiler_because().empty() || instance() == nullptr) return 0;
  return static_cast<int>(candidates().size());
}

std::string what_is_missing() {
  if (instance() == nullptr || candidates().empty()) return no_candidates_because();
  return no_compiler_because();
}

}  // namespace flash::vulkan
