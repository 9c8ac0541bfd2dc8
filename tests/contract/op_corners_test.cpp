// tests/contract/op_corners_test.cpp -- PyTorch's answers where definitions are easily got wrong
//
// The values were computed by PyTorch 2.15 on a CPU. The operation table compares with references
// written here; these come from outside.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include "contract/op_table.h"

using namespace contract;

namespace {

struct Corner {
  const char* what;
  std::function<Tensor()> value;
  DType dtype;
  std::vector<Wide> want;
};

Tensor ints(std::initializer_list<Scalar> v, DType d = i64) { return tensor(v, d); }

void run(const std::vector<Corner>& corners) {
  for (const char* evaluator : kEvaluators) {
    use_evaluator(evaluator);
    for (const Corner& c : corners) {
      const Array got = read(c.value());
      std::string wrong;
      if (got.dtype != c.dtype) wrong = "is " + std::string(name(got.dtype));
      if (got.v.size() != c.want.size()) wrong = "has shape " + got.shape.str();
      for (std::size_t i = 0; wrong.empty() && i < c.want.size(); ++i)
        if (!same(got.v[i], c.want[i]))
          wrong = "gives " + text(got.v[i]) + " at " + std::to_string(i) + ", PyTorch " +
                  text(c.want[i]);
      CHECK_MESSAGE(wrong.empty(), (std::string(c.what) + " (" + evaluator + ") " + wrong));
    }
  }
  use_evaluator("fuse");
}

const std::initializer_list<Scalar> kDividends = {5,  -5,   5, -5, -0.0, 0, 4,
                                                  -4, kInf, 5, -5, kNaN, 1},
                                    kDivisors = {3, 3, -3, -3, 2, -2, -2, 2, 2, kInf, kInf, 1, 0};

}  // namespace

TEST_CASE("quotients and remainders have PyTorch's signs, zeros and infinities") {
  run({
      {"remainder",
       [] { return remainder(tensor(kDividends), tensor(kDivisors)); },
       f32,
       {2, 1, -1, -2, -0.0, 0, 0, -0.0, kNaN, 5, kInf, kNaN, kNaN}},
      {"fmod",
       [] { return fmod(tensor(kDividends), tensor(kDivisors)); },
       f32,
       {2, -2, 2, -2, -0.0, 0, 0, -0.0, kNaN, 5, -5, kNaN, kNaN}},
      {"floor_divide",
       [] { return floor_divide(tensor(kDividends), tensor(kDivisors)); },
       f32,
       {1, -2, -2, 1, -0.0, -0.0, -2, -2, kNaN, 0, -1, kNaN, kInf}},
      {"0 // 0 and -1 // 0",
       [] {
         return floor_divide(tensor({0.0, -1.0}), tensor({0.0, 0.0}));
       },
       f32,
       {kNaN, -kInf}},
      {"remainder of integers",
       [] {
         return remainder(ints({5, -5, 5, -5}), ints({3, 3, -3, -3}));
       },
       i64,
       {2, 1, -1, -2}},
      {"fmod of integers",
       [] {
         return fmod(ints({5, -5, 5, -5}), ints({3, 3, -3, -3}));
       },
       i64,
       {2, -2, 2, -2}},
      {"floor_divide of integers",
       [] {
         return floor_divide(ints({5, -5, 5, -5}), ints({3, 3, -3, -3}));
       },
       i64,
       {1, -2, -2, 1}},
      {"u8 / 300",
       [] {
         return ints({1, 3}, u8) / 300;
       },
       f32,
       {1 / 300.0f, 3 / 300.0f}},
  });
}

