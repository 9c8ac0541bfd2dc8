// tests/train/steady_test.cpp -- a training loop's steady state: nothing compiled, nothing planned
// again
#include <doctest/doctest.h>

#include "train/flash.h"

using namespace flash;

namespace {

struct Mlp : nn::Module {
  nn::Linear fc1{784, 512}, fc2{512, 512}, fc3{512, 10};
  FLASH_MODULE(Mlp, fc1, fc2, fc3)
  Tensor forward(const Tensor& x) { return fc3(relu(fc2(relu(fc1(x.flatten(1)))))); }
};

struct Cnn : nn::Module {
  nn::Conv2d conv1{1, 32, 5, {.padding = 2}}, conv2{32, 64, 5, {.padding = 2}};
  nn::Linear fc1{64 * 7 * 7, 256}, fc2{256, 10};
  nn::MaxPool2d pool{2};
  FLASH_MODULE(Cnn, conv1, conv2, pool, fc1, fc2)
  Tensor forward(const Tensor& x) {
    const Tensor features = pool(relu(conv2(pool(relu(conv1(x))))));
    return fc2(relu(fc1(features.flatten(1))));
  }
};

data::Batch batch(std::int64_t n, std::uint64_t seed) {
  Generator random(seed);
  data::Batch b{randn({n, 1, 28, 28}, f32, &random), randint(0, 10, {n}, {}, &random)};
  b.x.eval();
  b.y.eval();
  return b;
}

enum class Item { kNone, kBeforeBackward, kAfterStep };

template <class Model>
void step(Model& model, optim::Optimizer& opt, std::int64_t n, Item item, std::uint64_t seed = 1) {
  const data::Batch b = batch(n, seed);
  Tensor loss = cross_entropy(model(b.x), b.y);
  if (item == Item::kBeforeBackward) CHECK(loss.item() > 0);
  opt.zero_grad();
  loss.backward();
  opt.step();
  if (item == Item::kAfterStep) CHECK(loss.item() > 0);
}

template <class Model>
void check_steady(std::uint64_t most_launches) {
  manual_seed(1);
  Model model;
  optim::AdamW opt(model.parameters(), {.lr = 1e-3});
  const std::int64_t sizes[] = {10, 32, 63, 64, 256, 33};
  // GPUs have a kernel for each size of a product's tile.
  if (default_device().type() != DeviceType::kCpu)
    for (const std::int64_t n : sizes) step(model, opt, n, Item::kNone);
  for (const Item item : {Item::kNone, Item::kBeforeBackward, Item::kAfterStep}) {
    CAPTURE(static_cast<int>(item));
    for (int i = 0; i < 3; ++i) step(model, opt, 64, item);
    const Stats before = stats();
    step(model, opt, 64, item);
    CHECK(stats().kernels_compiled == before.kernels_compiled);
    CHECK(stats().plan_misses == before.plan_misses);
    // Other sizes, rates and data: the same plans. The batch itself is made in one flush or two.
    opt.set_lr(5e-4);
    for (const std::int64_t n : sizes) step(model, opt, n, item, 7);
    CHECK(stats().kernels_compiled == before.kernels_compiled);
    CHECK(stats().plan_misses == before.plan_misses);
  }
  const data::Batch b = batch(64, 3);
  const std::uint64_t before = stats().launches;
  record_kernels(true);
  Tensor loss = cross_entropy(model(b.x), b.y);
  opt.zero_grad();
  loss.backward();
  opt.step();
  record_kernels(false);
  const std::uint64_t launches = stats().launches - before;
  std::string list;
  for (const KernelRecord& k : kernel_history())
    list += "  " + k.name + (k.leaf ? " (leaf)\n" : "\n");
  INFO(list);
  CHECK(launches <= most_launches);
  CHECK(launches > 5);
}

}  // namespace

TEST_CASE("steady steps of the MLP compile and plan nothing, in at most 18 launches") {
  check_steady<Mlp>(18);
}

TEST_CASE("steady steps of the CNN compile and plan nothing, in at most 30 launches") {
  check_steady<Cnn>(30);
}

TEST_CASE("one AdamW step over all parameters of the CNN is at most four launches") {
  Cnn model;
  optim::AdamW opt(model.parameters());
  for (int i = 0; i < 3; ++i) {
    for (Tensor p : model.parameters()) {
      p.set_grad(ones_like(p.detach()));
      p.grad().eval();
    }
    const std::uint64_t before = stats().launches;
    opt.step();
    CHECK(stats().launches - before <= 4);
    CHECK(stats().launches > before);
  }
}
