// nn/size2.h -- height and width: written as one number when they are equal
#pragma once

#include <cstdint>

namespace flash::nn {

struct Size2 {
  std::int64_t h = 0, w = 0;
  Size2(std::int64_t both) : h(both), w(both) {}
  Size2(std::int64_t height, std::int64_t width) : h(height), w(width) {}
};

}  // namespace flash::nn