TEST_CASE("powers and shifts of integers wrap as PyTorch's do") {
  run({
      {"pow",
       [] {
         return pow(ints({0, 1, -1, -1, 2}), ints({-1, -5, -5, -4, -1}));
       },
       i64,
       {0, 1, -1, 1, 0}},
      {"pow wraps",
       [] {
         return pow(ints({-2, 3}), ints({63, 40}));
       },
       i64,
       {-9223372036854775808.0, -6289078614652622815.0L}},
      {"pow of i8",
       [] {
         return pow(ints({0, 0, 2, -2}, i8), ints({0, -1, 7, 9}, i8));
       },
       i8,
       {1, 0, -128, 0}},
      {"pow of u8",
       [] {
         return pow(ints({0, 2, 16}, u8), ints({0, 8, 2}, u8));
       },
       u8,
       {1, 0, 0}},
      {"pow(bool, 2)",
       [] {
         return pow(ints({1, 0}, boolean), 2);
       },
       i64,
       {1, 0}},
      {"pow(i64, 0.5)", [] { return pow(ints({4}), 0.5); }, f32, {2}},
      {"square of bool",
       [] {
         return square(ints({1, 0}, boolean));
       },
       i64,
       {1, 0}},
      {"left shift of i8",
       [] {
         return bitwise_left_shift(ints({1, 1, 1, 1, -1}, i8), ints({7, 8, -1, 100, 3}, i8));
       },
       i8,
       {-128, 0, 0, 0, -8}},
      {"right shift of i8",
       [] {
         return bitwise_right_shift(ints({-128, 64, -1, 100, -5}, i8),
                                    ints({7, 8, -1, 100, 3}, i8));
       },
       i8,
       {-1, 0, -1, 0, -1}},
      {"left shift of i64",
       [] {
         return bitwise_left_shift(ints({1, 1, 1, 1}), ints({63, 64, -1, 100}));
       },
       i64,
       {-9223372036854775808.0, 0, 0, 0}},
      {"right shift of i64",
       [] {
         return bitwise_right_shift(ints({-8, 8, -8, 8}), ints({63, 64, -1, 100}));
       },
       i64,
       {-1, 0, -1, 0}},
      {"shifts of u8",
       [] {
         return cat({bitwise_right_shift(ints({200, 200}, u8), ints({7, 200}, u8)),
                     bitwise_left_shift(ints({200, 200}, u8), ints({1, 200}, u8))});
       },
       u8,
       {1, 0, 144, 0}},
      {"abs and neg of the least i8",
       [] {
         return cat({abs(ints({-128}, i8)), neg(ints({-128}, i8))});
       },
       i8,
       {-128, -128}},
  });
}

TEST_CASE("powers of floats have PyTorch's corners") {
  const std::initializer_list<Scalar> x = {0, -0.0, -0.0, 1,    -1,    kNaN,
                                           2, -8,   0,    kInf, -kInf, -kInf},
                                      y = {0,     -1,      -2,    kNaN, kInf, 0,
                                           -kInf, 1.0 / 3, -kInf, -1,   3,    -3};
  run({
      {"pow",
       [&] { return pow(tensor(x), tensor(y)); },
       f32,
       {1, -kInf, kInf, 1, 1, 1, 0, kNaN, kInf, 0, -kInf, -0.0}},
      {"pow(x, 0.5) and pow(x, -0.5)",
       [] {
         return cat({pow(tensor({4.0, 0.0}), 0.5), pow(tensor({4.0, 0.0}), -0.5)});
       },
       f32,
       {2, 0, 0.5, kInf}},
      {"rsqrt and reciprocal",
       [] {
         return cat({rsqrt(tensor({0, -0.0, -1})), reciprocal(tensor({0, -0.0}))});
       },
       f32,
       {kInf, -kInf, kNaN, kInf, -kInf}},
  });
}

