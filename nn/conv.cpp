// nn/conv.cpp -- convolution and pooling layers
#include "nn/conv.h"

#include <cmath>

#include "core/ops/create.h"
#include "core/ops/linalg.h"
#include "nn/init.h"
#include "nn/pool.h"

namespace flash::nn {
namespace {

std::string text(const Size2& s) {
  return "(" + std::to_string(s.h) + ", " + std::to_string(s.w) + ")";
}
bool is(const Size2& s, std::int64_t both) { return s.h == both && s.w == both; }

Pool2dOptions options(const Size2& kernel, const Pool2dConfig& c) {
  return {kernel.h,    kernel.w,    c.stride.h,         c.stride.w,
          c.padding.h, c.padding.w, c.count_include_pad};
}
std::string describe_pool(const Size2& kernel, const Pool2dConfig& c) {
  return "kernel_size=" + text(kernel) + ", stride=" + text(is(c.stride, 0) ? kernel : c.stride) +
         ", padding=" + text(c.padding);
}

}  // namespace

Conv2d::Conv2d(std::int64_t in_channels, std::int64_t out_channels, Size2 kernel,
               const Conv2dConfig& c)
    : config(c) {
  if (in_channels < 1 || out_channels < 1 || kernel.h < 1 || kernel.w < 1 || c.groups < 1)
    throw ValueError("Conv2d: channels, kernel sizes and groups must be at least 1");
  if (in_channels % c.groups != 0 || out_channels % c.groups != 0)
    throw ValueError("Conv2d: " + std::to_string(in_channels) + " input and " +
                     std::to_string(out_channels) + " output channels are not multiples of " +
                     std::to_string(c.groups) + " groups");
  weight = zeros({out_channels, in_channels / c.groups, kernel.h, kernel.w});
  init::kaiming_uniform_(weight, std::sqrt(5.0));
  if (!c.bias) return;
  bias = zeros({out_channels});
  const double bound = 1.0 / std::sqrt(static_cast<double>(init::fans_of(weight.shape()).in));
  init::uniform_(bias, -bound, bound);
}

Tensor Conv2d::forward(const Tensor& x) const {
  return conv2d(x, weight, bias,
                {config.stride.h, config.stride.w, config.padding.h, config.padding.w,
                 config.dilation.h, config.dilation.w, config.groups});
}

std::string Conv2d::describe() const {
  std::string s =
      std::to_string(weight.size(1) * config.groups) + ", " + std::to_string(weight.size(0)) +
      ", kernel_size=" + text({weight.size(2), weight.size(3)}) + ", stride=" + text(config.stride);
  if (!is(config.padding, 0)) s += ", padding=" + text(config.padding);
  if (!is(config.dilation, 1)) s += ", dilation=" + text(config.dilation);
  if (config.groups != 1) s += ", groups=" + std::to_string(config.groups);
  return bias.defined() ? s : s + ", bias=False";
}

MaxPool2d::MaxPool2d(Size2 kernel, const Pool2dConfig& config) : kernel(kernel), config(config) {}
Tensor MaxPool2d::forward(const Tensor& x) const { return max_pool2d(x, options(kernel, config)); }
std::string MaxPool2d::describe() const { return describe_pool(kernel, config); }

AvgPool2d::AvgPool2d(Size2 kernel, const Pool2dConfig& config) : kernel(kernel), config(config) {}
Tensor AvgPool2d::forward(const Tensor& x) const { return avg_pool2d(x, options(kernel, config)); }
std::string AvgPool2d::describe() const { return describe_pool(kernel, config); }

}  // namespace flash::nn
