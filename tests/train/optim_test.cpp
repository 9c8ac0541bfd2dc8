// tests/train/optim_test.cpp -- optimizers against PyTorch's documented formulas, number by number
#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <vector>

#include "core/autograd/autograd.h"
#include "core/ops/create.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"
#include "train/optim/adam.h"
#include "train/optim/sgd.h"

using namespace flash;

namespace {

const std::vector<double> kStart = {0.5, -1.25, 2.0, 0.0, -0.03125};

/// The gradient that both sides use at step t: different signs and sizes each time.
std::vector<double> gradient_at(int t) {
  std::vector<double> g;
  for (std::size_t i = 0; i < kStart.size(); ++i)
    g.push_back(std::sin(1.7 * t + static_cast<double>(i)) * (i == 2 ? 30.0 : 0.4));
  return g;
}

Tensor parameter(DType dtype = f64) {
  Tensor p = from_vector(kStart).to(dtype);
  p.eval();
  p.set_requires_grad();
  return p;
}

void take_steps(optim::Optimizer& opt, Tensor& p, int steps) {
  for (int t = 1; t <= steps; ++t) {
    p.set_grad(from_vector(gradient_at(t)).to(p.dtype()));
    opt.step();
  }
}

void check_close(const Tensor& p, const std::vector<double>& want, double tolerance = 1e-13) {
  const std::vector<double> have = p.detach().to(f64).to_vector<double>();
  REQUIRE(have.size() == want.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    CAPTURE(i);
    CHECK(std::abs(have[i] - want[i]) <= tolerance * (1 + std::abs(want[i])));
  }
}

std::vector<double> reference_sgd(const optim::SgdOptions& o, int steps) {
  std::vector<double> p = kStart, b(p.size(), 0);
  for (int t = 1; t <= steps; ++t) {
    const std::vector<double> grad = gradient_at(t);
    for (std::size_t i = 0; i < p.size(); ++i) {
      double g = grad[i] + o.weight_decay * p[i];
      if (o.momentum != 0) {
        b[i] = t == 1 ? g : o.momentum * b[i] + (1 - o.dampening) * g;
        g = o.nesterov ? g + o.momentum * b[i] : b[i];
      }
      p[i] -= o.lr * g;
    }
  }
  return p;
}

std::vector<double> reference_adam(const optim::AdamOptions& o, bool decoupled, int steps) {
  std::vector<double> p = kStart, m(p.size(), 0), v(p.size(), 0);
  for (int t = 1; t <= steps; ++t) {
    const std::vector<double> grad = gradient_at(t);
    for (std::size_t i = 0; i < p.size(); ++i) {
      double g = grad[i];
      if (decoupled)
        p[i] -= o.lr * o.weight_decay * p[i];
      else
        g += o.weight_decay * p[i];
      m[i] = o.beta1 * m[i] + (1 - o.beta1) * g;
      v[i] = o.beta2 * v[i] + (1 - o.beta2) * g * g;
      const double m_hat = m[i] / (1 - std::pow(o.beta1, t));
      const double v_hat = v[i] / (1 - std::pow(o.beta2, t));
      p[i] -= o.lr * m_hat / (std::sqrt(v_hat) + o.eps);
    }
  }
  return p;
}

}  // namespace

TEST_CASE("SGD takes PyTorch's steps, with momentum, dampening, Nesterov and weight decay") {
  const std::vector<optim::SgdOptions> table = {
      {.lr = 0.1},
      {.lr = 0.1, .weight_decay = 0.05},
      {.lr = 0.02, .momentum = 0.9},
      {.lr = 0.02, .momentum = 0.9, .dampening = 0.3},
      {.lr = 0.02, .momentum = 0.8, .weight_decay = 0.01, .nesterov = true},
  };
  for (const auto& options : table) {
    CAPTURE(options.momentum);
    Tensor p = parameter();
    optim::SGD opt({p}, options);
    take_steps(opt, p, 7);
    check_close(p, reference_sgd(options, 7));
  }
}