TEST_CASE("NaN passes through or wins as it does in PyTorch") {
  run({
      {"maximum",
       [] {
         return maximum(tensor({kNaN, 1}), tensor({1, kNaN}));
       },
       f32,
       {kNaN, kNaN}},
      {"amax",
       [] {
         return amax(tensor({kNaN, kInf}));
       },
       f32,
       {kNaN}},
      {"argmax",
       [] {
         return argmax(tensor({1, kNaN, 3, kNaN}), 0);
       },
       i64,
       {1}},
      {"argmin",
       [] {
         return argmin(tensor({1, kNaN, 3, kNaN}), 0);
       },
       i64,
       {1}},
      {"argmax of equals",
       [] {
         return argmax(ints({3, 1, 3}), 0);
       },
       i64,
       {0}},
      {"logical_and",
       [] {
         return logical_and(tensor({kNaN, 0, -0.0, 1}), tensor({1.0, 1.0, 1.0, 1.0}));
       },
       boolean,
       {1, 0, 0, 1}},
      {"any",
       [] {
         return any(tensor({0, kNaN}));
       },
       boolean,
       {1}},
      {"any of -0", [] { return any(tensor({-0.0})); }, boolean, {0}},
      {"all", [] { return all(tensor({kNaN})); }, boolean, {1}},
      {"clamp",
       [] {
         return clamp(tensor({kNaN, 1, 5}), 0, 2);
       },
       f32,
       {kNaN, 1, 2}},
      {"clamp between reversed bounds",
       [] {
         return clamp(tensor({1.0, 5.0}), 2, 0);
       },
       f32,
       {0, 0}},
      {"leaky_relu",
       [] {
         return leaky_relu(tensor({-0.0, kNaN, -kInf}));
       },
       f32,
       {-0.0, kNaN, -kInf}},
      {"gelu",
       [] {
         return gelu(tensor({-kInf, kInf, kNaN, -0.0}));
       },
       f32,
       {kNaN, kInf, kNaN, -0.0}},
      {"silu",
       [] {
         return silu(tensor({-kInf, kInf, kNaN, -0.0}));
       },
       f32,
       {kNaN, kInf, kNaN, -0.0}},
      {"max_pool2d",
       [] {
         return max_pool2d(tensor({1, kNaN, 2, 3}).view({1, 1, 2, 2}), {});
       },
       f32,
       {kNaN}},
      {"max_pool2d of -inf",
       [] {
         return max_pool2d(full({1, 1, 2, 2}, -kInf), {});
       },
       f32,
       {-kInf}},
      {"as bool",
       [] {
         return tensor({kNaN, 0.5, -0.0, kInf}).to(boolean);
       },
       boolean,
       {1, 1, 0, 1}},
  });
}

TEST_CASE("softmax and its kin take infinities as PyTorch's do") {
  run({
      {"softmax with inf",
       [] {
         return softmax(tensor({1, kInf}), 0);
       },
       f32,
       {kNaN, kNaN}},
      {"softmax of -inf",
       [] {
         return softmax(tensor({-kInf, -kInf}), 0);
       },
       f32,
       {kNaN, kNaN}},
      {"softmax with -inf",
       [] {
         return softmax(tensor({1, -kInf}), 0);
       },
       f32,
       {1, 0}},
      {"log_softmax with -inf",
       [] {
         return log_softmax(tensor({1, -kInf}), 0);
       },
       f32,
       {0, -kInf}},
      {"logsumexp of -inf",
       [] {
         return logsumexp(tensor({-kInf, -kInf}), 0);
       },
       f32,
       {-kInf}},
      {"logsumexp with inf",
       [] {
         return logsumexp(tensor({kInf, -kInf}), 0);
       },
       f32,
       {kInf}},
      {"logsumexp with NaN",
       [] {
         return logsumexp(tensor({kNaN, kInf}), 0);
       },
       f32,
       {kNaN}},
      {"logsumexp of a number", [] { return logsumexp(scalar_tensor(3, f32), 0); }, f32, {3}},
      {"softmax of a number", [] { return softmax(scalar_tensor(3, f32), 0); }, f32, {1}},
      {"cross_entropy of ignored rows",
       [] {
         return cross_entropy(ones({2, 3}), ints({-100, -100}));
       },
       f32,
       {kNaN}},
      {"cross_entropy of no rows",
       [] {
         return cross_entropy(ones({0, 3}), zeros({0}, i64), Reduction::kSum);
       },
       f32,
       {0}},
  });
}

