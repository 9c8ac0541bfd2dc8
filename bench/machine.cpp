// bench/machine.cpp -- plain loops of the compiler, to see what the harness and the limits say
#include <cstddef>
#include <memory>
#include <vector>

#include "bench/workloads.h"

namespace flash::bench {

void machine(Suite& suite) {
  constexpr std::size_t n = std::size_t{1} << 24;
  struct Arrays {
    std::vector<float> x = std::vector<float>(n, 1), y = std::vector<float>(n, 2),
                       z = std::vector<float>(n, 3);
  };
  auto a = std::make_shared<Arrays>();
  const double bytes = static_cast<double>(n) * sizeof(float);
  suite.time("plain axpy",
             [a] {
               for (std::size_t i = 0; i < n; ++i) a->z[i] = a->x[i] * 2 + a->y[i];
               asm volatile("" : : "r"(a->z.data()) : "memory");
             },
             {.peer = "axpy", .params = {{"n", n}}, .bytes = 3 * bytes});
  suite.time("plain copy",
             [a] {
               std::copy(a->x.begin(), a->x.end(), a->z.begin());
               asm volatile("" : : "r"(a->z.data()) : "memory");
             },
             {.peer = "copy", .params = {{"n", n}}, .bytes = 2 * bytes});
}

}  // namespace flash::bench
