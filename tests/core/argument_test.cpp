// tests/core/argument_test.cpp -- extreme and wrong arguments, refused by the operation's own name
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <sstream>
#include <vector>

#include "core/error.h"
#include "core/ops/create.h"
#include "core/ops/elementwise.h"
#include "core/ops/linalg.h"
#include "core/ops/shape_ops.h"
#include "core/scope.h"
#include "core/tensor.h"

using namespace flash;

TEST_CASE("arange counts its elements without overflow") {
  const std::int64_t step = std::int64_t{1} << 61;
  const std::vector<std::int64_t> up = arange(INT64_MIN, INT64_MAX, step).to_vector<std::int64_t>();
  REQUIRE(up.size() == 8);
  CHECK(up.front() == INT64_MIN);
  CHECK(up.back() == 3 * step);
  CHECK(arange(INT64_MAX, INT64_MIN, -step).numel() == 8);
  CHECK(arange(INT64_MAX - 2, INT64_MAX).numel() == 2);
  const char* const many = "arange: the range has more elements than a 64-bit count of bytes holds";
  CHECK_THROWS_WITH_AS(arange(INT64_MAX, INT64_MAX - 1),  // nearer than doubles tell apart
                       "arange: the step leads away from the end", ValueError);
  CHECK_THROWS_WITH_AS(arange(0.0, 1e30, 1.0), many, ShapeError);
  CHECK_THROWS_WITH_AS(arange(INT64_MIN, INT64_MAX), many, ShapeError);
}

TEST_CASE("a number that no i64 holds is refused, not wrapped") {
  CHECK_THROWS_WITH_AS(full({2}, UINT64_MAX),
                       "scalar: 18446744073709551615 is more than an i64 holds "
                       "(9223372036854775807); give a double where its digits do not matter",
                       ValueError);
  CHECK(full({1}, std::uint64_t{INT64_MAX}, i64).item<std::int64_t>() == INT64_MAX);
}

TEST_CASE("tensors take the kind of the numbers that they are made of, as PyTorch's do") {
  CHECK(full({2}, 7).dtype() == i64);
  CHECK(full({2}, true).dtype() == boolean);
  CHECK(full({2}, 7.0).dtype() == f32);
  CHECK(full({2}, 7, {}).dtype() == i64);
  CHECK(full({2}, 7, f16).dtype() == f16);
  CHECK(zeros({2}).dtype() == f32);
  CHECK(tensor({1, 2}).dtype() == i64);
  CHECK(tensor({std::uint8_t{1}}).dtype() == i64);
  CHECK(tensor({true, false}).to_vector<bool>() == std::vector<bool>{true, false});
  CHECK(tensor({true}).dtype() == boolean);
  CHECK(tensor({1.0f}).dtype() == f32);
  CHECK(tensor({1, 2.5}).dtype() == f32);
  CHECK(tensor({}).dtype() == f32);
  CHECK(tensor({1, 2}, f32).dtype() == f32);
  // More digits than a double holds.
  const std::int64_t big = (std::int64_t{1} << 53) + 1;
  CHECK(tensor({big}).item<std::int64_t>() == big);
  CHECK_THROWS_AS(tensor({1, 2}, {.requires_grad = true}), AutogradError);
  CHECK(tensor({1.0, 2.0}, {.requires_grad = true}).requires_grad());
}

TEST_CASE("integers of several types are integers, to the last digit") {
  CHECK(tensor({1, 16777217L}).to_vector<std::int64_t>() == std::vector<std::int64_t>{1, 16777217});
  CHECK(tensor({1u, 2}).dtype() == i64);
  CHECK(tensor({true, 2}).dtype() == i64);
  CHECK(tensor({true, 0.5f}).dtype() == f32);
}

TEST_CASE("a number that the tensor's integers don't hold is refused where it decides") {
  const Tensor x = tensor({100, 50}, i8);
  CHECK_THROWS_WITH_AS(lt(x, 200),
                       "lt: 200 is not a number that i8 holds; convert the tensor with to(), or "
                       "choose another dtype",
                       ValueError);
  CHECK_THROWS_AS(eq(300, full({1}, 44, u8)), ValueError);
  CHECK_THROWS_AS(ne(full({1}, 0, i32), std::int64_t{4294967296}), ValueError);
  CHECK_THROWS_AS(clamp(x, 0, 200), ValueError);
  CHECK_THROWS_AS(maximum(x, 200), ValueError);
  CHECK_THROWS_AS(where(x > 60, x, 300), ValueError);
  CHECK_THROWS_AS(full({1}, 300, u8), ValueError);
  CHECK_THROWS_AS(full({1}, -1, u8), ValueError);
  CHECK_THROWS_AS(full({1}, 5e9, i32), ValueError);
  CHECK_THROWS_AS(full({1}, std::nan(""), i32), ValueError);
  CHECK_THROWS_AS(full({1}, 0x1p63, i64), ValueError);
  CHECK_THROWS_AS(zeros({1}, i32).fill_(5e9), ValueError);
  CHECK(full({1}, -0x1p63, i64).item<std::int64_t>() == INT64_MIN);
  CHECK(full({1}, 127.9, i8).item<int>() == 127);
  CHECK((x + 200).to_vector<std::int8_t>() == std::vector<std::int8_t>{44, -6});
}