TEST_CASE("Adam and AdamW take PyTorch's steps") {
  for (const double decay : {0.0, 0.1}) {
    Tensor p = parameter();
    optim::Adam adam({p}, {.lr = 0.01, .beta1 = 0.8, .beta2 = 0.95, .weight_decay = decay});
    take_steps(adam, p, 9);
    check_close(p, reference_adam({0.01, 0.8, 0.95, 1e-8, decay}, false, 9), 1e-12);

    Tensor q = parameter();
    optim::AdamW adamw({q}, {.lr = 0.01, .beta1 = 0.8, .beta2 = 0.95, .weight_decay = decay});
    take_steps(adamw, q, 9);
    check_close(q, reference_adam({0.01, 0.8, 0.95, 1e-8, decay}, true, 9), 1e-12);
  }
}

TEST_CASE("the defaults are PyTorch's") {
  Tensor p = parameter();
  optim::AdamW opt({p});
  take_steps(opt, p, 3);
  check_close(p, reference_adam({1e-3, 0.9, 0.999, 1e-8, 1e-2}, true, 3), 1e-12);
}

TEST_CASE("half-precision parameters are updated in f32 and rounded once a step") {
  for (const DType dtype : {f16, bf16}) {
    Tensor p = parameter(dtype);
    optim::AdamW opt({p}, {.lr = 0.01});
    take_steps(opt, p, 4);
    CHECK(p.dtype() == dtype);
    for (const auto& [name, t] : opt.state_dict().tensors) CHECK(t.dtype() == f32);
    check_close(p, reference_adam({0.01, 0.9, 0.999, 1e-8, 0.01}, true, 4),
                dtype == f16 ? 4e-3 : 3e-2);
  }
}

TEST_CASE("an optimizer step minimises what backward differentiates") {
  Tensor p = parameter();
  optim::SGD opt({p}, {.lr = 0.25});
  for (int i = 0; i < 40; ++i) {
    opt.zero_grad();
    CHECK_FALSE(p.grad().defined());
    sum(square(p - 3.0)).backward();
    opt.step();
  }
  check_close(p, {3, 3, 3, 3, 3}, 1e-9);
}

TEST_CASE("groups have their own rates, and parameters without a gradient stay") {
  Tensor a = parameter(), b = parameter(), c = parameter();
  optim::SGD opt({{.params = {a}, .lr = 0.5}, {.params = {b, c}}}, {.lr = 0.1});
  a.set_grad(ones_like(a));
  b.set_grad(ones_like(b));
  opt.step();
  std::vector<double> want_a = kStart, want_b = kStart;
  for (auto& v : want_a) v -= 0.5;
  for (auto& v : want_b) v -= 0.1;
  check_close(a, want_a);
  check_close(b, want_b);
  check_close(c, kStart);
  opt.set_lr(0.25, 1);
  CHECK(opt.lr(0) == 0.5);
  CHECK(opt.lr(1) == 0.25);
}

TEST_CASE("a state taken over continues exactly") {
  Tensor p = parameter();
  optim::AdamW opt({p}, {.lr = 0.01});
  take_steps(opt, p, 3);
  Tensor q = p.detach().clone();
  q.eval();
  q.set_requires_grad();
  optim::AdamW other({q}, {.lr = 0.5});
  optim::OptimizerState state = opt.state_dict();
  for (auto& [name, t] : state.tensors) {
    t = t.clone();
    t.eval();
  }
  other.load_state_dict(state);
  CHECK(other.lr() == 0.01);
  take_steps(opt, p, 5);
  take_steps(other, q, 5);
  CHECK(p.detach().to_vector<double>() == q.detach().to_vector<double>());
}

TEST_CASE("a state follows its parameter to another device or dtype") {
  Tensor moved = parameter(f32).detach().to("cpu"), stays = moved.clone();
  moved.eval();
  optim::AdamW opt({moved.set_requires_grad()}, {}), other({stays.set_requires_grad()}, {});
  const auto step = [&](optim::Optimizer& o, Tensor& p, int t) {
    p.set_grad(from_vector(gradient_at(t)).to(p.dtype()).to(p.device()));
    o.step();
  };
  for (int t = 1; t <= 4; ++t) {
    if (t == 2) set_data(moved, moved.detach().to(default_device()));
    if (t == 4) set_data(moved, moved.detach().to("cpu"));
    step(opt, moved, t);
    step(other, stays, t);
  }
  CHECK(moved.detach().to_vector<float>() == stays.detach().to_vector<float>());
  set_data(moved, moved.detach().to(f64));
  step(opt, moved, 5);
  CHECK(opt.state_dict().tensors.at("0.exp_avg").dtype() == f64);
  set_data(moved, moved.detach().to("null"));
  step(opt, moved, 6);
  const optim::OptimizerState state = opt.state_dict();
  CHECK(state.tensors.at("0.exp_avg_sq").device() == Device("null"));
  CHECK(state.numbers.at("0.step") == 6);
}

