// apps/flash/lenet.h -- the network that `flash train digits` trains
#pragma once

#include <flash/flash.h>

namespace flash::apps {

/// LeNet-class: two 5x5 convolutions, each with a 2x2 pool, and two dense layers. [N, 1, 28, 28]
/// gives [N, 10] logits.
struct LeNet : nn::Module {
  nn::Conv2d conv1{1, 32, 5, {.padding = 2}}, conv2{32, 64, 5, {.padding = 2}};
  nn::Linear fc1{64 * 7 * 7, 256}, fc2{256, 10};
  nn::Dropout drop{0.4};
  nn::MaxPool2d pool{2};
  FLASH_MODULE(LeNet, conv1, conv2, pool, fc1, drop, fc2)
  Tensor forward(const Tensor& x) {
    const Tensor features = pool(relu(conv2(pool(relu(conv1(x))))));
    return fc2(drop(relu(fc1(features.flatten(1)))));
  }
};

}  // namespace flash::apps
