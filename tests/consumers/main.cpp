// tests/consumers/main.cpp -- what a program outside of the tree does first: train, catch an error
#include <flash/flash.h>

#include <cstdio>

using namespace flash;

struct Net : nn::Module {
  nn::Linear fc1{4, 16}, fc2{16, 3};
  FLASH_MODULE(Net, fc1, fc2)
  Tensor forward(const Tensor& x) { return fc2(relu(fc1(x))); }
};

int main() {
  manual_seed(1);
  Net net;
  optim::AdamW opt(net.parameters(), {.lr = 1e-2});
  const Tensor x = randn({64, 4}), y = x.slice(1, 0, 3);
  double first = 0, last = 0;
  for (int i = 0; i < 100; ++i) {
    const Tensor loss = mse_loss(net(x), y);
    opt.zero_grad();
    loss.backward();
    opt.step();
    last = loss.item();
    if (i == 0) first = last;
  }
  try {
    matmul(x, x);
    return 1;
  } catch (const ShapeError& e) {
    std::printf("loss %.3f to %.3f; as it should: %s\n", first, last, e.what());
  }
  return last < first / 4 ? 0 : 1;
}
