// kernels/gpu/limits.cpp -- copy, triad and FMA loops on all of a GPU, timed by its own clock
#include "kernels/gpu/limits.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <optional>

namespace flash::gpu {
namespace {

constexpr std::size_t kMostBytes = 256 << 20, kLeastBytes = 1 << 20;  // of an array
constexpr int kMostThreads = 256;                                     // of a block
constexpr int kBlocks = 8;         // a processor: as many threads as any has room for
constexpr double kLeastUs = 1000;  // so that what a launch costs does not count
constexpr int kMostRepeats = 1 << 14;
constexpr int kFmas = 8 * 32;  // of a thread in one step

// ArgBlock of all three: x, y, z, and the bits of two floats. `tiles` is how many bytes, a multiple
// of what all threads do in one step.
constexpr std::string_view kCopy = R"source(
KERNEL(flash_limit_copy) {
  const u64 step = u64(GRID_X) * u64(SIZE_X) * u64(8);
  for (u64 at = u64(BLOCK_X * SIZE_X + THREAD_X) * u64(8); at < u64(tiles); at += u64(4) * step) {
    const u64 from = u64(ARG(0)) + at, to = u64(ARG(2)) + at;
    const i64 a = load_i64(from), b = load_i64(from + step), c = load_i64(from + u64(2) * step),
              d = load_i64(from + u64(3) * step);
    store_i64(to, a);
    store_i64(to + step, b);
    store_i64(to + u64(2) * step, c);
    store_i64(to + u64(3) * step, d);
  }
}
)source";

constexpr std::string_view kTriad = R"source(
KERNEL(flash_limit_triad) {
  const u64 step = u64(GRID_X) * u64(SIZE_X) * u64(4);
  const f32 scale = bits_f32(u32(ARG(3)));
  for (u64 at = u64(BLOCK_X * SIZE_X + THREAD_X) * u64(4); at < u64(tiles); at += u64(4) * step) {
    const u64 x = u64(ARG(0)) + at, y = u64(ARG(1)) + at, z = u64(ARG(2)) + at;
    const f32 a = load_f32(x), b = load_f32(x + step), c = load_f32(x + u64(2) * step),
              d = load_f32(x + u64(3) * step);
    const f32 e = load_f32(y), f = load_f32(y + step), g = load_f32(y + u64(2) * step),
              h = load_f32(y + u64(3) * step);
    store_f32(z, fma_f32(a, scale, e));
    store_f32(z + step, fma_f32(b, scale, f));
    store_f32(z + u64(2) * step, fma_f32(c, scale, g));
    store_f32(z + u64(3) * step, fma_f32(d, scale, h));
  }
}
)source";

// `tiles` steps of eight chains, enough to hide the latency of one.
constexpr std::string_view kFma = R"source(
KERNEL(flash_limit_fma) {
  const f32 m = bits_f32(u32(ARG(3))), c = bits_f32(u32(ARG(4)));
  f32 a0 = f32(THREAD_X), a1 = a0 + c, a2 = a1 + c, a3 = a2 + c;
  f32 a4 = a3 + c, a5 = a4 + c, a6 = a5 + c, a7 = a6 + c;
  for (i64 i = i64(0); i < tiles; ++i) {
    UNROLL for (i32 k = 0; k < 32; ++k) {
      a0 = fma_f32(a0, m, c);
      a1 = fma_f32(a1, m, c);
      a2 = fma_f32(a2, m, c);
      a3 = fma_f32(a3, m, c);
      a4 = fma_f32(a4, m, c);
      a5 = fma_f32(a5, m, c);
      a6 = fma_f32(a6, m, c);
      a7 = fma_f32(a7, m, c);
    }
  }
  store_f32(u64(ARG(2)) + u64(BLOCK_X * SIZE_X + THREAD_X) * u64(4),
            ((a0 + a1) + (a2 + a3)) + ((a4 + a5) + (a6 + a7)));
}
)source";

