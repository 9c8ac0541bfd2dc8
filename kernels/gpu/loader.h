// kernels/gpu/loader.h -- kernels of a device behind a driver: from IR or text to what can be
// launched
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/device.h"
#include "jit/cache/cached_compile.h"
#include "jit/emit/clike/clike.h"
#include "kernels/gpu/background.h"
#include "kernels/gpu/compiler.h"
#include "kernels/gpu/context.h"
#include "kernels/gpu/geometry.h"
#include "kernels/gpu/leaf.h"

namespace flash::gpu {

/// A loaded module; unloaded when its last kernel goes.
class Module {
 public:
  Module(std::shared_ptr<Context> context, const io::Bytes& image);
  ~Module();
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;
  Handle function(const char* name) const;

 private:
  std::shared_ptr<Context> context_;
  Handle handle_ = nullptr;
};

/// What a compiler makes a kernel of, and everything that its result depends on.
struct Source {
  std::string text, entry, architecture, compiler, options;
  jit::KeyParts key() const { return {text, architecture, compiler, options}; }
};

/// A kernel's code, there or to come.
class KernelCode {
 public:
  KernelCode(std::string name, Source source)
      : name_(std::move(name)), source_(std::move(source)) {}
  Handle function() const { return function_.load(std::memory_order_acquire); }
  /// Its compilation in the background went wrong.
  bool failed() const { return failed_.load(std::memory_order_acquire); }

 private:
  friend class Loader;
  const std::string name_;
  Source source_;
  std::mutex mutex_;  // guards the compilation
  std::unique_ptr<Module> module_;
  std::atomic<Handle> function_ = nullptr;
  std::atomic<bool> failed_ = false;
};

class DriverKernel final : public LoadedKernel {
 public:
  std::string listing() const override { return source; }
  std::string source;  ///< kept at FLASH_DEBUG=4
  KernelShape shape;
  std::shared_ptr<KernelCode> code;
  // For the generic kernel, where code was not there at first:
  std::vector<ir::Word> program;
  std::string generic_name;  ///< which says whose work it does
};

/// A leaf kernel, from when it is asked for first. Loaded when it has a function.
struct LeafKernel {
  std::string name;  ///< for messages
  std::string_view text, entry, epilogue_index;
  const std::string* epilogue = nullptr;  ///< the text in front, if it calls one
  std::unique_ptr<Module> module;
  std::atomic<Handle> function = nullptr;
};
using LeafKernels = std::unordered_map<std::string, LeafKernel>;

/// Text that becomes part of the leaf kernels that call it, which go with it.
class DriverEpilogue final : public LoadedKernel {
 public:
  std::string listing() const override { return text; }
  std::string text;
  mutable LeafKernels leaf_kernels;  ///< guarded by the Loader
};

/// Compiles, or takes what was compiled before (jit/cache). Thread-safe.
class Loader {
 public:
  Loader(std::shared_ptr<Context> context, Compiler& compiler, emit::Dialect dialect);

  Compiler& compiler() const { return compiler_; }

  /// A DriverKernel, or a DriverEpilogue. The context must be current. What was never compiled is
  /// left to threads of their own if the generic kernel is there to stand in, and has no function
  /// until they are done with it.
  std::shared_ptr<LoadedKernel> load(const ir::Kernel& kernel);
  /// Its function, compiled by this thread if nobody has begun to.
  Handle wait_for(KernelCode& code);
  /// Compilations in the background that are not done.
  std::size_t pending() const { return background_.pending(); }
  /// The function of the generic kernel, which a kernel with a program can count on.
  Handle generic() const { return generic_.load(std::memory_order_acquire); }
  /// The generic kernel, where one is missed, begins to be compiled when a first run has all of its
  /// own: a compiler may take one at a time.
  void run_ended();
  /// The kernel of a launch, loaded or not.
  LeafKernel& leaf(const LeafLaunch& launch, const Epilogue* epilogue);
  /// Those that are not loaded, side by side.
  void load(std::span<LeafKernel* const> leaves);

 private:
  Source source_of(std::string text, std::string entry) const;
  /// From the disk; null if it is not there, or of no use to the driver.
  std::unique_ptr<Module> kept_module(const Source& source);
  std::unique_ptr<Module> compiled_module(const Source& source);
  void load(LeafKernel& leaf);
  static void finish(KernelCode& code, std::unique_ptr<Module> module);
  /// Unless it is done. From the disk, if somebody else has compiled it meanwhile.
  void compile(KernelCode& code);
  bool has_generic();
  /// Publishes it, if the device has room for its threads' memory. Throws DeviceError if it is
  /// lost.
  void install_generic(std::unique_ptr<Module> module);

  const std::shared_ptr<Context> context_;
  Compiler& compiler_;
  const emit::Dialect dialect_;
  std::mutex mutex_;    // guards the maps, these and those of epilogues, and modules in them
  LeafKernels leaves_;  // by entry, without epilogues
  const std::string compiles_;  // FLASH_COMPILE
  std::once_flag generic_looked_for_;
  std::atomic<bool> generic_wanted_ = false;
  std::unique_ptr<Module> generic_module_;
  std::atomic<Handle> generic_ = nullptr;
  Background background_;  // the last member: it ends first
};

}  // namespace flash::gpu
