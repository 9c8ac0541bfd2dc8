// kernels/gpu/loader.cpp -- compiling and loading, by the disk cache
#include "kernels/gpu/loader.h"

#include <cctype>
#include <chrono>
#include <optional>
#include <utility>

#include "core/counters.h"
#include "core/env.h"
#include "core/error.h"
#include "core/log.h"
#include "core/side_by_side.h"
#include "jit/emit/clike/generic.h"
#include "kernels/gpu/graph.h"

namespace flash::gpu {
namespace {

constexpr const char* kGenericEntry = "flash_generic";

/// A kernel's name as an identifier, for profilers.
std::string entry_of(const std::string& name) {
  constexpr std::size_t kLongest = 100;
  std::string out = "flash_";
  for (const char c : name.substr(0, kLongest))
    out += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return out;
}

}  // namespace

Module::Module(std::shared_ptr<Context> context, const io::Bytes& image)
    : context_(std::move(context)) {
  context_->check(context_->calls().load_module(&handle_, image.data()), "loading a kernel");
}
Module::~Module() { context_->unload(handle_); }

Handle Module::function(const char* name) const {
  Handle function = nullptr;
  context_->check(context_->calls().function(&function, handle_, name),
                  "finding a kernel in what was loaded");
  return function;
}

Loader::Loader(std::shared_ptr<Context> context, Compiler& compiler, emit::Dialect dialect)
    : context_(std::move(context)),
      compiler_(compiler),
      dialect_(dialect),
      compiles_(env::get_choice(Env::kCompile)),
      background_(compiler.threads()) {}

Source Loader::source_of(std::string text, std::string entry) const {
  if (!compiler_.missing().empty())
    throw DeviceError(context_->name() + ": " + compiler_.missing());
  Source source{.text = dialect_.prelude->source(text),
                .entry = std::move(entry),
                .architecture = compiler_.architecture(context_->architecture()),
                .compiler = context_->driver().vendor().compiler + (" " + compiler_.version()),
                .options = {}};
  // hiprtc says 9.0 in every release; it comes with the driver, whose number has the patch as well.
  if (context_->driver().vendor().hip) source.compiler += " of " + context_->driver().version();
  for (const std::string& option : compiler_.options()) source.options += option + " ";
  return source;
}

std::unique_ptr<Module> Loader::kept_module(const Source& source) {
  const std::optional<io::Bytes> image = jit::find_compiled(source.key());
  if (!image) return nullptr;
  try {
    return std::make_unique<Module>(context_, *image);
  } catch (const DeviceError&) {
    if (context_->lost()) throw;
  }
  jit::reject_compiled(source.key());
  return nullptr;
}

std::unique_ptr<Module> Loader::compiled_module(const Source& source) {
  const io::Bytes image = compiler_.compile(source.text, source.entry, source.architecture).image;
  jit::keep_compiled(source.key(), image);
  return std::make_unique<Module>(context_, image);
}

void Loader::finish(KernelCode& code, std::unique_ptr<Module> module) {
  const Handle function = module->function(code.source_.entry.c_str());
  code.module_ = std::move(module);
  code.source_ = {};
  code.function_.store(function, std::memory_order_release);
}

void Loader::compile(KernelCode& code) {
  const std::lock_guard lock(code.mutex_);
  if (code.function()) return;
  const auto start = std::chrono::steady_clock::now();
  auto module = kept_module(code.source_);
  if (!module) module = compiled_module(code.source_);
  finish(code, std::move(module));
  const std::chrono::duration<double, std::micro> us = std::chrono::steady_clock::now() - start;
  add_compiled(code.name_, us.count());
}

void Loader::install_generic(std::unique_ptr<Module> module) {
  static const std::string name = "the generic kernel";
  Handle function = nullptr;
  try {  // no tiles: the driver sees to its threads' memory, which may be more than is left
    function = module->function(kGenericEntry);
    context_->launched(name);
    gpu::enqueue(*context_, {.function = function, .name = &name, .geometry = {1, 32, 1}}, 0,
                 context_->queue());
  } catch (const DeviceError& e) {
    if (context_->lost()) throw;
    logging::warn(context_->name() + ": without the generic kernel, flushes wait for " +
                  "compilations: " + e.what());
    return;
  }
  generic_module_ = std::move(module);
  generic_.store(function, std::memory_order_release);
}

// From the disk at once. What no disk would keep is not worth its compilation.
bool Loader::has_generic() {
  if (compiles_ == "wait") return false;
  std::call_once(generic_looked_for_, [&] {
    const Source source = source_of(emit::generic_function(kGenericEntry), kGenericEntry);
    if (auto module = kept_module(source))
      install_generic(std::move(module));
    else if (compiles_ == "generic")
      install_generic(compiled_module(source));
    else
      generic_wanted_ = jit::disk_cache() != nullptr;
  });
  return generic() != nullptr;
}

void Loader::run_ended() {
  if (!generic_wanted_.load(std::memory_order_relaxed) || !generic_wanted_.exchange(false)) return;
  background_.add([this] {
    try {
      context_->enter();
      install_generic(
          compiled_module(source_of(emit::generic_function(kGenericEntry), kGenericEntry)));
    } catch (const std::exception& e) {
      logging::warn(context_->name() + ": without the generic kernel, flushes wait for " +
                    "compilations: " + e.what());
    }
  });
}

std::shared_ptr<LoadedKernel> Loader::load(const ir::Kernel& kernel) {
  if (kernel.mode == ir::Mode::kEpilogue) {
    auto epilogue = std::make_shared<DriverEpilogue>();
    epilogue->name = kernel.name;
    epilogue->text = emit::clike_epilogue(kernel, dialect_);
    return epilogue;
  }
  const std::string entry = entry_of(kernel.name);
  Source source = source_of(emit::clike_function(kernel, entry, dialect_), entry);
  auto loaded = std::make_shared<DriverKernel>();
  loaded->name = kernel.name;
  loaded->shape = shape_of(kernel, emit::vector_width(kernel, dialect_));
  if (env::get_int(Env::kDebug) >= 4) loaded->source = source.text;
  auto module = compiles_ == "generic" ? nullptr : kept_module(source);
  if (!module && has_generic()) loaded->program = emit::generic_program(kernel);
  if (!module && loaded->program.empty()) module = compiled_module(source);
  loaded->code = std::make_shared<KernelCode>(kernel.name, std::move(source));
  if (module) {
    finish(*loaded->code, std::move(module));
    return loaded;
  }
  loaded->generic_name = "the generic kernel as " + kernel.name;
  loaded->pending = true;
  if (compiles_ == "generic") return loaded;
  // Whoever drops the kernel meanwhile has no use for it.
  background_.add([this, weak = std::weak_ptr(loaded->code)] {
    const std::shared_ptr<KernelCode> code = weak.lock();
    if (!code) return;
    try {
      context_->enter();
      compile(*code);
    } catch (const std::exception&) {  // said by wait_for(), if it is not gone by then
      code->failed_.store(true, std::memory_order_release);
    }
  });
  return loaded;
}

Handle Loader::wait_for(KernelCode& code) {
  if (!code.function()) compile(code);
  return code.function();
}

LeafKernel& Loader::leaf(const LeafLaunch& launch, const Epilogue* epilogue) {
  const auto* const called = launch.epilogue_index.empty()
                                 ? nullptr
                                 : static_cast<const DriverEpilogue*>(epilogue->kernel);
  std::string key(launch.entry);
  key += launch.epilogue_index;
  const std::lock_guard lock(mutex_);
  LeafKernel& leaf = (called ? called->leaf_kernels : leaves_)[key];
  if (leaf.entry.empty()) {
    leaf.name = std::string(launch.entry) + (called ? "+" + called->name : "");
    leaf.text = launch.source;
    leaf.entry = launch.entry;
    leaf.epilogue_index = launch.epilogue_index;
    if (called) leaf.epilogue = &called->text;
  }
  return leaf;
}

void Loader::load(LeafKernel& leaf) {
  if (leaf.function.load(std::memory_order_acquire)) return;
  context_->enter();
  const auto start = std::chrono::steady_clock::now();
  const std::string text = leaf.epilogue
                               ? with_epilogue(leaf.text, *leaf.epilogue, leaf.epilogue_index)
                               : std::string(leaf.text);
  const Source source = source_of(text, std::string(leaf.entry));
  auto module = kept_module(source);
  if (!module) module = compiled_module(source);
  const Handle function = module->function(source.entry.c_str());
  const std::chrono::duration<double, std::micro> us = std::chrono::steady_clock::now() - start;
  add_compiled(leaf.name, us.count());
  const std::lock_guard lock(mutex_);
  if (leaf.module) return;  // another thread was faster
  leaf.module = std::move(module);
  leaf.function.store(function, std::memory_order_release);
}

void Loader::load(std::span<LeafKernel* const> leaves) {
  const CompileTime time;
  side_by_side(leaves.size(), compiler_.threads(), [&](std::size_t i) { load(*leaves[i]); });
}

}  // namespace flash::gpu