TEST_CASE("item gives what its type holds, or an error") {
  CHECK(tensor({0.5}).item<bool>());
  CHECK(tensor({std::nan("")}).item<bool>());
  CHECK_FALSE(tensor({0.0}).item<bool>());
  CHECK(tensor({2.9}).item<int>() == 2);
  CHECK(tensor({-2.9}).item<std::int64_t>() == -2);
  CHECK_THROWS_WITH_AS(tensor({3e9}, f64).item<int>(),
                       "item: 3000000000 is not a number of the wanted type (-2147483648 to "
                       "2147483647)",
                       ValueError);
  CHECK_THROWS_AS(tensor({std::nan("")}).item<int>(), ValueError);
  CHECK_THROWS_AS(tensor({1e30}).item<std::int64_t>(), ValueError);
  CHECK_THROWS_AS(tensor({-1}).item<std::uint64_t>(), ValueError);
  CHECK(tensor({INT64_MAX}).item<std::uint64_t>() == INT64_MAX);
}

TEST_CASE("a device that is not there is refused when it is named") {
  CHECK_THROWS_WITH_AS(Device(DeviceType::kCpu, 1),
                       doctest::Contains("device: 'cpu:1' is not there; there are: cpu"),
                       DeviceError);
  CHECK_THROWS_AS(Device("cpu:1"), DeviceError);
  for (const char* name : {"", "gpu", "cuda:", "cuda:-1", "cuda:x", "cuda:0:0", "cuda: 0", "CPU",
                           "cuda:99999999999999999999"})
    CHECK_THROWS_WITH_AS(Device(std::string_view(name)),
                         doctest::Contains("names no device (want cpu, null, cuda:N"), DeviceError);
  CHECK_THROWS_AS(set_default_device("cpu:1"), DeviceError);
  CHECK_THROWS_AS(runtime(Device::unchecked(DeviceType::kCuda, -1)), DeviceError);
  CHECK(parse_device("hip:3") == std::pair(DeviceType::kHip, 3));
  CHECK_THROWS_WITH_AS(Device("vulkan:7"), doctest::Contains("'vulkan:7' is not there"),
                       DeviceError);
}

TEST_CASE("whether a device is there, or a tensor on it, is asked by name") {
  const std::string null = "null";
  CHECK(is_available(null));
  CHECK(is_available("cpu"));
  CHECK_FALSE(is_available("cpu:1"));
  CHECK_FALSE(is_available("vulkan:7"));
  CHECK_THROWS_WITH_AS(is_available("gpu"), doctest::Contains("'gpu' names no device"),
                       DeviceError);

  const Tensor t = zeros({2}, {.device = null});
  CHECK(t.device() == null);
  CHECK("null" == t.device());
  CHECK(t.device() != "cpu");
  CHECK(t.device() != "vulkan:7");
  CHECK(zeros({2}).to(std::string("cpu")).device() == "cpu:0");
  CHECK_THROWS_AS(static_cast<void>(t.device() == "gpu"), DeviceError);
}

