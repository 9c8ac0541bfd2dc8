// tests/accuracy/sweep.cpp -- chunks of inputs through Flash and the references, on a few threads
#include "accuracy/sweep.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <mutex>
#include <thread>

#include "accuracy/format.h"
#include "accuracy/inputs.h"
#include "ulp.h"

namespace flash::accuracy {
namespace {

constexpr std::size_t kChunk = std::size_t{1} << 16;

/// Flash's results for `n` inputs, by way of user memory. They live as long as the tensor.
template <class T>
const T* results(const Function& f, std::vector<T>& x, std::size_t n, Tensor& keep) {
  keep = f.op(from_blob(x.data(), {static_cast<std::int64_t>(n)}, dtype_of<T>));
  return keep.data<T>();
}

/// The results other than the nearest ones, and a bound of the errors: one pass without branches,
/// so that the compiler makes vector code of it. What test::ulp_error has to look at twice counts
/// as infinite.
struct Glance {
  std::uint64_t not_nearest = 0;
  double error = 0;
};
Glance glance(const float* got, const double* want, std::size_t n) {
  constexpr std::uint32_t kMagnitude = 0x7fffffff, kInfinity = 0x7f800000;
  constexpr double kUnclear = std::numeric_limits<double>::infinity();
  std::uint64_t off = 0;
  double worst = 0;
#pragma omp simd reduction(+ : off) reduction(max : worst)
  for (std::size_t i = 0; i < n; ++i) {
    const double w = want[i];
    const auto g = std::bit_cast<std::uint32_t>(got[i]);
    const auto r = std::bit_cast<std::uint32_t>(static_cast<float>(w));
    const std::uint32_t size_g = g & kMagnitude, size_r = r & kMagnitude;
    const bool nearest = (g == r) | ((size_g > kInfinity) & (size_r > kInfinity));
    const bool finite = (size_g < kInfinity) & (size_r < kInfinity);
    const bool signs = ((g ^ r) <= kMagnitude) | (size_g != 0);
    const double e = std::fabs(double{got[i]} - w) * test::last_places_per_unit<float>(w);
    const double special = nearest ? 0 : kUnclear;
    const double error = (finite & signs) ? e : special;
    off += nearest ? 0 : 1;
    worst = worst < error ? error : worst;
  }
  return {off, worst};
}
Glance glance(const double* got, const long double* want, std::size_t n) {
  Glance all;
  for (std::size_t i = 0; i < n; ++i) {
    all.not_nearest += !test::same(got[i], static_cast<double>(want[i]));
    all.error = std::max(all.error, test::ulp_error(got[i], want[i]));
  }
  return all;
}

/// `x` has been answered with `got`; `want[i]` is known to more digits.
template <class T, class Wide>
void compare(const T* x, const T* got, const Wide* want, std::size_t n, Sweep& sweep) {
  const Glance all = glance(got, want, n);
  sweep.inputs += n;
  sweep.not_nearest += all.not_nearest;
  const auto floor = [&] {
    return sweep.worst.size() < Sweep::kKept ? -1 : sweep.worst.back().error;
  };
  if (all.error <= floor()) return;
  for (std::size_t i = 0; i < n; ++i) {
    const double e = test::ulp_error(got[i], want[i]);
    if (e > floor()) sweep.add({static_cast<double>(x[i]), static_cast<double>(got[i]), e});
  }
}

template <class T, class Wide>
void take_sample(const T* x, const T* got, const Wide* want, std::size_t at, Sweep& sweep) {
  const double e = test::ulp_error(got[at], want[at]);
  if (std::isfinite(got[at]) && e > 0)
    sweep.sample.push_back({static_cast<double>(x[at]), static_cast<double>(got[at]), e});
}

/// The buffers of a chunk; a thread keeps its own.
template <class T, class Wide>
struct Buffers {
  std::vector<T> x = std::vector<T>(kChunk);
  std::vector<Wide> want = std::vector<Wide>(kChunk);
};

void run_f32(const Function& f, Buffers<float, double>& b, std::size_t n, std::uint64_t chunk,
             Sweep& sweep) {
  Tensor keep;
  const float* got = results(f, b.x, n, keep);
  f.wide(b.x.data(), b.want.data(), n);
  compare(b.x.data(), got, b.want.data(), n, sweep);
  if (chunk % 16 == 0) take_sample(b.x.data(), got, b.want.data(), chunk * 7919 % n, sweep);
  if (f.parity == Parity::kNone) return;
  // The mirrored half: Flash computes it, the reference is known.
  for (std::size_t i = 0; i < n; ++i) b.x[i] = -b.x[i];
  if (f.parity == Parity::kOdd)
    for (std::size_t i = 0; i < n; ++i) b.want[i] = -b.want[i];
  got = results(f, b.x, n, keep);
  compare(b.x.data(), got, b.want.data(), n, sweep);
}

void run_f64(const Function& f, Buffers<double, long double>& b, std::size_t n, std::uint64_t chunk,
             Sweep& sweep) {
  Tensor keep;
  const double* got = results(f, b.x, n, keep);
  for (std::size_t i = 0; i < n; ++i) b.want[i] = f.widest(static_cast<long double>(b.x[i]));
  compare(b.x.data(), got, b.want.data(), n, sweep);
  for (std::size_t i = chunk % 64; i < n; i += n / 4)
    take_sample(b.x.data(), got, b.want.data(), i, sweep);
}

}  // namespace

void Sweep::add(const Point& p) {
  const auto at =
      std::upper_bound(worst.begin(), worst.end(), p,
                       [](const Point& a, const Point& b) { return a.error > b.error; });
  worst.insert(at, p);
  if (worst.size() > kKept) worst.pop_back();
}

void Sweep::merge(const Sweep& other) {
  inputs += other.inputs;
  not_nearest += other.not_nearest;
  sample.insert(sample.end(), other.sample.begin(), other.sample.end());
  for (const Point& p : other.worst) add(p);
}

Sweep Runner::run(std::uint64_t chunks,
                  const std::function<void(std::uint64_t, Sweep&)>& work) const {
  std::atomic<std::uint64_t> next = 0;
  std::mutex lock;  // guards `total`
  Sweep total;
  const auto worker = [&](bool reports) {
    Sweep mine;
    for (std::uint64_t c; !stopped() && (c = next.fetch_add(1)) < chunks;) {
      work(c, mine);
      if (reports) progress(static_cast<double>(c) / static_cast<double>(chunks));
    }
    const std::lock_guard guard(lock);
    total.merge(mine);
  };
  std::vector<std::thread> others;
  for (int i = 1; i < threads; ++i) others.emplace_back(worker, false);
  worker(true);
  for (std::thread& t : others) t.join();
  return total;
}

Sweep sweep_f32(const Function& f, std::uint32_t stride, const Runner& runner) {
  // The sign bit comes last, so that the half which parity saves is a whole half.
  const std::uint64_t patterns = std::uint64_t{1} << (f.parity == Parity::kNone ? 32 : 31);
  const std::uint64_t inputs = (patterns + stride - 1) / stride;
  const auto work = [&](std::uint64_t chunk, Sweep& sweep) {
    thread_local Buffers<float, double> buffers;
    // In no order, when all are taken: large errors that come early spare the rest a second look.
    const std::uint64_t place = stride == 1 ? chunk * 40503 % (inputs / kChunk) : chunk;
    const std::uint64_t first = place * kChunk;
    const std::size_t n = std::min<std::uint64_t>(kChunk, inputs - first);
    for (std::size_t i = 0; i < n; ++i)
      buffers.x[i] = std::bit_cast<float>(static_cast<std::uint32_t>((first + i) * stride));
    run_f32(f, buffers, n, chunk, sweep);
  };
  Sweep sweep = runner.run((inputs + kChunk - 1) / kChunk, work);
  if (stride == 1) return sweep;
  const std::vector<float> near = near_edges_f32(f);
  const auto around = [&](std::uint64_t chunk, Sweep& s) {
    Buffers<float, double> buffers;
    const std::size_t first = chunk * kChunk, n = std::min(kChunk, near.size() - first);
    std::copy_n(near.begin() + static_cast<std::ptrdiff_t>(first), n, buffers.x.begin());
    run_f32(f, buffers, n, chunk, s);
  };
  sweep.merge(runner.run((near.size() + kChunk - 1) / kChunk, around));
  return sweep;
}

Sweep sweep_f64(const Function& f, std::uint64_t count, const std::vector<double>& hard,
                const Runner& runner) {
  const auto work = [&](std::uint64_t chunk, Sweep& sweep) {
    thread_local Buffers<double, long double> buffers;
    const std::size_t n = std::min<std::uint64_t>(kChunk, count - chunk * kChunk);
    fill_f64(f, hard, chunk, std::span(buffers.x).first(n));
    run_f64(f, buffers, n, chunk, sweep);
  };
  Sweep sweep = runner.run((count + kChunk - 1) / kChunk, work);
  // Errors of neighbours are alike up to the rounding of the last steps, so that the worst is often
  // not far from the worst that was drawn.
  const std::vector<Point> seeds = sweep.worst;
  const auto around = [&](std::uint64_t chunk, Sweep& s) {
    Buffers<double, long double> buffers;
    constexpr std::size_t kReach = 2048;
    const auto bits = std::bit_cast<std::uint64_t>(seeds[chunk].x);
    for (std::size_t i = 0; i < 2 * kReach; ++i)
      buffers.x[i] = std::bit_cast<double>(bits + i - kReach);
    buffers.x[kReach] = 1;  // the seed itself has been seen
    run_f64(f, buffers, 2 * kReach, chunk, s);
  };
  sweep.merge(runner.run(seeds.size(), around));
  return sweep;
}

Sweep sweep_half(const Function& f, DType dtype) {
  std::vector<std::uint16_t> bits(1 << 16);
  for (std::size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<std::uint16_t>(i);
  const Tensor y = f.op(from_blob(bits.data(), {static_cast<std::int64_t>(bits.size())}, dtype));
  const Tensor x = from_blob(bits.data(), {static_cast<std::int64_t>(bits.size())}, dtype);
  const std::vector<float> in = x.to(f32).to_vector<float>(), got = y.to(f32).to_vector<float>();
  const Format format = format_of(dtype);
  Sweep sweep;
  for (std::size_t i = 0; i < bits.size(); ++i) {
    const double want = wide_at(f, double{in[i]});
    sweep.not_nearest += !test::same(double{got[i]}, format.rounded(want));
    sweep.add({in[i], got[i], format.error(got[i], want)});
  }
  sweep.inputs = bits.size();
  return sweep;
}

double error_of(const Function& f, DType dtype, double x, double got) {
  if (dtype == DType::kF64) return test::ulp_error(got, f.widest(static_cast<long double>(x)));
  if (dtype == DType::kF32) return test::ulp_error(static_cast<float>(got), wide_at(f, x));
  return format_of(dtype).error(got, wide_at(f, x));
}

}  // namespace flash::accuracy
