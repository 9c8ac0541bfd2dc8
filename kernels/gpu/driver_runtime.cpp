// kernels/gpu/driver_runtime.cpp -- a device behind a driver like CUDA's: the runtime that CUDA and
// HIP share
#include "kernels/gpu/driver_runtime.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "core/counters.h"
#include "core/error.h"
#include "core/log.h"
#include "jit/emit/clike/generic.h"
#include "kernels/gpu/fault.h"
#include "kernels/gpu/limits.h"
#include "kernels/gpu/peer.h"

namespace flash::gpu {
namespace {

Address address_of(const void* at) { return reinterpret_cast<Address>(at); }

class DeviceMemory final : public RawMemory {
 public:
  explicit DeviceMemory(std::shared_ptr<Context> context) : context_(std::move(context)) {}
  void* allocate(std::size_t bytes) override {
    context_->enter();
    Address at = 0;
    const int error = context_->calls().allocate(&at, bytes);
    if (error == kOutOfMemory) return nullptr;
    context_->check(error, "allocating memory");
    return reinterpret_cast<void*>(at);
  }
  void free(void* data, std::size_t) override { context_->free(address_of(data)); }

 private:
  std::shared_ptr<Context> context_;
};

Command command_of(const LeafKernel& kernel, const LeafLaunch& l) {
  return {.function = kernel.function.load(std::memory_order_acquire),
          .name = &kernel.name,
          .geometry = {static_cast<unsigned>(l.grid), static_cast<unsigned>(l.x),
                       static_cast<unsigned>(l.y)},
          .tiles = l.tiles};
}

}  // namespace

DriverRuntime::DriverRuntime(const Driver& driver, Compiler& compiler, emit::Dialect dialect,
                             int index)
    : id_(Device::unchecked(driver.vendor().type, index)),
      context_(std::make_shared<Context>(driver, index)),
      loader_(context_, compiler, dialect),
      allocator_(std::make_unique<Allocator>(std::make_unique<DeviceMemory>(context_), nullptr,
                                             context_->name().c_str())),
      staging_(*context_),
      capabilities_{.processors = context_->processors(),
                    .block_threads = context_->max_threads(),
                    .shared_bytes = context_->shared_bytes()} {}

DriverRuntime::~DriverRuntime() {
  for (const auto& [thread, run] : runs_) allocator_->free(run.args);
  allocator_->free(faults_);
}

std::shared_ptr<LoadedKernel> DriverRuntime::load(const ir::Kernel& kernel, CodeKind) {
  context_->enter();
  return loader_.load(kernel);
}

/// Once what may fault is enqueued, and not before: whoever looks meanwhile would find nothing, and
/// nobody would look again.
DriverRuntime::Close::~Close() {
  if (run.may_fault) runtime.may_fault_.store(true, std::memory_order_release);
  run.clear();
}

DriverRuntime::Run& DriverRuntime::this_run() {
  const std::lock_guard lock(runs_mutex_);
  return runs_.try_emplace(std::this_thread::get_id(), *allocator_).first->second;
}

Block& DriverRuntime::args_of(Run& run, std::size_t words) {
  const std::size_t bytes = words * sizeof(std::int64_t);
  if (!run.args || run.args->capacity < bytes) {
    constexpr std::size_t kLeast = 16 << 10;
    Block* const larger = allocator_->allocate(std::max(2 * bytes, kLeast), "ArgBlocks");
    allocator_->free(run.args);
    run.args = larger;
  }
  return *run.args;
}

const std::int64_t* DriverRuntime::bind_args(std::span<const std::int64_t> words, Stream) {
  if (words.empty()) return nullptr;
  context_->enter();
  Run& run = this_run();
  const Block& block = args_of(run, words.size());
  if (run.kept)
    run.words.assign(words.begin(), words.end());
  else
    staging_.upload(address_of(block.data), words.data(), words.size_bytes());
  return static_cast<const std::int64_t*>(block.data);
}

bool DriverRuntime::begin_run(std::unique_ptr<Recording>& kept, Stream) {
  context_->enter();
  this_run().kept = &kept;
  return true;
}

void DriverRuntime::prepare_run(Stream) {
  context_->enter();
  Run& run = this_run();
  load_leaves(run);
  if (!run.commands.empty()) args_of(run, run.words.size());
}

void DriverRuntime::end_run(Stream) {
  Run& run = this_run();
  const Close close{*this, run};
  if (run.commands.empty()) return;
  context_->enter();
  const Address args = address_of(args_of(run, run.words.size()).data);
  staging_.upload(args, run.words.data(), run.words.size() * sizeof(std::int64_t));
  loader_.run_ended();
  const std::unique_lock<std::mutex> held = lock_faults(run);
  if (run.cold) {  // not to be repeated for long
    for (const Command& command : run.commands) enqueue_now(run, command, args);
    return;
  }
  const std::lock_guard lock(graphs_mutex_);
  if (!*run.kept) *run.kept = std::make_unique<Graphs>(context_);
  if (static_cast<Graphs&>(**run.kept).run(run.commands, args))
    counters.replays.fetch_add(1, std::memory_order_relaxed);
}

void DriverRuntime::enqueue_now(Run& run, const Command& command, Address args) {
  if (run.watch) run.watch->start();
  if (command.name) context_->launched(*command.name);
  gpu::enqueue(*context_, command, args, context_->queue());
}

void DriverRuntime::prepare(std::span<const Launch> items, Stream) {
  context_->enter();
  const CompileTime time;
  for (const Launch& item : items)
    if (item.tiles > 0) loader_.wait_for(*static_cast<const DriverKernel&>(*item.kernel).code);
}

Command DriverRuntime::kernel_command(const KernelShape& shape, const DriverKernel& kernel,
                                      Handle function, const Launch& item) const {
  return {.function = function,
          .name = &kernel.name,
          .geometry = geometry(shape, item.host_args, item.tiles, context_->processors(),
                               context_->max_threads()),
          .tiles = item.tiles};
}

void DriverRuntime::launch(std::span<const Launch> items, Stream) {
  context_->enter();
  Run& run = this_run();
  counters.launches.fetch_add(1, std::memory_order_relaxed);
  bool any_generic = false;
  for (const Launch& item : items) {
    if (item.tiles == 0) continue;
    const auto& kernel = static_cast<const DriverKernel&>(*item.kernel);
    Handle function = kernel.code->function();
    if (!function && run.kept && !kernel.code->failed()) {
      if (const std::optional<Command> generic = generic_command(run, kernel, item)) {
        run.commands.push_back(*generic);
        run.cold = true;
        if (!std::exchange(any_generic, true))
          counters.generic_launches.fetch_add(1, std::memory_order_relaxed);
        continue;
      }
    }
    if (!function) {
      const CompileTime time;
      function = loader_.wait_for(*kernel.code);
    }
    Command command = kernel_command(kernel.shape, kernel, function, item);
    if (run.kept) {
      command.args = item.args - static_cast<const std::int64_t*>(run.args->data);
      run.commands.push_back(command);
    } else {
      enqueue_now(run, command, address_of(item.args));
    }
  }
}

// Its ArgBlock and the program go behind the run's words, and with them.
std::optional<Command> DriverRuntime::generic_command(Run& run, const DriverKernel& kernel,
                                                      const Launch& item) {
  // An instruction takes some hundred cycles, a block of a reduction is combined by some 30
  // instructions, and nobody can end what is enqueued: some 10 ms.
  constexpr std::int64_t kMostSteps = 1 << 18, kBlockSteps = 32;
  static_assert(kMostSteps / kBlockSteps <= emit::kGenericBlocks);
  KernelShape shape = kernel.shape;
  shape.one_warp = true;
  shape.vector = 1;
  Launch whole = item;
  if (std::exchange(shape.split, false)) whole.tiles /= item.host_args[ir::kArgParts];
  Command command = kernel_command(shape, kernel, loader_.generic(), whole);
  const auto instructions =
      static_cast<std::int64_t>(kernel.program.size()) / emit::kGenericInstruction;
  const Walk walk = walk_of(shape, item.host_args, whole.tiles, command.geometry);
  if (walk.elements > kMostSteps / std::max<std::int64_t>(instructions, 1) ||
      walk.blocks > kMostSteps / kBlockSteps)
    return std::nullopt;
  command.name = &kernel.generic_name;

  constexpr std::int64_t kWord = sizeof(std::int64_t);
  const auto own = static_cast<std::int64_t>(run.words.size());
  const std::int64_t args = item.args - static_cast<const std::int64_t*>(run.args->data);
  std::int64_t words[emit::kGenericWords];
  words[emit::kGenericProgram] = kWord * emit::kGenericWords;
  words[emit::kGenericArgs] = kWord * (args - own);
  run.words.insert(run.words.end(), std::begin(words), std::end(words));
  run.words.insert(run.words.end(), kernel.program.begin(), kernel.program.end());
  command.args = own;
  return command;
}

std::pair<void*, std::int64_t> DriverRuntime::fault_buffer() {
  const std::lock_guard lock(fault_mutex_);
  if (!faults_) {
    const std::vector<std::int64_t> zeros(kFaultWords);
    Block* block = allocator_->allocate(kFaultWords * sizeof(std::int64_t), "faults");
    try {
      staging_.upload(address_of(block->data), zeros.data(), kFaultWords * sizeof(std::int64_t));
    } catch (...) {
      allocator_->free(block);
      throw;
    }
    faults_ = block;
  }
  return {faults_->data, ++serial_};
}

std::unique_lock<std::mutex> DriverRuntime::lock_faults(const Run& run) {
  if (!run.may_fault) return {};
  return std::unique_lock(fault_mutex_);
}

void DriverRuntime::add_leaf(Run& run, const LeafLaunch& l, const Epilogue* epilogue) {
  LeafKernel& kernel = loader_.leaf(l, epilogue);
  Command command = command_of(kernel, l);
  if (!command.function) run.unloaded.emplace_back(run.commands.size(), &kernel);
  command.args = static_cast<std::int64_t>(run.words.size());
  run.words.insert(run.words.end(), l.words.begin(), l.words.end());
  run.commands.push_back(command);
}

void DriverRuntime::load_leaves(Run& run) {
  if (run.unloaded.empty()) return;
  std::vector<LeafKernel*> leaves;
  for (const auto& [command, leaf] : run.unloaded)
    if (std::find(leaves.begin(), leaves.end(), leaf) == leaves.end()) leaves.push_back(leaf);
  loader_.load(leaves);
  for (const auto& [command, leaf] : run.unloaded)
    run.commands[command].function = leaf->function.load(std::memory_order_acquire);
}

void DriverRuntime::add_product(Run& run, const LeafCall& call,
                                std::shared_ptr<const LibraryProduct> product) {
  const std::size_t bytes = product->workspace_bytes();
  Command command{
      .name = &product->name,
      .operands = {address_of(call.inputs[0].data), address_of(call.inputs[1].data),
                   call.inputs.size() > 2 ? address_of(call.inputs[2].data) : 0,
                   address_of(call.output.data), bytes ? address_of(run.scratch.take(bytes)) : 0}};
  command.product = std::move(product);
  run.commands.push_back(std::move(command));
}

void DriverRuntime::run_leaf(const LeafCall& call, Stream) {
  context_->enter();
  counters.launches.fetch_add(1, std::memory_order_relaxed);
  counters.leaf_launches.fetch_add(1, std::memory_order_relaxed);
  Run& run = this_run();
  struct Done {
    DriverRuntime& runtime;
    Run& run;
    ~Done() {
      run.scratch.kernel_ends();
      if (run.kept) return;
      const Close close{runtime, run};
    }
  } const done{*this, run};
  const auto hold = [&](std::size_t bytes) { return run.scratch.take(bytes); };
  if (auto product = products_ ? products_->find(call) : nullptr) {
    add_product(run, call, std::move(product));
    if (call.epilogue)
      for (const LeafLaunch& l : epilogue_launches(call, capabilities_))
        add_leaf(run, l, call.epilogue);
  } else {
    const auto [faults, serial] = fault_buffer();
    for (const LeafLaunch& l : leaf_launches(call, capabilities_, {hold, faults, serial}))
      add_leaf(run, l, call.epilogue);
  }
  if (call.op == Prim::kGatherRows || call.op == Prim::kScatterAddRows) run.may_fault = true;
  if (!run.kept && !run.commands.empty()) {
    load_leaves(run);
    const std::size_t bytes = run.words.size() * sizeof(std::int64_t);
    const Address args = bytes ? address_of(hold(bytes)) : 0;
    staging_.upload(args, run.words.data(), bytes);
    const std::unique_lock<std::mutex> held = lock_faults(run);
    for (const Command& command : run.commands) enqueue_now(run, command, args);
  }
}

void DriverRuntime::check_faults() {
  check_own_faults();
  for (std::atomic<DriverRuntime*>& place : copied_from_) {
    if (!place.load(std::memory_order_relaxed)) continue;
    DriverRuntime* const peer = place.exchange(nullptr, std::memory_order_acq_rel);
    if (peer) peer->check_faults();
  }
}

void DriverRuntime::check_own_faults() {
  if (!may_fault_.load(std::memory_order_acquire)) return;
  const std::lock_guard lock(fault_mutex_);
  if (!may_fault_.exchange(false, std::memory_order_acq_rel)) return;
  context_->enter();
  std::vector<std::int64_t> words(kFaultWords);
  staging_.download(words.data(), address_of(faults_->data), sizeof(std::int64_t));
  if (words[0] == 0) return;
  const std::size_t bytes = kFaultWords * sizeof(std::int64_t);
  staging_.download(words.data(), address_of(faults_->data), bytes);
  const std::optional<std::string> message = fault_message(words);
  std::fill(words.begin(), words.end(), 0);
  staging_.upload(address_of(faults_->data), words.data(), bytes);
  if (message) throw IndexError(*message);
}

void DriverRuntime::copy(void* dst, const void* src, std::size_t bytes, Stream) {
  if (bytes == 0) return;
  context_->enter();
  const Command command{.to = address_of(dst), .from = address_of(src), .bytes = bytes};
  if (Run& run = this_run(); run.kept)
    run.commands.push_back(command);
  else
    enqueue_now(run, command, 0);
  counters.launches.fetch_add(1, std::memory_order_relaxed);
  counters.bytes_moved.fetch_add(2 * bytes, std::memory_order_relaxed);
}

void DriverRuntime::to_host(void* dst, const void* src, std::size_t bytes, Stream) {
  if (bytes == 0) return;
  context_->enter();
  staging_.download(dst, address_of(src), bytes);
  context_->finished();
  check_faults();
  counters.launches.fetch_add(1, std::memory_order_relaxed);
  counters.bytes_moved.fetch_add(2 * bytes, std::memory_order_relaxed);
}

void DriverRuntime::from_host(void* dst, const void* src, std::size_t bytes, Stream) {
  if (bytes == 0) return;
  context_->enter();
  staging_.upload(address_of(dst), src, bytes);
  counters.launches.fetch_add(1, std::memory_order_relaxed);
  counters.bytes_moved.fetch_add(2 * bytes, std::memory_order_relaxed);
}

bool DriverRuntime::copy_from_peer(void* dst, DeviceRuntime& peer, const void* src,
                                   std::size_t bytes, Stream) {
  if (peer.id().type() != id_.type()) return false;
  if (bytes == 0) return true;
  auto& from = static_cast<DriverRuntime&>(peer);
  copy_between(*context_, address_of(dst), *from.context_, address_of(src), bytes);
  copied_from_[static_cast<std::size_t>(peer.id().index())].store(&from, std::memory_order_release);
  counters.launches.fetch_add(1, std::memory_order_relaxed);
  counters.bytes_moved.fetch_add(2 * bytes, std::memory_order_relaxed);
  return true;
}

void DriverRuntime::synchronize(Stream) {
  context_->enter();
  context_->synchronize("running what was launched");
  check_faults();
}

std::unique_ptr<Stopwatch> DriverRuntime::start_timing(Stream) {
  context_->enter();
  return std::make_unique<QueueStopwatch<Timer>>(Timer(context_), this_run().watch);
}

std::string DriverRuntime::description() {
  const Driver& driver = context_->driver();
  std::string s = context_->hardware() + ", " + context_->architecture() + ", " +
                  std::to_string(context_->processors()) + " processors, " +
                  format_bytes(context_->memory()) + ", driver " + driver.version();
  Compiler& compiler = loader_.compiler();
  const std::string& missing = compiler.missing();
  if (!missing.empty()) return s + "; " + missing;
  s += ", " + std::string(driver.vendor().compiler) + " " + compiler.version() + " (" +
       compiler.path() + ")";
  if (!products_) return s;
  context_->enter();
  return s + ", " + products_->description();
}

MachineLimits DriverRuntime::limits() {
  context_->enter();
  const std::lock_guard lock(limits_mutex_);
  if (limits_) return *limits_;
  allocator_->trim();
  DeviceMemory memory(context_);  // the allocator would keep it
  const auto upload = [&](void* to, std::span<const std::int64_t> words) {
    staging_.upload(address_of(to), words.data(), words.size_bytes());
  };
  const auto launch = [&](const LeafLaunch& launch, const void* args) {
    LeafKernel* const kernel = &loader_.leaf(launch, nullptr);
    loader_.load({&kernel, 1});
    enqueue_now(this_run(), command_of(*kernel, launch), address_of(args));
  };
  Timer timer(context_);
  const auto time = [&](FunctionRef<void()> enqueue) {
    timer.start();
    enqueue();
    timer.stop();
    return timer.microseconds();
  };
  const MachineLimits found =
      measure_limits({capabilities_, context_->memory(), memory, upload, launch, time});
  if (found.gb_per_s > 0) limits_ = found;  // else there was no room, and may be some later
  return found;
}

}  // namespace flash::gpu
