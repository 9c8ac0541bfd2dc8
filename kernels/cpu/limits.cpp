// kernels/cpu/limits.cpp -- copy, triad and FMA loops on all threads, in the widest vectors there
// are
#include "kernels/cpu/limits.h"

#include <sys/mman.h>

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <functional>
#include <new>
#include <thread>
#include <tuple>

#if defined(__x86_64__)
#include <immintrin.h>
#define FLASH_TARGET(features) __attribute__((target(features)))
#endif

namespace flash::cpu {
namespace {

constexpr std::size_t kFloats = std::size_t{1} << 24;
constexpr int kPasses = 4;  // a round's value is their mean, as it is of a benchmark's calls
constexpr double kWarmSeconds = 0.02;
constexpr int kFmaSteps = 1 << 20;

/// One instruction set's loops. n is a multiple of 128 and pointers are aligned to 64 bytes; copies
/// leave y alone.
struct Kernels {
  struct Stream {
    const char* name;
    int arrays;  // read and written
    void (*loop)(const float* x, const float* y, float* z, std::size_t n);
  };
  std::vector<Stream> streams;
  double (*fma)(int steps);  // FLOPs done by one thread
};

[[maybe_unused]] void copy_plain(const float* x, const float*, float* z, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) z[i] = x[i];
}
[[maybe_unused]] void triad_plain(const float* x, const float* y, float* z, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) z[i] = x[i] * 2.0f + y[i];
}
[[maybe_unused]] double fma_plain(int steps) {
  float a[32];
  std::fill(a, a + 32, 1.0f);
  for (int s = 0; s < steps; ++s) {
    for (float& v : a) v = v * 0.999f + 0.001f;
    asm volatile("" : : "r"(a) : "memory");
  }
  return 2.0 * 32 * steps;
}

#if defined(__x86_64__)
// One definition for each vector width; V is the width in floats. "halves" streams from two places
// at once.
#define FLASH_LOOPS(NAME, FEATURES, VEC, V, LOAD, STORE, STREAM, SET1, FMADD)                   \
  FLASH_TARGET(FEATURES)                                                                        \
  void copy_##NAME(const float* x, const float*, float* z, std::size_t n) {                     \
    for (std::size_t i = 0; i < n; i += V) STORE(z + i, LOAD(x + i));                           \
  }                                                                                             \
  FLASH_TARGET(FEATURES)                                                                        \
  void copy_streaming_##NAME(const float* x, const float*, float* z, std::size_t n) {           \
    for (std::size_t i = 0; i < n; i += V) STREAM(z + i, LOAD(x + i));                          \
    _mm_sfence();                                                                               \
  }                                                                                             \
  FLASH_TARGET(FEATURES)                                                                        \
  void triad_##NAME(const float* x, const float* y, float* z, std::size_t n) {                  \
    const VEC two = SET1(2.0f);                                                                 \
    for (std::size_t i = 0; i < n; i += V) STORE(z + i, FMADD(LOAD(x + i), two, LOAD(y + i)));  \
  }                                                                                             \
  FLASH_TARGET(FEATURES)                                                                        \
  void triad_streaming_##NAME(const float* x, const float* y, float* z, std::size_t n) {        \
    const VEC two = SET1(2.0f);                                                                 \
    for (std::size_t i = 0; i < n; i += V) STREAM(z + i, FMADD(LOAD(x + i), two, LOAD(y + i))); \
    _mm_sfence();                                                                               \
  }                                                                                             \
  FLASH_TARGET(FEATURES)                                                                        \
  void copy_halves_##NAME(const float* x, const float*, float* z, std::size_t n) {              \
    const std::size_t h = n / 2;                                                                \
    for (std::size_t i = 0; i < h; i += V) {                                                    \
      STREAM(z + i, LOAD(x + i));                                                               \
      STREAM(z + h + i, LOAD(x + h + i));                                                       \
    }                                                                                           \
    _mm_sfence();                                                                               \
  }                                                                                             \
  FLASH_TARGET(FEATURES)                                                                        \
  void triad_halves_##NAME(const float* x, const float* y, float* z, std::size_t n) {           \
    const VEC two = SET1(2.0f);                                                                 \
    const std::size_t h = n / 2;                                                                \
    for (std::size_t i = 0; i < h; i += V) {                                                    \
      STREAM(z + i, FMADD(LOAD(x + i), two, LOAD(y + i)));                                      \
      STREAM(z + h + i, FMADD(LOAD(x + h + i), two, LOAD(y + h + i)));                          \
    }                                                                                           \
    _mm_sfence();                                                                               \
  }                                                                                             \
  FLASH_TARGET(FEATURES) double fma_##NAME(int steps) {                                         \
    /* ten chains hide a latency of four or five cycles on two units */                         \
    VEC a0 = SET1(1), a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0, a6 = a0, a7 = a0, a8 = a0;   \
    VEC a9 = a0;                                                                                \
    const VEC m = SET1(0.999f), c = SET1(0.001f);                                               \
    for (int s = 0; s < steps; ++s) {                                                           \
      a0 = FMADD(a0, m, c), a1 = FMADD(a1, m, c), a2 = FMADD(a2, m, c), a3 = FMADD(a3, m, c);   \
      a4 = FMADD(a4, m, c), a5 = FMADD(a5, m, c), a6 = FMADD(a6, m, c), a7 = FMADD(a7, m, c);   \
      a8 = FMADD(a8, m, c), a9 = FMADD(a9, m, c);                                               \
      asm volatile(""                                                                           \
                   : "+v"(a0), "+v"(a1), "+v"(a2), "+v"(a3), "+v"(a4), "+v"(a5), "+v"(a6),      \
                     "+v"(a7), "+v"(a8), "+v"(a9));                                             \
    }                                                                                           \
    return 2.0 * 10 * V * steps;                                                                \
  }

