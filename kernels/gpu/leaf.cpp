// kernels/gpu/leaf.cpp -- the table of leaf kernels, and the sources that have been put together
#include "kernels/gpu/leaf.h"

#include <algorithm>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "core/error.h"
#include "core/fork.h"
#include "kernels/gpu/leaf_source.h"
#include "kernels/leaf.h"

namespace flash::gpu {
namespace {

using Function = std::vector<LeafLaunch> (*)(const LeafCall&, const Capabilities&,
                                             const LeafMemory&);

struct Row {
  Prim op;
  Function function;
};

constexpr Row kTable[] = {
    {Prim::kMatmul, product_launches},   {Prim::kConv2d, product_launches},
    {Prim::kConv2dDx, product_launches}, {Prim::kConv2dDw, product_launches},
    {Prim::kMaxPool2d, pool_launches},   {Prim::kMaxPool2dDx, pool_launches},
    {Prim::kAvgPool2d, pool_launches},   {Prim::kAvgPool2dDx, pool_launches},
    {Prim::kGatherRows, row_launches},   {Prim::kScatterAddRows, row_launches},
};

struct Made {
  std::string text, entry;
  int threads;
};

struct Sources {
  std::mutex mutex;
  std::unordered_map<std::string, std::unique_ptr<Made>> made;
};
Sources& sources() {
  static Sources& all = hold_at_fork(ForkOrder::kLast, *new Sources, &Sources::mutex);
  return all;
}

/// The epilogue's words go behind the launch's own; word 0 says where.
void call_epilogue(LeafLaunch& launch, const LeafCall& call) {
  launch.epilogue_index = index_name(is_wide({call.output.shape.numel()}));
  launch.words[0] = static_cast<std::int64_t>(launch.words.size());
  launch.words.insert(launch.words.end(), call.epilogue->args,
                      call.epilogue->args + call.epilogue->words);
}

}  // namespace

std::vector<LeafLaunch> leaf_launches(const LeafCall& call, const Capabilities& device,
                                      const LeafMemory& memory) {
  const std::string op(info(call.op).name);
  if (call.epilogue != nullptr && !leaf_takes_epilogue(call.op))
    throw InternalError(op + " takes no epilogue; what follows is a kernel of its own");
  if (call.output.dtype == DType::kF64 && !device.f64 && call.op != Prim::kGatherRows)
    throw DTypeError(op + ": this device has no f64 arithmetic; cast the operands to f32");
  for (const Row& row : kTable) {
    if (row.op != call.op) continue;
    std::vector<LeafLaunch> all = row.function(call, device, memory);
    if (call.epilogue && !all.empty()) call_epilogue(all.back(), call);
    return all;
  }
  throw InternalError("leaf_launches: GPUs have no leaf kernel for " + op);
}

std::vector<LeafLaunch> epilogue_launches(const LeafCall& call, const Capabilities& device) {
  static constexpr std::string_view kText = R"source(
KERNEL(NAME) {
  EPILOGUE_WORDS(i32(ARG(0)))
  for (i64 tile = i64(BLOCK_X); tile < tiles; tile += i64(GRID_X)) {
    const i64 at = tile * i64(THREADS) + i64(THREAD_X);
    if (at < ARG(1)) EPILOGUE(at);
  }
}
)source";
  const std::int64_t count = call.output.shape.numel();
  if (count == 0) return {};
  const int threads = std::min(256, device.block_threads);
  const LeafSource source =
      leaf_source("epilogue_" + std::to_string(threads), {kText}, threads, [](Defines&) {});
  LeafLaunch launch =
      launch_of(source, {0, count}, (count + threads - 1) / threads, device.most_blocks);
  call_epilogue(launch, call);
  return {std::move(launch)};
}

std::string with_epilogue(std::string_view source, std::string_view epilogue,
                          std::string_view index) {
  std::string all = "#define EPILOGUE_INDEX ";
  return all.append(index).append("\n").append(epilogue).append(source);
}

std::vector<LeafSource> leaf_sources(const Capabilities& device) {
  std::vector<LeafSource> all;
  add_product_sources(device, all);
  add_pool_sources(device, all);
  add_row_sources(device, all);
  return all;
}

Defines& Defines::add(std::string_view name, std::string_view value) {
  text_ += "#define " + std::string(name) + " " + std::string(value) + "\n";
  return *this;
}

Defines& Defines::types(DType dtype) {
  const std::string storage(name(dtype)), real = dtype == DType::kF64 ? "f64" : "f32";
  add("REAL", real).add("REAL_BYTES", real == "f64" ? 8 : 4);
  for (const char* op : {"chain", "add", "div", "lt", "is_nan"}) {
    std::string upper(op);
    for (char& c : upper)
      if (c != '_') c = static_cast<char>(c - 'a' + 'A');
    add(upper, std::string(op) + "_" + real);
  }
  add("ZERO", real == "f64" ? "literal_f64(u64(0))" : "literal_f32(0u)");  // see glsl.cpp
  add("LOAD_REAL", "load_" + real).add("STORE_REAL", "store_" + real);
  add("LOAD", "load_" + storage).add("STORE", "store_" + storage);
  return add("BYTES", size_of(dtype));
}

Defines& Defines::words(std::span<const std::string_view> names) {
  std::int64_t i = 0;
  for (const std::string_view name : names)
    add("ARG_" + std::string(name), "ARG(" + std::to_string(i++) + ")");
  return add("ARG_TAIL", i);
}

LeafSource leaf_source(const std::string& entry, std::initializer_list<std::string_view> texts,
                       int threads, FunctionRef<void(Defines&)> define) {
  Sources& all = sources();
  const std::lock_guard lock(all.mutex);
  std::unique_ptr<Made>& made = all.made[entry];
  if (!made) {
    Defines defines;
    defines.add("NAME", entry).add("THREADS", threads);
    define(defines);
    std::string source = "// " + entry + "\n" + defines.text();
    for (const std::string_view text : texts) source += text;
    made = std::make_unique<Made>(Made{std::move(source), entry, threads});
  }
  return {made->text, made->entry, made->threads, 1};
}

LeafLaunch launch_of(const LeafSource& source, std::vector<std::int64_t> words, std::int64_t tiles,
                     std::int64_t most_blocks) {
  return {source.source,
          source.entry,
          std::move(words),
          tiles,
          source.x,
          source.y,
          static_cast<int>(std::min(tiles, most_blocks))};
}

}  // namespace flash::gpu