TEST_CASE("ranges, single numbers and drawn integers take options") {
  const Tensor a = arange(3, {.dtype = f16, .device = "null"}), b = arange(1, 7, 2, {.dtype = i32}),
               c = arange(0.0, 1.0, {.device = "null", .requires_grad = true}),
               d = randint(0, 3, {2}, {.dtype = u8, .device = "null"}),
               e = scalar_tensor(2, f32, "null");
  CHECK(a.dtype() == f16);
  CHECK(b.dtype() == i32);
  CHECK(b.to_vector<std::int32_t>() == std::vector<std::int32_t>{1, 3, 5});
  CHECK(c.dtype() == f32);
  CHECK(c.requires_grad());
  CHECK(d.dtype() == u8);
  for (const Tensor& t : {a, c, d, e}) CHECK(t.device() == "null");
  CHECK(arange(3, f16).dtype() == f16);
  CHECK(randint(0, 3, {2}, i32).dtype() == i32);
  CHECK(arange(250, 256, u8).numel() == 6);
  CHECK(arange(300, 300, u8).numel() == 0);
  CHECK_THROWS_WITH_AS(arange(253, 260, u8),
                       doctest::Contains("arange: 259 is not a number that u8 holds"), ValueError);
  CHECK_THROWS_AS(arange(0.0, 1e20, 1e19, i64), ValueError);
  CHECK_THROWS_AS(randint(0, 300, {2}, u8), ValueError);
  CHECK_THROWS_AS(randint(-5, 0, {2}, u8), ValueError);
}

TEST_CASE("tensors are made on the default device") {
  const Device before = default_device();
  set_default_device("null");
  CHECK(randint(0, 3, {2}).device() == Device("null"));
  CHECK(rand({2}).device() == Device("null"));
  const Tensor there = zeros({2}), scalar = scalar_tensor(1, f32), numbers = arange(3),
               drawn = rand({2}), copied = from_vector(std::vector<float>{1, 2}),
               here = zeros({2}, {.device = "cpu"});
  float value = 1;
  const Tensor wrapped = from_blob(&value, {1}, f32);
  set_default_device(before);
  for (const Tensor& t : {there, scalar, numbers, drawn, copied, there + 1})
    CHECK(t.device() == Device("null"));
  CHECK(here.device() == Device());
  CHECK(wrapped.device() == Device());
}

TEST_CASE("every device has a slot of its own") {
  CHECK(Device().slot() == 0);
  CHECK(Device::unchecked(DeviceType::kVulkan, Device::kOfOneType - 1).slot() ==
        Device::kSlots - 1);
}

TEST_CASE("unsqueeze speaks of the tensor's own rank") {
  CHECK_THROWS_WITH_AS(zeros({2, 3}).unsqueeze(5),
                       "unsqueeze: dim 5 is out of range for a tensor of rank 2 (want -3 to 2)",
                       IndexError);
  CHECK(zeros({2, 3}).unsqueeze(-3).shape() == Shape{1, 2, 3});
}

TEST_CASE("linspace names itself") {
  CHECK_THROWS_WITH_AS(linspace(0, 1, INT64_MAX), doctest::Contains("linspace: "), ShapeError);
}

TEST_CASE("windows with extreme options are refused") {
  const Tensor x = ones({1, 1, 4, 4}), w = ones({1, 1, 3, 3});
  const std::int64_t huge = INT64_MAX / 2;
  CHECK_THROWS_WITH_AS(conv2d(x, w, {}, {.padding_h = huge}),
                       "conv2d: stride, padding or dilation is 4611686018427387903; at most "
                       "2147483647",
                       ValueError);
  CHECK_THROWS_AS(conv2d(x, w, {}, {.dilation_w = huge}), ValueError);
  CHECK_THROWS_AS(conv2d(x, w, {}, {.stride_w = huge}), ValueError);
  // 2^32 rows and columns of outputs: more bytes than 64 bits count.
  CHECK_THROWS_AS(conv2d(x, w, {}, {.padding_h = INT32_MAX, .padding_w = INT32_MAX}), ShapeError);
  CHECK_THROWS_WITH_AS(conv2d(x, w, {}, {.dilation_h = INT32_MAX}),
                       "conv2d: a window of 3 (dilation 2147483647) is larger than dimension 2 of "
                       "the input [1, 1, 4, 4], padded by 0",
                       ShapeError);
  CHECK_THROWS_AS(max_pool2d(x, {.kernel_h = INT64_MAX, .padding_h = huge}), ValueError);
  CHECK_THROWS_AS(avg_pool2d(x, {.kernel_w = INT64_MAX, .stride_w = 1}), ShapeError);
}

TEST_CASE("eye names itself") {
  CHECK_THROWS_WITH_AS(
      eye(-1), "eye: shape [-1, -1] has the negative size -1 in dim 0 (want sizes of 0 or more)",
      ShapeError);
}

TEST_CASE("one_hot tells an undefined index from one of a wrong dtype") {
  CHECK_THROWS_WITH_AS(one_hot(Tensor(), 3), "one_hot: an operand is an undefined tensor",
                       ValueError);
  CHECK_THROWS_WITH_AS(one_hot(zeros({2}), 3), "one_hot: the index must be an integer tensor",
                       DTypeError);
}

