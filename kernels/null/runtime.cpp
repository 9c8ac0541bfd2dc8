// kernels/null/runtime.cpp -- a device that computes nothing and counts what it is asked to do
#include "kernels/null/runtime.h"

#include <sys/mman.h>

#include <cstring>

#include "jit/ir/kernel.h"
#include "kernels/leaf.h"

namespace flash::null {
namespace {

/// Mappings that take no memory until they are touched.
class AddressSpace final : public RawMemory {
 public:
  void* allocate(std::size_t bytes) override {
    void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? nullptr : p;
  }
  void free(void* data, std::size_t bytes) override { munmap(data, bytes); }
};

}  // namespace

NullRuntime::NullRuntime(int parallelism)
    : parallelism_(parallelism), allocator_(std::make_unique<AddressSpace>(), nullptr, "null") {}

std::map<std::string, std::uint64_t> NullRuntime::launches_by_name() const {
  const std::lock_guard lock(mutex_);
  return by_name_;
}

void NullRuntime::reset() {
  const std::lock_guard lock(mutex_);
  by_name_.clear();
  loaded_ = 0;
  counters.launches = 0;
  counters.leaf_launches = 0;
  counters.bytes_moved = 0;
}

void NullRuntime::count(const std::string& name, std::size_t bytes) {
  counters.launches.fetch_add(1, std::memory_order_relaxed);
  counters.bytes_moved.fetch_add(bytes, std::memory_order_relaxed);
  const std::lock_guard lock(mutex_);
  ++by_name_[name];
}

std::shared_ptr<LoadedKernel> NullRuntime::load(const ir::Kernel& kernel, CodeKind) {
  ir::verify(kernel);
  auto loaded = std::make_shared<LoadedKernel>();
  loaded->name = kernel.name;
  ++loaded_;
  return loaded;
}

void NullRuntime::launch(std::span<const Launch> items, Stream) {
  std::string name;
  for (const Launch& item : items) name += (name.empty() ? "" : "+") + item.kernel->name;
  count(name, 0);
}

bool NullRuntime::takes_epilogue(Prim op, DType) const { return leaf_takes_epilogue(op); }

void NullRuntime::run_leaf(const LeafCall& call, Stream) {
  std::string name(info(call.op).name);
  if (call.epilogue) name += "+" + call.epilogue->kernel->name;
  counters.leaf_launches.fetch_add(1, std::memory_order_relaxed);
  count(name, 0);
}

void NullRuntime::copy(void*, const void*, std::size_t bytes, Stream) { count("copy", 2 * bytes); }

void NullRuntime::to_host(void* dst, const void*, std::size_t bytes, Stream) {
  std::memset(dst, 0, bytes);  // results that were never computed read as zeros
  count("to_host", 2 * bytes);
}

void NullRuntime::from_host(void*, const void*, std::size_t bytes, Stream) {
  count("from_host", 2 * bytes);
}

}  // namespace flash::null
