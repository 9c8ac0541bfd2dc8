// tests/accuracy/inputs.cpp -- edges and their neighbours, ranges, magnitudes, hard arguments
#include "accuracy/inputs.h"

#include <bit>
#include <cmath>

#include "ulp.h"

namespace flash::accuracy {
namespace {

using test::Random;

double moved(double x, std::int64_t places) {
  return std::bit_cast<double>(std::bit_cast<std::int64_t>(x) + places);
}

double near(double at, Random& random) {
  const bool by_places = random.bits() % 2 == 0;
  const double reach = std::ldexp(random.between(-1, 1), -static_cast<int>(random.bits() % 52));
  const double x = by_places ? moved(at, static_cast<std::int64_t>(random.bits() % 8192) - 4096)
                             : at * (1 + reach);
  return random.bits() % 4 == 0 ? -x : x;
}

/// n·π/2, where sines and cosines vanish, and a few places beside it.
double near_quarter_turn(Random& random) {
  const auto n = static_cast<double>(random.bits() >> (24 + random.bits() % 40));
  constexpr long double kHalfPi = 1.570796326794896619231321691639751442L;
  return moved(static_cast<double>(kHalfPi * static_cast<long double>(n)),
               static_cast<std::int64_t>(random.bits() % 4));
}

}  // namespace

std::vector<float> near_edges_f32(const Function& f) {
  std::vector<float> x = test::special_values<float>();
  for (const double edge : f.edges) {
    const auto bits = std::bit_cast<std::uint32_t>(std::fabs(static_cast<float>(edge)));
    for (std::uint32_t d = 0; d < 4000; ++d)
      for (const std::uint32_t b : {bits - d, bits + d})
        x.insert(x.end(), {std::bit_cast<float>(b), -std::bit_cast<float>(b)});
  }
  return x;
}

void fill_f64(const Function& f, std::span<const double> hard, std::uint64_t chunk,
              std::span<double> x) {
  Random random;
  random.state ^= (chunk + 1) * 0x9e3779b97f4a7c15u;
  for (int i = 0; i < 8; ++i) random.bits();
  const double highest = std::log2(std::max(std::fabs(f.low), std::fabs(f.high)));
  for (std::size_t i = 0; i < x.size(); ++i) {
    switch (i % 8) {
      case 0:
      case 1:
        x[i] = std::bit_cast<double>(random.bits());
        break;
      case 2:
      case 3:
        x[i] = random.between(f.low, f.high);
        break;
      case 4:
        x[i] = std::exp2(random.between(-60, highest)) * (random.bits() % 2 ? 1 : -1);
        break;
      case 5:
      case 6:
        x[i] = near(f.edges[random.bits() % f.edges.size()], random);
        break;
      default:
        if (hard.empty())
          x[i] = near(f.edges[random.bits() % f.edges.size()], random);
        else if (random.bits() % 2)
          x[i] = near_quarter_turn(random);
        else
          x[i] = moved(hard[random.bits() % hard.size()],
                       static_cast<std::int64_t>(random.bits() % 3) - 1);
    }
  }
  // The first chunk begins with what is special about the format itself.
  if (chunk > 0) return;
  const std::vector<double> special = test::special_values<double>();
  for (std::size_t i = 0; i < special.size() && i < x.size(); ++i) x[i] = special[i];
  for (std::size_t i = 0; i < hard.size() && special.size() + i < x.size(); ++i)
    x[special.size() + i] = hard[i];
}

}  // namespace flash::accuracy