TEST_CASE("a product whose batches do not fit names both shapes whole") {
  CHECK_THROWS_WITH_AS(matmul(zeros({2, 3, 4}), zeros({3, 4, 5})),
                       "matmul: shapes [2, 3, 4] and [3, 4, 5] do not fit (the batch dimensions "
                       "are [2] and [3])",
                       ShapeError);
}

TEST_CASE("a bound that is NaN leaves no value of clamp") {
  const Tensor x = tensor({1.0, 2.0});
  for (const Tensor& y : {clamp(x, NAN, 5), clamp(x, 0, NAN), clamp(x, NAN), clamp(x, {}, NAN)})
    CHECK(isnan(y).to_vector<bool>() == std::vector<bool>{true, true});
  CHECK(clamp(tensor({1, 2}), NAN, 5).dtype() == f32);
}

TEST_CASE("lerp gives both ends exactly, and integers by integers") {
  const Tensor i = tensor({1, 2, 100}), j = tensor({3, std::int64_t{1} << 60, 200});
  for (const int w : {-1, 0, 1, 2}) CHECK(lerp(i, j, w).dtype() == i64);
  CHECK(lerp(i, j, 1).to_vector<std::int64_t>() == j.to_vector<std::int64_t>());
  CHECK(lerp(i, j, 1.0).dtype() == f32);
  const Tensor a = tensor({1e30, 1.0, -3.0}), b = tensor({1.0, 1e-30, 0.1});
  CHECK(lerp(a, b, 0).to_vector<float>() == a.to_vector<float>());
  CHECK(lerp(a, b, 1).to_vector<float>() == b.to_vector<float>());
  CHECK(lerp(a, b, 2).to_vector<float>()[1] == -1.0f);
}

TEST_CASE("fma takes 0-d operands by their category, as operations on two do") {
  const Tensor half = ones({2}, f16), one = ones({}), wide = ones({}, f64);
  CHECK(fma(half, half, one).dtype() == f16);
  CHECK(fma(one, half, wide).dtype() == f16);
  CHECK(fma(one, wide, half.to(f32)).dtype() == f32);
  CHECK(fma(one, one, wide).dtype() == f64);
}

TEST_CASE("from_blob refuses a null pointer to elements") {
  CHECK_THROWS_WITH_AS(
      from_blob(nullptr, {2, 3}, f32),
      "from_blob: the pointer is null, and the tensor of shape [2, 3] is not empty", ValueError);
  CHECK(from_blob(nullptr, {0, 3}, f32).numel() == 0);
}

TEST_CASE("an error shows the path of labels around it, the composites' own too") {
  const Scope outer("encoder");
  CHECK_THROWS_WITH_AS(matmul(ones({2, 2}), ones({2, 2}, f64)),
                       doctest::Contains("matmul (in encoder): operands are"), DTypeError);
  CHECK_THROWS_WITH_AS(mse_loss(ones({2}), ones({2}, {.device = "null"})),
                       doctest::Contains("(in encoder/mse_loss): operands are on"), DeviceError);
  {
    const Scope inner("layer 3");
    CHECK(scope_name(current_marks().scope) == "encoder/layer 3");
  }
  CHECK(scope_name(current_marks().scope) == "encoder");
}

TEST_CASE("comparisons speak of themselves, in the order they were given") {
  CHECK_THROWS_WITH_AS(gt(ones({2}), ones({3})), doctest::Contains("gt: shapes [2] and [3]"),
                       ShapeError);
  CHECK_THROWS_WITH_AS(ge(ones({2}), ones({3})), doctest::Contains("ge: shapes [2] and [3]"),
                       ShapeError);
  CHECK_THROWS_WITH_AS(logical_xor(ones({2}), ones({3})),
                       doctest::Contains("logical_xor: shapes [2] and [3]"), ShapeError);
}

TEST_CASE("zeros and ones speak of themselves") {
  CHECK_THROWS_WITH_AS(zeros({-1}), doctest::Contains("zeros: "), ShapeError);
  CHECK_THROWS_WITH_AS(ones({-1}), doctest::Contains("ones: "), ShapeError);
}