FLASH_LOOPS(avx512, "avx512f", __m512, 16, _mm512_load_ps, _mm512_store_ps, _mm512_stream_ps,
            _mm512_set1_ps, _mm512_fmadd_ps)
FLASH_LOOPS(avx2, "avx2,fma", __m256, 8, _mm256_load_ps, _mm256_store_ps, _mm256_stream_ps,
            _mm256_set1_ps, _mm256_fmadd_ps)

#define FLASH_KERNELS(NAME)                           \
  Kernels {                                           \
    {{"copy", 2, copy_##NAME},                        \
     {"copy, streaming", 2, copy_streaming_##NAME},   \
     {"copy, two streams", 2, copy_halves_##NAME},    \
     {"triad", 3, triad_##NAME},                      \
     {"triad, streaming", 3, triad_streaming_##NAME}, \
     {"triad, two streams", 3, triad_halves_##NAME}}, \
        fma_##NAME                                    \
  }
#endif

Kernels best_kernels() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return FLASH_KERNELS(avx512);
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return FLASH_KERNELS(avx2);
#endif
  return {{{"copy", 2, copy_plain}, {"triad", 3, triad_plain}}, fma_plain};
}

/// Floats in pages that were touched, huge ones where the system gives them.
class Array {
 public:
  Array() : data_(static_cast<float*>(std::aligned_alloc(std::size_t{1} << 21, kBytes))) {
    if (!data_) throw std::bad_alloc();
    madvise(data_, kBytes, MADV_HUGEPAGE);
    std::fill(data_, data_ + kFloats, 1.0f);
  }
  ~Array() { std::free(data_); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  float* data() const { return data_; }

 private:
  static constexpr std::size_t kBytes = kFloats * sizeof(float);
  float* data_;
};

}  // namespace

struct Limits::Work {
  int threads;
  Kernels kernels = best_kernels();
  Array x = {}, y = {}, z = {};

  /// Seconds that all threads need for one call each of `job(thread)`, the caller's included.
  double seconds(const std::function<void(int)>& job) const {
    using Clock = std::chrono::steady_clock;
    Clock::time_point start;
    std::barrier ready(threads, [&]() noexcept { start = Clock::now(); });
    std::vector<std::jthread> team;
    auto run = [&](int thread) {
      ready.arrive_and_wait();
      job(thread);
    };
    try {
      for (int t = 1; t < threads; ++t) team.emplace_back(run, t);
    } catch (...) {  // no thread to be had: those that wait shall end
      std::ignore = ready.arrive(threads - static_cast<std::ptrdiff_t>(team.size()));
      throw;
    }
    run(0);
    team.clear();  // joins
    return std::chrono::duration<double>(Clock::now() - start).count();
  }

  /// Bytes a second.
  double bandwidth(const Kernels::Stream& stream) const {
    const std::size_t piece = kFloats / static_cast<std::size_t>(threads) / 128 * 128;
    double sum = 0;
    for (int pass = 0; pass < kPasses; ++pass) {
      sum += seconds([&](int thread) {
        const std::size_t i = piece * static_cast<std::size_t>(thread);
        const std::size_t n = thread == threads - 1 ? kFloats - i : piece;
        stream.loop(x.data() + i, y.data() + i, z.data() + i, n);
      });
    }
    return kPasses * sizeof(float) * static_cast<double>(kFloats) * stream.arrays / sum;
  }
};

double Limits::Limit::median() const {
  std::vector<double> sorted = rounds;
  std::sort(sorted.begin(), sorted.end());
  const std::size_t n = sorted.size();
  return n == 0 ? 0 : (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
}

Limits::Limits(int threads) : work_(new Work{threads}), flops_{"fma f32", {}} {
  for (const Kernels::Stream& stream : work_->kernels.streams)
    bandwidths_.push_back({stream.name, {}});
}

Limits::~Limits() = default;

std::size_t Limits::measure_round() {
  const Work& w = *work_;
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  do w.bandwidth(w.kernels.streams.front());
  while (std::chrono::duration<double>(Clock::now() - start).count() < kWarmSeconds);
  for (std::size_t i = 0; i < bandwidths_.size(); ++i)
    bandwidths_[i].rounds.push_back(w.bandwidth(w.kernels.streams[i]));
  double done = 0;
  const double s = w.seconds([&](int thread) {
    const double flops = w.kernels.fma(kFmaSteps);
    if (thread == 0) done = flops;
  });
  flops_.rounds.push_back(done * w.threads / s);
  return flops_.rounds.size() - 1;
}

const Limits::Limit& Limits::best_bandwidth() const {
  return *std::max_element(bandwidths_.begin(), bandwidths_.end(),
                           [](const Limit& a, const Limit& b) { return a.median() < b.median(); });
}

}  // namespace flash::cpu
