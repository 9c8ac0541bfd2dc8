// tests/contract/again_test.cpp -- activations that the tape makes again instead of keeping them
#include <doctest/doctest.h>
#include <flash/flash.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <vector>

using namespace flash;

namespace {

bool same_bits(const Tensor& a, const Tensor& b) {
  const auto x = a.to(f64).to_vector<double>(), y = b.to(f64).to_vector<double>();
  return a.shape() == b.shape() && x.size() == y.size() &&
         (x.empty() || std::memcmp(x.data(), y.data(), x.size() * sizeof(double)) == 0);
}

bool close(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && (a - b).abs().amax().item() <= 1e-5 * b.abs().amax().item();
}

struct Case {
  const char* name;
  std::function<Tensor(const Tensor&)> activation;
};
const Case kCases[] = {
    {"gelu", [](const Tensor& x) { return gelu(x); }},
    {"silu", [](const Tensor& x) { return silu(x); }},
    {"leaky_relu", [](const Tensor& x) { return leaky_relu(x, 0.125); }},
};

/// Gradients of x and both weights; with `keep` the layer gets a copy, which the tape must keep.
std::vector<Tensor> gradients(const Case& c, const Shape& shape, DType dtype, bool keep,
                              bool flush) {
  manual_seed(3);
  const std::int64_t width = shape[shape.rank() - 1];
  const Tensor x = (randn(shape) * 2).to(dtype).set_requires_grad(true);
  const Tensor v = randn({7, width}).to(dtype).set_requires_grad(true);
  const Tensor w = randn({5, 7}).to(dtype).set_requires_grad(true);
  Tensor a = c.activation(linear(x, v));
  if (keep) a = a.clone();
  const Tensor loss = square(linear(a, w)).to(f32).sum();
  a = Tensor();
  if (flush) loss.item();
  loss.backward();
  return {x.grad(), v.grad(), w.grad()};
}

}  // namespace

TEST_CASE("gradients don't tell whether an activation was kept or made again") {
  for (const Case& c : kCases)
    for (const Shape& shape : {Shape{3, 11}, Shape{2, 3, 11}, Shape{11}, Shape{0, 11}})
      for (const DType dtype : {f32, f64, bf16, f16})
        for (const bool flush : {false, true}) {
          CAPTURE(c.name);
          CAPTURE(shape.str());
          CAPTURE(name(dtype));
          CAPTURE(flush);
          const auto made = gradients(c, shape, dtype, false, flush);
          const auto kept = gradients(c, shape, dtype, true, flush);
          for (std::size_t i = 0; i < made.size(); ++i) CHECK(same_bits(made[i], kept[i]));
        }
}

TEST_CASE("an activation between two layers costs the tape one array, not two") {
  const std::int64_t rows = 512, width = 64, layers = 6;
  const Tensor x = rand({rows, width}), w = (rand({width, width}) - 0.5).set_requires_grad(true);
  x.eval();
  w.eval();
  const std::size_t before = memory_stats().live;
  Tensor y = x;
  for (int i = 0; i < layers; ++i) y = gelu(linear(y, w));
  const Tensor loss = y.sum();
  y = Tensor();
  loss.item();
  const auto unit = static_cast<std::size_t>(rows * width) * sizeof(float);
  CHECK(memory_stats().live - before <= layers * unit + 4096);
  loss.backward();
  CHECK((w.grad() - w.grad()).abs().sum().item() == 0);
}

TEST_CASE("a whole step keeps one array a layer and few more") {
  const std::int64_t rows = 512, width = 64, layers = 8;
  const Tensor x = rand({rows, width}), w = (rand({width, width}) - 0.5).set_requires_grad(true);
  x.eval();
  w.eval();
  const auto step = [&] {
    Tensor y = x;
    for (int i = 0; i < layers; ++i) y = gelu(linear(y, w));
    return grad({y.sum()}, {w})[0];
  };
  step().eval();
  const std::size_t before = memory_stats().live;
  reset_peak_memory_stats();
  step().eval();
  const auto unit = static_cast<std::size_t>(rows * width) * sizeof(float);
  const std::size_t peak = memory_stats().peak - before;
  // One more is the gradient that comes, one that goes, an eighth the block's rounding; and the
  // weight's gradients.
  CHECK(peak <= (layers + 2) * unit * 9 / 8 + layers * width * width * sizeof(float) * 2);
  CHECK(peak > (layers - 1) * unit);  // the count is alive
}