TEST_CASE("joins speak of what was asked for, and of what does not fit") {
  CHECK_THROWS_WITH_AS(
      stack({ones({2}), ones({3})}),
      "stack: shapes [2] and [3] differ; cat() joins along a dimension that is there", ShapeError);
  for (const bool stacked : {false, true}) {
    const std::vector<Tensor> apart = {ones({2}), ones({2}, {.device = "null"})};
    CHECK_THROWS_WITH_AS(stacked ? stack(apart) : cat(apart),
                         doctest::Contains("cat: operands are on "), DeviceError);
  }
  CHECK_THROWS_WITH_AS(cat({ones({2, 2}), ones({2})}), "cat: shapes [2, 2] and [2] differ in rank",
                       ShapeError);
  CHECK_THROWS_WITH_AS(cat({ones({2, 2}), ones({2, 3})}),
                       "cat: shapes [2, 2] and [2, 3] differ outside of dimension 0", ShapeError);
  CHECK_THROWS_WITH_AS(lerp(ones({2}), ones({3}), 0.5), doctest::Contains("(in lerp)"), ShapeError);
  CHECK_THROWS_WITH_AS(zeros({2, 6}).unflatten(1, {4, 2}),
                       "unflatten: dimension 1 of size 6 cannot become [4, 2]", ShapeError);
  CHECK_THROWS_AS(zeros({2, 6}).unflatten(1, {-1, 4}), ShapeError);
  CHECK_THROWS_AS(zeros({2, 0}).unflatten(1, {-1, 0}), ShapeError);
  CHECK(zeros({2, 0}).unflatten(1, {-1, 4}).shape() == Shape{2, 0, 4});
  CHECK(zeros({2, 6}).unflatten(1, {-1, 2}).shape() == Shape{2, 3, 2});
  CHECK_THROWS_WITH_AS(linear(ones({2, 3}, f64), ones({4, 3})),
                       "linear: the input is f64 and the weight f32; convert one with to()",
                       DTypeError);
}

TEST_CASE("cat takes tensors of shape [0] beside all others, as PyTorch does") {
  const Tensor joined = cat({zeros({0}), ones({2, 2}), zeros({0}), ones({1, 2})});
  CHECK(joined.shape() == Shape{3, 2});
  CHECK(joined.sum().item() == 6);
  CHECK(cat({zeros({0}, f64), ones({2, 2})}).dtype() == f64);
  CHECK(cat({zeros({0}), zeros({0})}).shape() == Shape{0});
  CHECK_THROWS_AS(cat({zeros({0, 3}), ones({2, 2})}), ShapeError);
}

TEST_CASE("narrow counts a negative start from the end") {
  const Tensor x = arange(0, 5);
  CHECK(x.narrow(0, -2, 2).to_vector<std::int64_t>() == std::vector<std::int64_t>{3, 4});
  CHECK_THROWS_AS(x.narrow(0, -2, 3), IndexError);
  CHECK_THROWS_AS(x.narrow(0, -6, 1), IndexError);
}

TEST_CASE("a device prints as its name") {
  std::ostringstream os;
  os << Device() << " " << Device("null");
  CHECK(os.str() == "cpu null");
}

TEST_CASE("products over no columns are zeros, whatever the rank") {
  CHECK(matmul(zeros({2, 3, 0}), zeros({0, 4})).shape() == Shape{2, 3, 4});
  CHECK(matmul(zeros({2, 3, 0}), zeros({0, 4})).sum().item() == 0);
  CHECK(matmul(zeros({2, 3, 0}), zeros({0})).shape() == Shape{2, 3});
  CHECK(linear(zeros({2, 3, 0}), zeros({4, 0}), ones({4})).sum().item() == 24);
}

TEST_CASE("remainders of large quotients are exact") {
  CHECK(fmod(full({1}, 3.4e38, f32), 3.0).item<float>() == std::fmod(3.4e38f, 3.0f));
  CHECK(fmod(full({1}, 3.4e38, f32), 1e-44).item<float>() == std::fmod(3.4e38f, 1e-44f));
  CHECK(fmod(full({1}, -1e17, f64), 3.0).item() == std::fmod(-1e17, 3.0));
  CHECK(fmod(full({1}, 1e60, f64), 3.7).item() == std::fmod(1e60, 3.7));
  CHECK(remainder(full({1}, -3.4e38, f32), 3.0).item<float>() == std::fmod(-3.4e38f, 3.0f) + 3);
  CHECK(std::isnan(fmod(full({1}, 1e300, f64), 3.7).item()));
}

TEST_CASE("rand that is refused takes no numbers") {
  manual_seed(1);
  const float first = rand({1}).item<float>();
  manual_seed(1);
  CHECK_THROWS_AS(rand({std::int64_t{1} << 61}), ShapeError);
  CHECK_THROWS_AS(rand({std::int64_t{1} << 62}, f64), ShapeError);
  CHECK(rand({1}).item<float>() == first);
}
