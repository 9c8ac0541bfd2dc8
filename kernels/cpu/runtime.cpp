// kernels/cpu/runtime.cpp -- the CPU as a device: loads by the emitter, launches on the pool
#include "kernels/cpu/runtime.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "core/env.h"
#include "core/fp_environment.h"
#include "kernels/cpu/host_memory.h"
#include "kernels/cpu/leaf.h"
#include "kernels/cpu/limits.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/leaf.h"

namespace flash::cpu {
namespace {

void run_item(const Launch& item, std::int64_t begin, std::int64_t end) {
  static_cast<const CpuKernel*>(item.kernel)->run(item.args, begin, end);
}

/// Tiles that one thread takes at a time: enough work to be worth the hand-over, and a few ranges a
/// thread, so that they balance. All of them when another thread would come too late to help.
std::int64_t grain_of(std::int64_t tiles, std::int64_t work) {
  constexpr std::int64_t kWorthSharing = 200'000, kRangesPerThread = 8;
  if (work < kWorthSharing) return tiles;
  const std::int64_t least = tiles * (kWorthSharing / 8) / work;
  return std::max(
      {std::int64_t{1}, std::min(least, tiles / 2), tiles / (kRangesPerThread * num_threads())});
}

std::int64_t work_of(const Launch& item) {
  return static_cast<const CpuKernel*>(item.kernel)->work(item.args);
}

/// One parallel_for over the tiles of all items, numbered one after the other.
void launch_many(std::span<const Launch> items) {
  constexpr std::size_t kInline = 32;
  std::array<std::int64_t, kInline> few;
  std::vector<std::int64_t> many;
  std::int64_t* ends = few.data();
  if (items.size() > kInline) {
    many.resize(items.size());
    ends = many.data();
  }
  std::int64_t total = 0, work = 0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    ends[i] = total += items[i].tiles;
    work += work_of(items[i]);
  }
  parallel_for(total, grain_of(total, work), [&](std::int64_t begin, std::int64_t end) {
    auto i = static_cast<std::size_t>(std::upper_bound(ends, ends + items.size(), begin) - ends);
    for (; begin < end; ++i) {
      const std::int64_t first = ends[i] - items[i].tiles, stop = std::min(end, ends[i]);
      if (begin < stop) run_item(items[i], begin - first, stop - first);
      begin = stop;
    }
  });
}

std::size_t bytes_of(const Operand& operand) {
  return static_cast<std::size_t>(operand.shape.numel()) *
         static_cast<std::size_t>(size_of(operand.dtype));
}

}  // namespace

CpuKernel::CpuKernel(const ir::Kernel& kernel, std::unique_ptr<emit::Code> code)
    : code_(std::move(code)), function_(code_->function()) {
  name = kernel.name;
  // An interpreted instruction takes about as long as thirty vectors of a compiled one.
  cost_ = static_cast<std::int64_t>(kernel.insts.size()) * (function_ ? 1 : 30);
  axes_ = kernel.axes;
}

std::int64_t CpuKernel::work(const std::int64_t* args) const {
  constexpr std::int64_t kEnough = std::int64_t{1} << 40;  // no product below overflows
  std::int64_t work = std::min(cost_, kEnough);
  const auto times = [&](std::int64_t n) {
    work = n > 0 ? std::min(work * std::min(n, kEnough >> 20), kEnough) : 0;
  };
  for (std::size_t i = 0; i < axes_.size(); ++i)
    times(args[static_cast<std::size_t>(ir::kArgExtents) + i]);
  return work;
}

CpuRuntime::CpuRuntime(std::unique_ptr<RawMemory> memory)
    : allocator_(memory ? std::move(memory) : std::make_unique<HostMemory>()) {}

std::shared_ptr<LoadedKernel> CpuRuntime::load(const ir::Kernel& kernel,
                                               [[maybe_unused]] CodeKind kind) {
  std::unique_ptr<emit::Code> code;  // without one for this CPU, the portable one serves
#if defined(FLASH_WITH_ASMJIT)
  const emit::Isa isa = emit::detect_isa();
  if (kind == CodeKind::kBest && isa != emit::Isa::kNone)
    code = emit::compile_x86(kernel, isa, env::get_int(Env::kDebug) >= 4);
#endif
  if (!code) code = emit::compile_interpreter(kernel);
  return std::make_shared<CpuKernel>(kernel, std::move(code));
}

void CpuRuntime::launch(std::span<const Launch> items, Stream) {
  const ScopedFpEnvironment environment;
  counters.launches.fetch_add(1, std::memory_order_relaxed);
  if (items.size() != 1) return launch_many(items);
  const Launch& item = items[0];
  parallel_for(item.tiles, grain_of(item.tiles, work_of(item)),
               [&](std::int64_t begin, std::int64_t end) { run_item(item, begin, end); });
}

bool CpuRuntime::takes_epilogue(Prim op, DType) const { return leaf_takes_epilogue(op); }

void CpuRuntime::run_leaf(const LeafCall& call, Stream) {
  const ScopedFpEnvironment environment;
  const auto launches = static_cast<std::uint64_t>(cpu::run_leaf(call));
  counters.launches.fetch_add(launches, std::memory_order_relaxed);
  counters.leaf_launches.fetch_add(launches, std::memory_order_relaxed);
  std::size_t bytes = bytes_of(call.output);
  for (const Operand& input : call.inputs) bytes += bytes_of(input);
  counters.bytes_moved.fetch_add(bytes, std::memory_order_relaxed);
}

void CpuRuntime::check_index(const Operand& index, std::int64_t rows, Stream) {
  cpu::check_index(index, rows);
}

void CpuRuntime::copy(void* dst, const void* src, std::size_t bytes, Stream) {
  constexpr std::int64_t kPiece = 1 << 20;
  counters.launches.fetch_add(1, std::memory_order_relaxed);
  counters.bytes_moved.fetch_add(2 * bytes, std::memory_order_relaxed);
  parallel_for(static_cast<std::int64_t>(bytes), kPiece, [&](std::int64_t begin, std::int64_t end) {
    std::memcpy(static_cast<char*>(dst) + begin, static_cast<const char*>(src) + begin,
                static_cast<std::size_t>(end - begin));
  });
}

void CpuRuntime::to_host(void* dst, const void* src, std::size_t bytes, Stream stream) {
  copy(dst, src, bytes, stream);
}

void CpuRuntime::from_host(void* dst, const void* src, std::size_t bytes, Stream stream) {
  copy(dst, src, bytes, stream);
}

int CpuRuntime::parallelism() const { return num_threads(); }

MachineLimits CpuRuntime::limits() {
  static const MachineLimits measured = [] {
    Limits limits(num_threads());
    for (int round = 0; round < 3; ++round) limits.measure_round();
    return MachineLimits{limits.best_bandwidth().median() * 1e-9, limits.flops().median() * 1e-9};
  }();
  return measured;
}

}  // namespace flash::cpu