TEST_CASE(
    "what was written over an activation does not reach the gradient of the layer behind it") {
  manual_seed(5);
  const Tensor x = randn({4, 6}).set_requires_grad(true);
  const Tensor w = randn({3, 6}).set_requires_grad(true);
  const auto gradient = [&](const std::function<void(Tensor&)>& before,
                            const std::function<void(Tensor&)>& after) {
    Tensor a = gelu(x);
    before(a);
    const Tensor y = linear(a, w);
    after(a);
    return grad({square(y).sum()}, {w})[0];
  };
  const auto nothing = [](Tensor&) {};
  const Tensor plain = gradient(nothing, nothing);
  // A change behind the tape's back is what the layer saw; then the tape must keep it.
  const Tensor half = gradient([](Tensor& a) { a.detach().mul_(0.5); }, nothing);
  CHECK(close(half, plain * 0.25));  // y and a are both half as large
  const Tensor half_on_tape = gradient([](Tensor& a) { a.mul_(0.5); }, nothing);
  CHECK(close(half_on_tape, plain * 0.25));
  // A later change does no harm: the operand tells what the layer saw.
  CHECK(same_bits(gradient(nothing, [](Tensor& a) { a.mul_(2); }), plain));
}

TEST_CASE("what was written through a raw pointer is what the layer behind it saw") {
  const Tensor x = randn({4, 6}).set_requires_grad(true);
  const Tensor w = randn({3, 6}).set_requires_grad(true);
  const auto gradient = [&](float scale) {
    const Tensor a = gelu(x);
    float* p = a.detach().data<float>();
    for (int i = 0; i < 24; ++i) p[i] *= scale;
    return grad({square(linear(a, w)).sum()}, {w})[0];
  };
  CHECK(close(gradient(0.5f), gradient(1) * 0.25));
}

TEST_CASE("an activation of memory that others write to is kept") {
  std::vector<float> memory(24, 0.5f);
  const Tensor x = from_blob(memory.data(), {4, 6}, f32).set_requires_grad(true);
  const Tensor w = ones({3, 6}).set_requires_grad(true);
  const Tensor y = linear(gelu(x), w).sum();
  y.item();
  const Tensor seen = gelu(x.detach()).sum(0);
  seen.eval();
  std::fill(memory.begin(), memory.end(), 7.0f);
  CHECK(close(grad({y}, {w})[0], seen.expand({3, 6})));
}

TEST_CASE("an operand that was changed in place is named") {
  const Tensor x = randn({4, 6}), w = randn({3, 6}).set_requires_grad(true);
  const Tensor v = randn({6, 6}).set_requires_grad(true);
  Tensor h = linear(x, v);
  const Tensor y = linear(gelu(h), w);
  h.detach().mul_(2);
  CHECK_THROWS_WITH_AS(
      y.sum().backward(),
      doctest::Contains(
          "matmul saved a tensor of shape [4, 6], to make the result of gelu again for "
          "its gradient, but it was changed in place later"),
      AutogradError);
}

TEST_CASE("second gradients go through an activation that was made again") {
  manual_seed(7);
  const Tensor x = randn({3, 4}, f64).set_requires_grad(true);
  const Tensor w = randn({2, 4}, f64).set_requires_grad(true);
  const auto second = [&](bool keep) {
    Tensor a = gelu(x);
    if (keep) a = a.clone();
    const Tensor y = square(linear(a, w)).sum();
    const Tensor g = grad({y}, {w}, {}, true, true)[0];
    return grad({square(g).sum()}, {x, w});
  };
  const auto made = second(false), kept = second(true);
  for (std::size_t i = 0; i < made.size(); ++i) CHECK(same_bits(made[i], kept[i]));
}

TEST_CASE("a freed activation is still made again for another layer") {
  manual_seed(9);
  const Tensor x = randn({4, 6}).set_requires_grad(true);
  const Tensor w1 = randn({3, 6}).set_requires_grad(true);
  const Tensor w2 = randn({2, 6}).set_requires_grad(true);
  const Tensor a = gelu(x);
  const Tensor y1 = linear(a, w1).sum(), y2 = linear(a, w2).sum();
  y1.backward();  // frees what gelu saved
  const Tensor g = grad({y2}, {w2})[0];
  CHECK(close(g, a.detach().sum(0, true).expand({2, 6})));
  CHECK_THROWS_AS(linear(a, w2).sum().backward(), AutogradError);  // through gelu: it was freed
}

TEST_CASE("sums of many layers don't wait for the last one") {
  const Tensor x = rand({256, 256}), w = rand({256, 256}) * 0.01;
  x.eval();
  w.eval();
  const auto peak = [&](int layers) {
    reset_peak_memory_stats();
    const std::size_t before = memory_stats().live;
    Tensor h = x;
    std::vector<Tensor> sums;
    for (int i = 0; i < layers; ++i) {
      h = matmul(h, w);
      sums.push_back((h * h).sum(0));
    }
    h = Tensor();
    eval_all();
    return memory_stats().peak - before;
  };
  peak(12);
  CHECK(peak(12) < peak(4) * 3 / 2);
}
