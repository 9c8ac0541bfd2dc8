// tests/contract/small_net.h -- a network of several kinds of layers that a test can train quickly
#pragma once

#include <flash/flash.h>

/// Logits of five classes, from pictures [N, 1, 8, 8].
struct SmallNet : flash::nn::Module {
  flash::nn::Conv2d conv{1, 4, 3};
  flash::nn::LayerNorm norm{flash::Shape{4 * 36}};
  flash::nn::Linear fc1{4 * 36, 16}, fc2{16, 5};
  FLASH_MODULE(SmallNet, conv, norm, fc1, fc2)
  flash::Tensor forward(const flash::Tensor& x) {
    return fc2(flash::gelu(fc1(norm(flash::relu(conv(x)).flatten(1)))));
  }
};
