// bench/leaf.cpp -- matrix products, convolutions and pools through the public API
#include <flash/flash.h>

#include <array>
#include <string>
#include <vector>

#include "bench/workloads.h"

namespace flash::bench {
namespace {

struct Conv {
  const char* name;
  std::int64_t images, in, size, out, kernel, stride, padding, groups = 1;
};

constexpr Conv kConvs[] = {
    {"lenet conv1", 64, 1, 28, 32, 5, 1, 2},       {"lenet conv2", 64, 32, 14, 64, 5, 1, 2},
    {"conv 7x7 s2", 8, 3, 224, 64, 7, 2, 3},       {"conv 3x3 64x56", 8, 64, 56, 64, 3, 1, 1},
    {"conv 3x3 256x14", 8, 256, 14, 256, 3, 1, 1}, {"conv 3x3 512x7", 8, 512, 7, 512, 3, 1, 1},
    {"conv 1x1 64x56", 8, 64, 56, 256, 1, 1, 0},
};

void add_conv(Suite& suite, const Conv& c) {
  Tensor x = rand({c.images, c.in, c.size, c.size});
  Tensor w = rand({c.out, c.in / c.groups, c.kernel, c.kernel});
  x.set_requires_grad();
  w.set_requires_grad();
  x.eval();
  w.eval();
  const Conv2dOptions options{.stride_h = c.stride,
                              .stride_w = c.stride,
                              .padding_h = c.padding,
                              .padding_w = c.padding,
                              .groups = c.groups};
  const std::int64_t out = (c.size + 2 * c.padding - c.kernel) / c.stride + 1;
  const double flops = 2.0 * static_cast<double>(c.images * c.out * out * out * c.in / c.groups *
                                                 c.kernel * c.kernel);
  const nlohmann::json params = {{"images", c.images},   {"in", c.in},         {"size", c.size},
                                 {"out", c.out},         {"kernel", c.kernel}, {"stride", c.stride},
                                 {"padding", c.padding}, {"groups", c.groups}};
  suite.time(c.name,
             [=] {
               const NoGrad guard;
               conv2d(x, w, {}, options).eval();
             },
             {.peer = "conv", .params = params, .flops = flops});
  const Tensor dy = ones({c.images, c.out, out, out});
  dy.eval();
  suite.time(std::string(c.name) + " gradients",
             [=] {
               const Tensor y = conv2d(x, w, {}, options);
               const std::vector<Tensor> g = grad({y}, {x, w}, {dy});
               y.eval();  // and with it the gradients: the trace is flushed as a whole
               g[0].eval();
               g[1].eval();
             },
             {.peer = "conv_grad", .params = params, .flops = 3 * flops});
}

}  // namespace

void leaf(Suite& suite) {
  manual_seed(1);
  for (const std::int64_t n : {128, 256, 512, 1024, 2048}) {
    const Tensor a = rand({n, n}), b = rand({n, n});
    a.eval();
    b.eval();
    suite.time("matmul " + std::to_string(n), [=] { matmul(a, b).eval(); },
               {.peer = "matmul",
                .params = {{"m", n}, {"n", n}, {"k", n}},
                .flops = 2.0 * static_cast<double>(n * n * n)});
  }
  for (const auto& [m, n, k] : {std::array<std::int64_t, 3>{32, 512, 784},
                                {256, 512, 784},
                                {64, 256, 3136},
                                {1, 4096, 4096}}) {
    const Tensor x = rand({m, k}), w = rand({n, k}), bias = rand({n});
    for (const Tensor& t : {x, w, bias}) t.eval();
    suite.time(
        "linear relu " + std::to_string(m) + "x" + std::to_string(k) + "x" + std::to_string(n),
        [=] { relu(linear(x, w, bias)).eval(); },
        {.peer = "linear_relu",
         .params = {{"m", m}, {"n", n}, {"k", k}},
         .flops = 2.0 * static_cast<double>(m * n * k)});
  }
  for (const Conv& c : kConvs) add_conv(suite, c);
  const Tensor x = rand({64, 32, 28, 28});
  x.eval();
  suite.time("max_pool 2x2", [=] { max_pool2d(x, {}).eval(); },
             {.peer = "max_pool", .bytes = 4.0 * 64 * 32 * 28 * 28 * 1.25});
}

}  // namespace flash::bench
