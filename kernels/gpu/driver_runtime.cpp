// kernels/gpu/driver_runtime.cpp -- a device behind a driver like CUDA's: the runtime that CUDA and
// HIP share
#include "kernels/gpu/driver_runtime.h"

#include <cctype>

#include "core/env.h"
#include "core/error.h"
#include "core/log.h"

namespace flash::gpu {
namespace {

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
  void free(void* data, std::size_t) override { context_->free(reinterpret_cast<Address>(data)); }

 private:
  std::shared_ptr<Context> context_;
};

/// A kernel's name as an identifier, for profilers.
std::string entry_of(const std::string& name) {
  constexpr std::size_t kLongest = 100;
  std::string out = "flash_";
  for (const char c : name.substr(0, kLongest))
    out += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return out;
}

}  // namespace

Module::Module(std::shared_ptr<Context> context, const std::string& image)
    : context_(std::move(context)) {
  context_->check(context_->calls().load_module(&handle_, image.data()), "loading a kernel");
}
Module::~Module() { context_->unload(handle_); }

Handle Module::function(const std::string& name) const {
  Handle function = nullptr;
  context_->check(context_->calls().function(&function, handle_, name.c_str()),
                  "finding a kernel in what was loaded");
  return function;
}

DriverRuntime::DriverRuntime(const Driver& driver, Compiler& compiler, emit::Dialect dialect,
                             Device id)
    : id_(id),
      compiler_(compiler),
      dialect_(dialect),
      context_(std::make_shared<Context>(driver, id.index)),
      allocator_(std::make_unique<Allocator>(std::make_unique<DeviceMemory>(context_), nullptr,
                                             context_->name().c_str())),
      staging_(*context_) {}

DriverRuntime::~DriverRuntime() {
  for (const auto& [thread, block] : args_) allocator_->free(block);
}

// Where code that outlives the process is kept, this is where it is looked for: what it depends on
// is the source, the architecture, the options and the compiler's version.
std::string DriverRuntime::image_of(const std::string& source, const std::string& name) {
  return compiler_.compile(source, name, compiler_.architecture(context_->architecture())).image;
}

std::shared_ptr<LoadedKernel> DriverRuntime::load(const ir::Kernel& kernel, CodeKind) {
  context_->enter();
  const std::string entry = entry_of(kernel.name);
  std::string source = std::string(dialect_.prelude) + emit::clike_function(kernel, entry);
  auto loaded = std::make_shared<DriverKernel>();
  loaded->name = kernel.name;
  loaded->module = std::make_unique<Module>(context_, image_of(source, entry));
  loaded->function = loaded->module->function(entry);
  loaded->shape = shape_of(kernel);
  if (env::get_int(Env::kDebug) >= 4) loaded->source = std::move(source);
  return loaded;
}

const std::int64_t* DriverRuntime::bind_args(std::span<const std::int64_t> words, Stream) {
  if (words.empty()) return nullptr;
  context_->enter();
  Block* block;
  {
    const std::lock_guard lock(args_mutex_);
    Block*& mine = args_[std::this_thread::get_id()];
    if (!mine || mine->capacity < words.size_bytes()) {
      constexpr std::size_t kLeast = 16 << 10;
      Block* larger = allocator_->allocate(std::max(2 * words.size_bytes(), kLeast), "ArgBlocks");
      allocator_->free(mine);
      mine = larger;
    }
    block = mine;
  }
  staging_.upload(reinterpret_cast<Address>(block->data), words.data(), words.size_bytes());
  return static_cast<const std::int64_t*>(block->data);
}

void DriverRuntime::launch_one(const DriverKernel& kernel, const Launch& item) {
  if (item.tiles == 0) return;
  const Geometry g = geometry(kernel.shape, item.host_args, item.tiles, context_->processors(),
                              context_->max_threads());
  auto args = reinterpret_cast<Address>(item.args);
  std::int64_t tiles = item.tiles;
  void* parameters[] = {&args, &tiles};
  context_->launched(kernel.name);
  context_->check(context_->calls().launch(kernel.function, g.grid, 1, 1, g.x, g.y, 1, 0,
                                           context_->queue(), parameters, nullptr),
                  ("launching " + kernel.name).c_str());
  counters.launches.fetch_add(1, std::memory_order_relaxed);
}

void DriverRuntime::launch(std::span<const Launch> items, Stream) {
  context_->enter();
  for (const Launch& item : items) launch_one(static_cast<const DriverKernel&>(*item.kernel), item);
}

void DriverRuntime::run_leaf(const LeafCall& call, Stream) {
  throw DeviceError(std::string(info(call.op).name) + ": " + context_->name() +
                    " has no kernel for it yet. Move its operands to the CPU by to(\"cpu\").");
}

void DriverRuntime::copy(void* dst, const void* src, std::size_t bytes, Stream) {
  if (bytes == 0) return;
  context_->enter();
  context_->check(context_->calls().copy(reinterpret_cast<Address>(dst),
                                         reinterpret_cast<Address>(src), bytes, context_->queue()),
                  "copying on the device");
  counters.launches.fetch_add(1, std::memory_order_relaxed);
  counters.bytes_moved.fetch_add(2 * bytes, std::memory_order_relaxed);
}

void DriverRuntime::to_host(void* dst, const void* src, std::size_t bytes, Stream) {
  if (bytes == 0) return;
  context_->enter();
  staging_.download(dst, reinterpret_cast<Address>(src), bytes);
  counters.launches.fetch_add(1, std::memory_order_relaxed);
  counters.bytes_moved.fetch_add(2 * bytes, std::memory_order_relaxed);
}

void DriverRuntime::from_host(void* dst, const void* src, std::size_t bytes, Stream) {
  if (bytes == 0) return;
  context_->enter();
  staging_.upload(reinterpret_cast<Address>(dst), src, bytes);
  counters.launches.fetch_add(1, std::memory_order_relaxed);
  counters.bytes_moved.fetch_add(2 * bytes, std::memory_order_relaxed);
}

void DriverRuntime::synchronize(Stream) {
  context_->enter();
  context_->synchronize("running what was launched");
}

std::string DriverRuntime::description() const {
  const Driver& driver = context_->driver();
  std::string s = context_->hardware() + ", " + context_->architecture() + ", " +
                  std::to_string(context_->processors()) + " processors, " +
                  format_bytes(context_->memory()) + ", driver " + driver.version();
  const std::string& missing = compiler_.missing();
  if (!missing.empty()) return s + "; " + missing;
  return s + ", " + driver.vendor().compiler + " " + compiler_.version() + " (" + compiler_.path() +
         ")";
}

}  // namespace flash::gpu