TEST_CASE("a state taken over may be of a parameter that has another dtype since") {
  Tensor p = parameter(f32), q = parameter(f32);
  optim::AdamW opt({p}, {}), other({q}, {});
  for (Tensor* t : {&p, &q}) set_data(*t, t->detach().to(f64));
  const auto step = [](optim::Optimizer& o, Tensor& t, int n) {
    t.set_grad(from_vector(gradient_at(n)).to(f64));
    o.step();
  };
  const optim::OptimizerState fresh = opt.state_dict();
  CHECK(fresh.tensors.at("0.exp_avg").dtype() == f64);
  step(opt, p, 1);
  set_data(q, p.detach().clone());
  other.load_state_dict(opt.state_dict());
  step(opt, p, 2);
  step(other, q, 2);
  CHECK(p.detach().to_vector<double>() == q.detach().to_vector<double>());
}

TEST_CASE("a gradient on another device changes no parameter") {
  Tensor first = parameter(), second = parameter();
  optim::SGD opt({first, second}, {.lr = 1});
  first.set_grad(ones_like(first.detach()));
  const Tensor y = custom_function(
      "elsewhere", {second},
      [](FunctionContext&, const std::vector<Tensor>& in) { return std::vector{in[0] * 1.0}; },
      [](FunctionContext&, const std::vector<Tensor>& g) {
        return std::vector{g[0].to("null")};
      })[0];
  sum(y).backward();
  CHECK_THROWS_WITH_AS(opt.step(), doctest::Contains("SGD: the gradient of parameter 1 is on null"),
                       DeviceError);
  CHECK(first.detach().to_vector<double>() == kStart);
}

TEST_CASE("a state of another optimizer or of other parameters is refused and changes nothing") {
  Tensor p = parameter(), q = parameter(), r = zeros({3}, f64);
  optim::SGD sgd({p}, {.lr = 0.1, .momentum = 0.9});
  optim::AdamW adam({q}), three({r});
  const auto message = [](const std::function<void()>& f) -> std::string {
    try {
      f();
    } catch (const ValueError& e) {
      return e.what();
    }
    return "no error";
  };
  CHECK(message([&] { adam.load_state_dict(sgd.state_dict()); }) ==
        "AdamW::load_state_dict: the state is of SGD; make that optimizer to continue it");
  CHECK(message([&] { adam.load_state_dict(three.state_dict()); }) ==
        "AdamW::load_state_dict: '0.exp_avg' is f64[3] in the state, here it is f64[5]");
  optim::OptimizerState far = adam.state_dict();
  REQUIRE(far.numbers.count("0.step") == 1);
  far.numbers["0.step"] = 1e300;  // more than the count of steps can be
  CHECK(message([&] { adam.load_state_dict(far); }).find("no run takes as many steps") !=
        std::string::npos);
  CHECK(adam.lr() == 1e-3);
}

TEST_CASE("options out of range name the option, its value and what is wanted") {
  Tensor p = parameter();
  CHECK_THROWS_WITH_AS(optim::AdamW({p}, {.beta1 = 1.0}), "AdamW: beta1 is 1; it must be in [0, 1)",
                       ValueError);
  CHECK_THROWS_WITH_AS(optim::SGD({p}, {.nesterov = true}),
                       "SGD: momentum is 0; it must be above 0 with nesterov", ValueError);
  CHECK_THROWS_WITH_AS(optim::SGD(std::vector<Tensor>{}),
                       "SGD: no parameters; pass model.parameters()", ValueError);
  CHECK_THROWS_WITH_AS(optim::SGD({p, p}),
                       "SGD: parameter 1 was given twice; pass each tensor once", ValueError);
  CHECK_THROWS_WITH_AS(optim::SGD({ones({2}).set_requires_grad(true) * 2.0}, {.lr = 0.1}),
                       doctest::Contains("SGD: parameter 0 is the result of an operation"),
                       ValueError);
  CHECK_THROWS_AS(optim::SGD({zeros({2}, i64)}), DTypeError);
  optim::SGD opt({p});
  CHECK_THROWS_AS(opt.set_lr(-1), ValueError);
  CHECK_THROWS_AS(opt.lr(1), IndexError);
}
