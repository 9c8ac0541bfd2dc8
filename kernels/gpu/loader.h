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

#include "core/device.h"
#include "jit/emit/clike/clike.h"
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

class DriverKernel final : public LoadedKernel {
 public:
  std::string listing() const override { return source; }
  std::string source;  ///< kept at FLASH_DEBUG=4
  std::unique_ptr<Module> module;
  Handle function = nullptr;
  KernelShape shape;
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
  Loader(std::shared_ptr<Context> context, Compiler& compiler, emit::Dialect dialect)
      : context_(std::move(context)), compiler_(compiler), dialect_(dialect) {}

  Compiler& compiler() const { return compiler_; }

  /// A DriverKernel, or a DriverEpilogue. The context must be current.
  std::shared_ptr<LoadedKernel> load(const ir::Kernel& kernel);
  /// The kernel of a launch, loaded or not.
  LeafKernel& leaf(const LeafLaunch& launch, const Epilogue* epilogue);
  /// Those that are not loaded, side by side.
  void load(std::span<LeafKernel* const> leaves);

 private:
  std::unique_ptr<Module> module_of(const std::string& source, const std::string& name);
  void load(LeafKernel& leaf);

  const std::shared_ptr<Context> context_;
  Compiler& compiler_;
  const emit::Dialect dialect_;
  std::mutex mutex_;    // guards the maps, these and those of epilogues, and modules in them
  LeafKernels leaves_;  // by entry, without epilogues
};

}  // namespace flash::gpu
