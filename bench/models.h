// bench/models.h -- the networks of the workloads (and of tests of long runs); those that the peer
// has too are as it defines them
#pragma once

#include <flash/flash.h>

#include <vector>

namespace flash::bench {

/// 784-512-512-10.
struct Mlp : nn::Module {
  nn::Linear fc1{784, 512}, fc2{512, 512}, fc3{512, 10};
  FLASH_MODULE(Mlp, fc1, fc2, fc3)
  Tensor forward(const Tensor& x) { return fc3(relu(fc2(relu(fc1(x))))); }
};

/// 32 and 64 filters of 5x5 with padding 2, each with 2x2 max pooling, then 256 hidden units.
struct LeNet : nn::Module {
  nn::Conv2d conv1{1, 32, 5, {.padding = 2}}, conv2{32, 64, 5, {.padding = 2}};
  nn::MaxPool2d pool{2};
  nn::Linear fc1{64 * 7 * 7, 256}, fc2{256, 10};
  FLASH_MODULE(LeNet, conv1, conv2, pool, fc1, fc2)
  Tensor forward(const Tensor& x) {
    const Tensor features = pool(relu(conv2(pool(relu(conv1(x))))));
    return fc2(relu(fc1(features.flatten(1))));
  }
};

/// Twelve layers of width 1024, a GELU behind each.
struct GeluMlp : nn::Module {
  nn::Sequential layers;
  FLASH_MODULE(GeluMlp, layers)
  GeluMlp() {
    for (int i = 0; i < 12; ++i) layers.add(nn::Linear(1024, 1024)).add(nn::GELU());
  }
  Tensor forward(const Tensor& x) { return layers(x); }
};

/// For long runs, where the steps count and not their work.
struct SmallMlp : nn::Module {
  nn::Linear fc1{8, 16}, fc2{16, 4};
  FLASH_MODULE(SmallMlp, fc1, fc2)
  Tensor forward(const Tensor& x) { return fc2(relu(fc1(x))); }
};

/// Tokens of any number to classes: an embedding, differences of neighbours, a weighted mean.
struct Reader : nn::Module {
  nn::Embedding words{11, 8};
  nn::Linear score{8, 1}, value{8, 8}, out{8, 3};
  FLASH_MODULE(Reader, words, score, value, out)
  Tensor forward(const Tensor& tokens) {
    const Tensor x = words(tokens);  // [batch, length, 8]
    const Tensor change = pad(x.slice(1, 1) - x.slice(1, 0, -1), {0, 0, 1, 0});
    const Tensor weight = softmax(score(x), 1);
    return out(sum(weight * gelu(value(x + change)), {1}));
  }
};

/// A model, its optimizer and one synthetic batch; a call is one training step.
template <class Model>
class TrainingStep {
 public:
  TrainingStep(std::int64_t batch, const std::vector<std::int64_t>& input) {
    Shape shape{batch};
    for (const std::int64_t n : input) shape.push_back(n);
    x_ = rand(shape);
    y_ = fmod(arange(batch), 10);
    x_.eval();
    y_.eval();
  }

  double operator()() {
    const Tensor loss = cross_entropy(model_(x_), y_);
    optimizer_.zero_grad();
    loss.backward();
    optimizer_.step();
    return loss.item();
  }

 private:
  Model model_;
  optim::AdamW optimizer_{model_.parameters(), {.lr = 1e-3}};
  Tensor x_, y_;
};

}  // namespace flash::bench