TEST_CASE("reductions over nothing and over one are PyTorch's") {
  run({
      {"sum", [] { return sum(ones({0})); }, f32, {0}},
      {"prod", [] { return prod(ones({0})); }, f32, {1}},
      {"mean", [] { return mean(ones({0})); }, f32, {kNaN}},
      {"any", [] { return any(ones({0})); }, boolean, {0}},
      {"all", [] { return all(ones({0})); }, boolean, {1}},
      {"var", [] { return var(ones({0})); }, f32, {kNaN}},
      {"var of one", [] { return var(ones({1})); }, f32, {kNaN}},
      {"std of one, corrected by 0", [] { return flash::std(ones({1}), {}, false, 0); }, f32, {0}},
      {"var of two, corrected by 3",
       [] {
         return var(tensor({1.0, 2.0}), {}, false, 3);
       },
       f32,
       {kInf}},
      {"logsumexp", [] { return logsumexp(ones({0}), 0); }, f32, {-kInf}},
      {"sum of -0",
       [] {
         return sum(tensor({-0.0, -0.0}));
       },
       f32,
       {0}},
      {"sum of one -0", [] { return sum(tensor({-0.0})); }, f32, {0}},
      {"prod of -0", [] { return prod(tensor({-0.0})); }, f32, {-0.0}},
      {"sum of inf and -inf",
       [] {
         return sum(tensor({kInf, -kInf}));
       },
       f32,
       {kNaN}},
      {"prod of 0 and inf",
       [] {
         return prod(tensor({0, kInf}));
       },
       f32,
       {kNaN}},
      {"sum of bool", [] { return sum(ones({3}, boolean)); }, i64, {3}},
      {"std of f16",
       [] {
         return flash::std(tensor({1, 2, 4}, f16));
       },
       f16,
       {1.52734375}},
      {"matmul over nothing",
       [] {
         return matmul(ones({1, 0}), ones({0, 2}));
       },
       f32,
       {0, 0}},
      {"mse_loss of nothing", [] { return mse_loss(ones({0}), ones({0})); }, f32, {kNaN}},
  });
  CHECK_THROWS_AS(amax(ones({0})), ShapeError);
  CHECK_THROWS_AS(amax(ones({0, 3}), {0}), ShapeError);
  CHECK(amax(ones({0, 3}), {1}).numel() == 0);
  CHECK_THROWS_AS(argmax(ones({0, 3}), 0), ShapeError);
}

TEST_CASE("conversions, constants and writes give PyTorch's dtypes and values") {
  run({
      {"floats to i8",
       [] {
         return tensor({1.9, -1.9}).to(i8);
       },
       i8,
       {1, -1}},
      {"integers to i8",
       [] {
         return ints({300, -1, 65541}).to(i8);
       },
       i8,
       {44, -1, 5}},
      {"u8 times 300", [] { return ones({1}, u8) * 300; }, u8, {44}},
      {"f16 below 0.1", [] { return tensor({0.1}, f16) < 0.1; }, boolean, {0}},
      {"i32 against a float", [] { return ints({16777217}, i32) == 16777216.0; }, boolean, {1}},
      {"round",
       [] {
         return round(tensor({0.5, 1.5, 2.5, -0.5, -1.5}));
       },
       f32,
       {0, 2, 2, -0.0, -2}},
      {"sign of u8",
       [] {
         return sign(ints({0, 5}, u8));
       },
       u8,
       {0, 1}},
      {"arange of floats",
       [] { return arange(0.0, 1.0, 0.3); },
       f32,
       {0, static_cast<float>(0.3), static_cast<float>(0.6), static_cast<float>(0.9)}},
      {"arange downwards", [] { return arange(5, 0, -2); }, i64, {5, 3, 1}},
      {"where with a number",
       [] {
         return where(ints({1, 0}, boolean), ints({1, 2}), 1.5);
       },
       f32,
       {1, 1.5}},
      {"fill_ of bool", [] { return zeros({2}, boolean).fill_(2); }, boolean, {1, 1}},
      {"fill_ of integers", [] { return zeros({1}, i64).fill_(2.7); }, i64, {2}},
      {"add_ of i64 to i8",
       [] {
         return ints({1, 2}, i8).add_(ints({300, 1}));
       },
       i8,
       {45, 3}},
      {"add_ of f64 to f32", [] { return ones({1}).add_(ones({1}, f64)); }, f32, {2}},
      {"avg_pool2d, padded",
       [] {
         return avg_pool2d(ones({1, 1, 3, 3}),
                           {.stride_h = 2, .stride_w = 2, .padding_h = 1, .padding_w = 1});
       },
       f32,
       {0.25, 0.5, 0.5, 1}},
      {"avg_pool2d, padding not counted",
       [] {
         return avg_pool2d(ones({1, 1, 3, 3}), {.stride_h = 2,
                                                .stride_w = 2,
                                                .padding_h = 1,
                                                .padding_w = 1,
                                                .count_include_pad = false});
       },
       f32,
       {1, 1, 1, 1}},
      {"nll_loss with an ignored row",
       [] {
         return nll_loss(ones({2, 3}), ints({0, -100}));
       },
       f32,
       {-1}},
  });
  CHECK_THROWS_AS(ints({1, 2}).add_(1.5), DTypeError);
  CHECK_THROWS_AS(ints({1, 2}).div_(2), DTypeError);
  CHECK_THROWS_AS(ones({1}, boolean).add_(1), DTypeError);
  CHECK_THROWS_AS(ints({1}).add_(ints({1}), 2.5), DTypeError);
  CHECK_THROWS_AS(pow(ints({3}), -1), ValueError);
}

