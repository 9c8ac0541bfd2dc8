// kernels/vulkan/runtime.cpp -- devices behind the seam: kernels, the shape of a launch
#include "kernels/vulkan/runtime.h"

#include <algorithm>
#include <thread>

#include "core/error.h"
#include "jit/emit/clike/clike.h"
#include "kernels/vulkan/engine.h"
#include "kernels/vulkan/glsl_compiler.h"
#include "kernels/vulkan/probe.h"

namespace flash::vulkan {
namespace {

enum class Shape : std::uint8_t { kWide, kNarrow, kWarp };

class VulkanKernel final : public LoadedKernel {
 public:
  VulkanKernel(std::shared_ptr<Engine> engine, const ir::Kernel& k) : engine_(std::move(engine)) {
    name = k.name;
    source_ = emit::clike_function(k, "kernel");
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
  Dispatch dispatch(const Launch& l) const {
    Dispatch d{program_.get(),
               static_cast<VkDeviceAddress>(reinterpret_cast<std::uintptr_t>(l.args)), l.tiles,
               wide(), 1};
    const std::int64_t along = std::min(l.host_args[ir::kArgChunk], l.host_args[vector_extent_]);
    if (warp_) {
      d.x = emit::kWarp;
    } else if (along <= wide() / 4 && !split_ && l.tiles > 1) {
      d.x = 16;
      d.y = wide() / 16;
    }
    return d;
  }

 private:
  int wide() const { return std::min(128, engine_->gpu()->block_threads()); }

  const std::shared_ptr<Engine> engine_;
  std::unique_ptr<Program> program_;
  std::string source_;
  bool warp_ = false, split_ = false;
  int vector_extent_ = 0;
};

}  // namespace

VulkanRuntime::VulkanRuntime(int index, const emit::GlslTraits* traits) : index_(index) {
  gpu_ =
      std::make_shared<Gpu>(*instance(), candidates().at(static_cast<std::size_t>(index)), index);
  if (traits != nullptr)
    gpu_->set_traits(*traits);
  else
    probe(gpu_);
  engine_ = std::make_shared<Engine>(gpu_);
  allocator_ = std::make_unique<Allocator>(engine_->take_memory(), nullptr, gpu_->label.c_str());
  gpu_->throw_complaints();
}

VulkanRuntime::~VulkanRuntime() {
  engine_->drain();
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
  auto loaded = std::make_shared<VulkanKernel>(engine_, kernel);
  gpu_->throw_complaints();
  return loaded;
}

const std::int64_t* VulkanRuntime::bind_args(std::span<const std::int64_t> words, Stream stream) {
  return engine().bind_args(words, stream);
}

void VulkanRuntime::launch(std::span<const Launch> items, Stream stream) {
  ++counters.launches;
  std::vector<Dispatch> all;
  all.reserve(items.size());
  for (const Launch& l : items)
    all.push_back(static_cast<const VulkanKernel*>(l.kernel)->dispatch(l));
  engine().dispatch(all, stream);
}

bool VulkanRuntime::takes_epilogue(Prim, DType) const { return false; }

void VulkanRuntime::run_leaf(const LeafCall& call, Stream stream) {
  ++counters.launches;
  ++counters.leaf_launches;
  gpu::Capabilities device;
  device.processors = parallelism();
  device.block_threads = gpu_->block_threads();
  device.shared_bytes = gpu_->shared_bytes;
  device.most_blocks = gpu_->most_blocks;
  device.f64 = gpu_->traits().has_f64 && gpu_->traits().f64_arithmetic;
  device.software = gpu_->is_software();
  // Blocks that go back at the end are handed out to later work alone.
  std::vector<Block*> blocks;
  const auto scratch = [&](std::size_t bytes) {
    blocks.push_back(allocator_->allocate(bytes, "workspace"));
    return blocks.back()->data;
  };
  const auto give_back = [&] {
    for (Block* b : blocks) allocator_->free(b);
  };
  try {
    const gpu::LeafMemory memory{scratch, engine().faults(), engine_->next_serial()};
    const auto launches = gpu::leaf_launches(call, device, memory);
    const bool faults = call.op == Prim::kGatherRows || call.op == Prim::kScatterAddRows;
    engine().run(launches, faults, stream);
  } catch (...) {
    give_back();
    throw;
  }
  give_back();
}

void VulkanRuntime::copy(void* dst, const void* src, std::size_t bytes, Stream stream) {
  counters.bytes_moved += bytes;
  engine().copy(dst, src, bytes, stream);
}
void VulkanRuntime::to_host(void* dst, const void* src, std::size_t bytes, Stream stream) {
  counters.bytes_moved += bytes;
  engine().to_host(dst, src, bytes, stream);
}
void VulkanRuntime::from_host(void* dst, const void* src, std::size_t bytes, Stream stream) {
  counters.bytes_moved += bytes;
  engine().from_host(dst, src, bytes, stream);
}
void VulkanRuntime::synchronize(Stream stream) { engine().synchronize(stream); }

// Vulkan does not say how many processors a GPU has.
int VulkanRuntime::parallelism() const {
  if (gpu_->is_software())
    return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  return 64;
}

std::string VulkanRuntime::description() {
  const std::string traits = emit::to_string(gpu_->traits());
  return gpu_->name + (traits.empty() ? "" : "; " + traits);
}

std::vector<std::unique_ptr<DeviceRuntime>> make_runtimes() {
  std::vector<std::unique_ptr<DeviceRuntime>> all;
  if (!no_compiler_because().empty() || instance() == nullptr) return all;
  for (std::size_t i = 0; i < candidates().size(); ++i)
    all.push_back(std::make_unique<VulkanRuntime>(static_cast<int>(i)));
  return all;
}

std::string what_is_missing() {
  if (instance() == nullptr || candidates().empty()) return no_candidates_because();
  return no_compiler_because();
}

}  // namespace flash::vulkan
