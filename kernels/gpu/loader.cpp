// kernels/gpu/loader.cpp -- compiling and loading, by the disk cache
#include "kernels/gpu/loader.h"

#include <cctype>
#include <chrono>
#include <utility>

#include "core/counters.h"
#include "core/env.h"
#include "core/error.h"
#include "core/side_by_side.h"
#include "jit/cache/cached_compile.h"

namespace flash::gpu {
namespace {

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

std::unique_ptr<Module> Loader::module_of(const std::string& source, const std::string& name) {
  if (!compiler_.missing().empty())
    throw DeviceError(context_->name() + ": " + compiler_.missing());
  const std::string architecture = compiler_.architecture(context_->architecture());
  const std::string compiler = context_->driver().vendor().compiler + (" " + compiler_.version());
  std::string options;
  for (const std::string& option : compiler_.options()) options += option + " ";
  const jit::KeyParts parts{source, architecture, compiler, options};
  bool fresh = false;
  const auto image = [&] {
    return jit::cached_compile(parts, [&] {
      fresh = true;
      return compiler_.compile(source, name, architecture).image;
    });
  };
  try {
    return std::make_unique<Module>(context_, image());
  } catch (const DeviceError&) {
    if (fresh || context_->lost()) throw;
  }
  jit::reject_compiled(parts);  // kept on disk, and of no use to this driver
  return std::make_unique<Module>(context_, image());
}

std::shared_ptr<LoadedKernel> Loader::load(const ir::Kernel& kernel) {
  if (kernel.mode == ir::Mode::kEpilogue) {
    auto epilogue = std::make_shared<DriverEpilogue>();
    epilogue->name = kernel.name;
    epilogue->text = emit::clike_epilogue(kernel, dialect_);
    return epilogue;
  }
  const std::string entry = entry_of(kernel.name);
  std::string source = dialect_.prelude->source(emit::clike_function(kernel, entry, dialect_));
  auto loaded = std::make_shared<DriverKernel>();
  loaded->name = kernel.name;
  loaded->module = module_of(source, entry);
  loaded->function = loaded->module->function(entry.c_str());
  loaded->shape = shape_of(kernel, emit::vector_width(kernel, dialect_));
  if (env::get_int(Env::kDebug) >= 4) loaded->source = std::move(source);
  return loaded;
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
  auto module = module_of(dialect_.prelude->source(text), leaf.name);
  const Handle function = module->function(std::string(leaf.entry).c_str());
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
