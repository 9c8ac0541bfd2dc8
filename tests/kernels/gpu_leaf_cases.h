// tests/kernels/gpu_leaf_cases.h -- devices and shapes that tests of GPU leaf kernels share
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/cpu/product_tile.h"
#include "kernels/gpu/leaf.h"
#include "leaf_testing.h"

namespace flash::test {

/// The CPU's own micro-kernels for a scope: OpenBLAS has bits of its own.
struct OwnProducts {
  OwnProducts() { cpu::set_product_engine(cpu::ProductEngine::kMicrokernels); }
  ~OwnProducts() { cpu::set_product_engine(before); }
  cpu::ProductEngine before = cpu::product_engine();
};

/// Few processors make large tiles good, many make small ones and parts. None: a CPU plays a GPU.
inline gpu::Capabilities device_of(int processors, std::int64_t most_blocks = 5) {
  gpu::Capabilities device;
  device.software = processors == 0;
  device.processors = std::max(processors, 1);
  device.most_blocks = most_blocks;
  return device;
}

inline const std::vector<cpu::testing::Conv> kConvs{
    // x                out kh kw sh sw ph pw dh dw groups
    {{2, 1, 14, 14}, 33, 5, 5, 1, 1, 2, 2, 1, 1, 1},
    {{1, 1, 1, 1}, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1},
    {{2, 3, 9, 11}, 5, 3, 3, 2, 2, 1, 1, 1, 1, 1},
    {{1, 4, 17, 35}, 6, 3, 2, 3, 2, 0, 1, 2, 3, 2},
    {{2, 6, 8, 8}, 6, 3, 3, 1, 1, 1, 1, 1, 1, 6},    // one channel a group
    {{1, 70, 7, 7}, 33, 3, 3, 1, 1, 1, 1, 1, 1, 1},  // k of several blocks
    {{2, 24, 6, 5}, 40, 1, 1, 1, 1, 0, 0, 1, 1, 1},
    {{1, 8, 10, 10}, 9, 1, 1, 2, 2, 0, 0, 1, 1, 1},  // phases of dx that nothing meets
    {{1, 3, 20, 30}, 17, 7, 7, 2, 2, 3, 3, 1, 1, 1},
    {{1, 2, 5, 6}, 3, 5, 6, 1, 1, 4, 5, 1, 1, 1},    // more padding than image
    {{2, 2, 12, 13}, 3, 2, 3, 4, 5, 0, 0, 1, 1, 1},  // pixels that no window covers
    {{1, 2, 13, 15}, 4, 3, 3, 4, 6, 2, 3, 2, 3, 1},  // strides and dilations that share factors
    {{5, 3, 33, 18}, 20, 3, 3, 1, 1, 1, 1, 1, 1, 1},
    {{19, 2, 6, 5}, 3, 2, 3, 1, 1, 1, 1, 1, 1, 1},  // dw: more units than chunks
    {{0, 2, 6, 6}, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1},
};

}  // namespace flash::test