constexpr LeafSource kSources[] = {{kCopy, "flash_limit_copy", kMostThreads},
                                   {kTriad, "flash_limit_triad", kMostThreads},
                                   {kFma, "flash_limit_fma", kMostThreads}};

/// Memory of the device; null where there is none.
class Room {
 public:
  Room(RawMemory& memory, std::size_t bytes)
      : memory_(memory), bytes_(bytes), data_(memory.allocate(bytes)) {}
  ~Room() {
    if (data_) memory_.free(data_, bytes_);
  }
  Room(const Room&) = delete;
  Room& operator=(const Room&) = delete;
  void* data() const { return data_; }

 private:
  RawMemory& memory_;
  const std::size_t bytes_;
  void* const data_;
};

/// Three arrays and the kernels' words in one piece.
struct Arrays {
  Arrays(RawMemory& memory, std::size_t n) : bytes(n), room(memory, 3 * n + kWords * 8) {}
  static constexpr std::size_t kWords = 5;
  std::size_t bytes;  // of an array
  Room room;
  void* array(std::size_t i) const { return static_cast<char*>(room.data()) + i * bytes; }
  std::int64_t word(std::size_t i) const { return reinterpret_cast<std::intptr_t>(array(i)); }
};

/// How much a second, where enqueue(n) does n times as much as `work`.
double rate(const Measured& device, double work, FunctionRef<void(int n)> enqueue) {
  const auto time = [&](int n) { return device.time([&] { enqueue(n); }); };
  enqueue(1);  // compiled, and warm
  int n = 1;
  while (time(n) < kLeastUs && n < kMostRepeats) n *= 2;
  std::array<double, 3> us{time(n), time(n), time(n)};
  std::sort(us.begin(), us.end());
  return us[1] > 0 ? work * n / us[1] * 1e6 : 0;
}

}  // namespace

std::span<const LeafSource> limit_sources() { return kSources; }

MachineLimits measure_limits(const Measured& device) {
  const int grid = kBlocks * device.capabilities.processors;
  const int block = std::min(kMostThreads, device.capabilities.block_threads);
  const double threads = static_cast<double>(block) * grid;
  const std::size_t step = std::size_t{4} * 8 * static_cast<std::size_t>(threads);
  std::optional<Arrays> arrays;
  for (std::size_t n = std::min(kMostBytes, device.bytes / 64); n >= kLeastBytes; n /= 2) {
    arrays.emplace(device.memory, std::max<std::size_t>(n / step, 1) * step);
    if (arrays->room.data()) break;
    arrays.reset();
  }
  if (!arrays) return {};

  const std::array<std::int64_t, Arrays::kWords> words{
      arrays->word(0), arrays->word(1), arrays->word(2), std::bit_cast<std::int32_t>(0.999f),
      std::bit_cast<std::int32_t>(0.001f)};
  void* const args = arrays->array(3);
  device.upload(args, words);
  const auto loop = [&](std::size_t which) {
    const LeafSource& text = kSources[which];
    LeafLaunch made;
    made.source = text.source;
    made.entry = text.entry;
    made.x = block;
    made.grid = grid;
    made.tiles = static_cast<std::int64_t>(arrays->bytes);
    return made;
  };
  const auto bandwidth = [&](std::size_t which, double arrays_moved) {
    const LeafLaunch once = loop(which);
    return rate(device, arrays_moved * static_cast<double>(arrays->bytes), [&](int n) {
      for (int i = 0; i < n; ++i) device.launch(once, args);
    });
  };
  const double copy = bandwidth(0, 2), triad = bandwidth(1, 3);
  LeafLaunch fmas = loop(2);
  const double flops = rate(device, 2.0 * kFmas * threads, [&](int n) {
    fmas.tiles = n;
    device.launch(fmas, args);
  });
  return {std::max(copy, triad) * 1e-9, flops * 1e-9};
}

}  // namespace flash::gpu