TEST_CASE("empty braces are the default options, not the dtype that is 0") {
  CHECK(full({2}, 1.5, {}).dtype() == f32);
  CHECK(zeros({2}, {}).dtype() == f32);
  CHECK(ones({2}, {}).dtype() == f32);
  CHECK(full({2}, 1.5, f64).dtype() == f64);
  CHECK(full({2}, 1.5).dtype() == f32);
  CHECK(zeros({2}, {.dtype = i32}).dtype() == i32);
  CHECK(ones({2}, {.requires_grad = true}).requires_grad());
}

TEST_CASE("an operation that has nothing to do still gives a tensor of its own") {
  Tensor x = ints({1, 2, 3});
  using Unary = Tensor (*)(const Tensor&);
  for (const Unary f :
       {Unary{floor}, Unary{ceil}, Unary{round}, Unary{trunc}, Unary{abs}, Unary{square}}) {
    Tensor y = f(x);
    y.fill_(7);
    CHECK(read(x).v == std::vector<Wide>{1, 2, 3});
  }
  Tensor mask = ints({1, 0}, boolean);
  sign(mask).fill_(1);
  CHECK(read(mask).v == std::vector<Wide>{1, 0});
  Tensor one = ones({1, 3});
  using Reduce = Tensor (*)(const Tensor&, const Dims&, bool);
  for (const Reduce f : {Reduce{sum}, Reduce{mean}, Reduce{prod}, Reduce{amax}, Reduce{amin}}) {
    f(one, {0}, false).fill_(7);  // a reduction of one term is that term
    CHECK(read(one).v == std::vector<Wide>{1, 1, 1});
  }
}

TEST_CASE("a write replays a plan whose view had another stride along its one element") {
  for (const char* evaluator : {"interpret", "eager", "fuse"}) {
    use_evaluator(evaluator);
    for (const Shape& s : {Shape{1, 0, 4}, Shape{1, 5, 8}}) {
      Tensor x = zeros(s);
      x.eval();
      x.transpose(2, 0).fill_(3);
      CHECK(sum(x).item() == 3.0 * static_cast<double>(s.numel()));
    }
  }
  use_evaluator("fuse");
}

// By hand: of the five taps the third alone meets pixels, each the next one's.
TEST_CASE("a convolution's taps may lie further apart than 32 bits can say") {
  Tensor x = arange(5).to(f32).reshape({1, 1, 5, 1}).detach(), w = ones({1, 1, 5, 1});
  x.eval();
  for (Tensor* t : {&x, &w}) t->set_requires_grad();
  const Tensor y = conv2d(x, w, {}, {.padding_h = INT32_MAX, .dilation_h = 1 << 30});
  CHECK(y.detach().to_vector<float>() == std::vector<float>{1, 2, 3});
  y.sum().backward();
  CHECK(x.grad().to_vector<float>() == std::vector<float>{0, 1, 1, 1, 0});
  CHECK(w.grad().to_vector<float>() == std::vector<float>{0, 0, 6, 0, 0});
}
