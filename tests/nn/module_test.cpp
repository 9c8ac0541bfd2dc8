// tests/nn/module_test.cpp -- modules: names, state, switches, conversion, printing
#include <doctest/doctest.h>

#include <functional>
#include <sstream>

#include "core/autograd/autograd.h"
#include "core/ops/create.h"
#include "core/ops/elementwise.h"
#include "core/ops/linalg.h"
#include "core/ops/reduce.h"
#include "nn/nn.h"

using namespace flash;

namespace {

struct Mlp : nn::Module {
  nn::Linear fc1{4, 3}, fc2{3, 2};
  nn::Dropout drop{0.1};
  FLASH_MODULE(Mlp, fc1, drop, fc2)
  Tensor forward(const Tensor& x) { return fc2(drop(relu(fc1(x)))); }
};

struct Nested : nn::Module {
  std::vector<Mlp> parts = std::vector<Mlp>(2);
  std::shared_ptr<nn::Linear> head = std::make_shared<nn::Linear>(2, 1, false);
  std::shared_ptr<nn::Linear> absent;
  nn::Parameter scale = ones({1});
  nn::Buffer steps = zeros({}, i64);
  FLASH_MODULE(Nested, scale, steps, parts, head, absent)
  Tensor forward(const Tensor& x) { return (*head)(parts[1](x)) * scale; }
};

std::vector<std::string> names(const nn::NamedTensors& list) {
  std::vector<std::string> n;
  for (const auto& [name, t] : list) n.push_back(name);
  return n;
}
std::vector<std::string> keys(const nn::StateDict& state) {
  std::vector<std::string> n;
  for (const auto& [name, t] : state) n.push_back(name);
  return n;
}
using Names = std::vector<std::string>;

std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("FLASH_MODULE names parameters as PyTorch does, in order of registration") {
  Mlp m;
  CHECK(names(m.named_parameters()) == Names{"fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"});
  CHECK(m.num_parameters() == 4 * 3 + 3 + 3 * 2 + 2);
  CHECK(m.parameters().size() == 4);
  for (const Tensor& p : m.parameters()) CHECK(p.requires_grad());
  Nested n;
  CHECK(names(n.named_parameters()) ==
        Names{"scale", "parts.0.fc1.weight", "parts.0.fc1.bias", "parts.0.fc2.weight",
              "parts.0.fc2.bias", "parts.1.fc1.weight", "parts.1.fc1.bias", "parts.1.fc2.weight",
              "parts.1.fc2.bias", "head.weight"});
  CHECK(names(n.named_buffers()) == Names{"steps"});
  CHECK_FALSE(n.named_buffers()[0].second.requires_grad());
}

TEST_CASE("a frozen parameter remains a parameter") {
  Mlp m;
  m.fc1.weight.set_requires_grad(false);
  CHECK(m.parameters().size() == 4);
}

TEST_CASE("a parameter that two modules share is listed once and saved under both names") {
  Mlp m;
  m.fc2.weight = m.fc1.weight;
  CHECK(names(m.named_parameters()) == Names{"fc1.weight", "fc1.bias", "fc2.bias"});
  CHECK(m.state_dict().size() == 4);
}

TEST_CASE("state keys of the layers are PyTorch's") {
  CHECK(keys(nn::Linear(2, 3).state_dict()) == Names{"bias", "weight"});
  CHECK(keys(nn::Conv2d(2, 3, 3, {.bias = false}).state_dict()) == Names{"weight"});
  CHECK(keys(nn::BatchNorm2d(2).state_dict()) ==
        Names{"bias", "num_batches_tracked", "running_mean", "running_var", "weight"});
  CHECK(keys(nn::LayerNorm({2}).state_dict()) == Names{"bias", "weight"});
  CHECK(keys(nn::Embedding(2, 3).state_dict()) == Names{"weight"});
  nn::Sequential net(nn::Linear(2, 3), nn::ReLU(), nn::Sequential(nn::Linear(3, 1), nn::GELU()));
  CHECK(keys(net.state_dict()) == Names{"0.bias", "0.weight", "2.0.bias", "2.0.weight"});
}

TEST_CASE("load_state_dict copies values in, and the parameters stay the same tensors") {
  Mlp a, b;
  const Tensor weight = b.fc1.weight;
  b.load_state_dict(a.state_dict());
  CHECK(weight.detach().to_vector<float>() == a.fc1.weight.detach().to_vector<float>());
  CHECK(weight.requires_grad());
  no_grad([&] { a.fc1.weight.zero_(); });
  CHECK(amax(abs(weight.detach())).item() > 0);  // a copy
  nn::StateDict wide = a.state_dict();
  for (auto& [name, t] : wide) t = t.to(f64);
  b.load_state_dict(wide);
  CHECK(b.fc1.weight.dtype() == f32);
  CHECK(amax(abs(weight.detach())).item() == 0);
}

TEST_CASE("a state that does not fit is refused as a whole, with all reasons") {
  Mlp m;
  const std::vector<float> before = m.fc2.bias.detach().to_vector<float>();
  nn::StateDict state = m.state_dict();
  state.erase("fc1.bias");
  state["fc3.bias"] = zeros({1});
  state["fc2.weight"] = zeros({3, 2});
  state["fc2.bias"] = zeros({2});
  const std::string e = error_of([&] { m.load_state_dict(state); });
  CHECK(
      e ==
      "load_state_dict: the state does not fit Mlp; missing: fc1.bias; not known: fc3.bias; other "
      "shapes: fc2.weight ([3, 2], wanted [2, 3])");
  CHECK(m.fc2.bias.detach().to_vector<float>() == before);
  state["fc2.weight"] = zeros({2, 3});
  m.load_state_dict(state, /*strict=*/false);
  CHECK(amax(abs(m.fc2.weight.detach())).item() == 0);
}

TEST_CASE("train and eval reach all modules within") {
  Nested n;
  CHECK(n.training());
  n.eval();
  CHECK_FALSE(n.training());
  CHECK_FALSE(n.parts[1].drop.training());
  n.train();
  CHECK(n.parts[1].drop.training());
  nn::Sequential net(nn::Dropout(0.5), nn::ReLU());
  net.eval();
  CHECK_FALSE(net[0].training());
  const Tensor x = ones({8});
  CHECK(net(x).to_vector<float>() == x.to_vector<float>());
  CHECK(error_of([&] { net[2].eval(); }) == "Sequential: there is no module 2 of 2");
}

TEST_CASE("a copy of a module shares its parameters") {
  Mlp a;
  Mlp b = a;
  CHECK(b.fc1.weight.is_same(a.fc1.weight));
  nn::Linear layer(2, 2);
  nn::Sequential net(layer);
  CHECK(net.parameters()[0].is_same(layer.weight));
}

TEST_CASE("to(dtype) converts in place: who holds a parameter sees it") {
  Mlp m;
  const Tensor weight = m.fc1.weight;
  const std::vector<Tensor> before = m.parameters();
  m.to(f64);
  CHECK(weight.dtype() == f64);
  CHECK(weight.requires_grad());
  CHECK(m.parameters()[0].is_same(before[0]));
  sum(m(ones({2, 4}, f64))).backward();
  CHECK(weight.grad().dtype() == f64);
  m.zero_grad();
  CHECK_FALSE(weight.grad().defined());
  CHECK(error_of([&] { m.to(i64); }).find("floating") != std::string::npos);
  Nested n;
  n.to(bf16);
  CHECK(n.steps.dtype() == i64);
  CHECK(n.scale.dtype() == bf16);
}

TEST_CASE("gradients go along to another dtype or device") {
  Mlp m;
  const Tensor weight = m.fc1.weight;
  sum(m(ones({2, 4}))).backward();
  const std::vector<double> before = weight.grad().to(f64).to_vector<double>();
  m.to(f64);
  CHECK(weight.grad().to_vector<double>() == before);
  m.to(Device("null"));
  CHECK(weight.device() == Device("null"));
  CHECK(weight.grad().device() == Device("null"));
}

TEST_CASE("modules print as a tree with parameter counts") {
  std::ostringstream out;
  out << Mlp();
  CHECK(out.str() ==
        "Mlp(\n"
        "  (fc1): Linear(in_features=4, out_features=3, bias=True)  15\n"
        "  (drop): Dropout(p=0.1)\n"
        "  (fc2): Linear(in_features=3, out_features=2, bias=True)  8\n"
        ")\n"
        "23 parameters");
  nn::Sequential net(nn::Conv2d(3, 64, 5, {.padding = 2}), nn::BatchNorm2d(64), nn::MaxPool2d(2),
                     nn::Flatten(), nn::Sequential(nn::LayerNorm({8}), nn::Embedding(1000, 50)));
  CHECK(net.str() ==
        "Sequential(\n"
        "  (0): Conv2d(3, 64, kernel_size=(5, 5), stride=(1, 1), padding=(2, 2))  4,864\n"
        "  (1): BatchNorm2d(64, eps=1e-05, momentum=0.1, affine=True)  128\n"
        "  (2): MaxPool2d(kernel_size=(2, 2), stride=(2, 2), padding=(0, 0))\n"
        "  (3): Flatten(start_dim=1, end_dim=-1)\n"
        "  (4): Sequential(\n"
        "    (0): LayerNorm((8,), eps=1e-05, elementwise_affine=True)  16\n"
        "    (1): Embedding(1000, 50)  50,000\n"
        "  )\n"
        ")\n"
        "55,008 parameters");
}

TEST_CASE("a small network learns") {
  manual_seed(1);
  Mlp m;
  m.drop.p = 0.0;
  const Tensor x = randn({32, 4});
  const Tensor target = gt(x.select(1, 0), 0).to(i64);
  double first = 0, last = 0;
  for (int i = 0; i < 200; ++i) {
    const Tensor loss = cross_entropy(m(x), target);
    m.zero_grad();
    loss.backward();
    NoGrad guard;
    for (Tensor& p : m.parameters()) p.sub_(p.grad(), 0.5);
    (i == 0 ? first : last) = loss.item();
  }
  CHECK(first > 0.4);
  CHECK(last < 0.1);
}
