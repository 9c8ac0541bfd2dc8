// tests/kernels/vulkan_test.cpp -- tensors on a Vulkan device have the CPU's bits
#include <doctest/doctest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/storage.h"
#include "epilogue_testing.h"
#include "in_child.h"
#include "train/flash.h"
#include "vulkan_here.h"

using namespace flash;
using namespace flash::test;

namespace {

std::vector<unsigned char> bytes_of(const Tensor& t) {
  const Tensor here = t.to("cpu").contiguous();
  std::vector<unsigned char> bytes(static_cast<std::size_t>(here.numel()) *
                                   static_cast<std::size_t>(size_of(here.dtype())));
  if (!bytes.empty()) std::memcpy(bytes.data(), here.raw_data(), bytes.size());
  return bytes;
}

using Program = std::function<std::vector<Tensor>(const Tensor& x, const Tensor& y)>;

/// Runs a program over two operands of 37 × 53 on both devices.
void check_same(const char* name, const Program& program, DType dtype = DType::kF32) {
  CAPTURE(name);
  manual_seed(7);
  const Tensor x = randn({37, 53}).to(dtype), y = (rand({37, 53}) + 0.5f).to(dtype);
  const auto want = program(x, y);
  const auto got = program(x.to("vulkan"), y.to("vulkan"));
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    CHECK(got[i].device().str() == "vulkan:0");
    REQUIRE(got[i].shape() == want[i].shape());
    CHECK(bytes_of(got[i]) == bytes_of(want[i]));
  }
}

}  // namespace

TEST_CASE("creation and transfers: what is made or sent on Vulkan comes back unchanged") {
  if (vulkan_here() == nullptr) return;
  const Device gpu("vulkan");
  CHECK(full({3}, 2.5f, {.device = gpu}).sum().item<float>() == 7.5f);
  CHECK(bytes_of(zeros({1000}, {.device = gpu})) == bytes_of(zeros({1000})));
  // Longer than a piece of a transfer, of an odd length.
  manual_seed(3);
  const Tensor x = rand({(5 << 20) + 13});
  CHECK(bytes_of(x.to(gpu)) == bytes_of(x));
  CHECK(bytes_of(x.to(gpu).to("cpu").to(gpu) + 1.0f) == bytes_of(x + 1.0f));
  manual_seed(5);
  const Tensor here = randn({333});
  manual_seed(5);
  CHECK(bytes_of(randn({333}, {.device = gpu})) == bytes_of(here));
}

TEST_CASE("a child of fork() is told that a Vulkan device is its parent's") {
  if (vulkan_here() == nullptr) return;
  check_fork_leaves_gpu_alone(Device("vulkan"));
}

TEST_CASE("maps on Vulkan have the CPU's bits") {
  if (vulkan_here() == nullptr) return;
  for (const DType d : {DType::kF32, DType::kF64, DType::kF16, DType::kBF16}) {
    CAPTURE(std::string(flash::name(d)));
    check_same(
        "arithmetic",
        [](const Tensor& x, const Tensor& y) {
          return std::vector<Tensor>{x + y, x - y, x * y, x / y, sqrt(y), -x, abs(x)};
        },
        d);
    check_same(
        "functions",
        [](const Tensor& x, const Tensor& y) {
          return std::vector<Tensor>{exp(x), log(y), tanh(x), sin(x), erf(x), gelu(x), pow(y, x)};
        },
        d);
  }
}

TEST_CASE("work that is pending on Vulkan when the process exits" * doctest::skip()) {
  if (vulkan_here() == nullptr) return;
  Tensor x = ones({1 << 20}, {.device = "vulkan"});
  for (int i = 0; i < 8; ++i) (x = exp(x * -0.5) + i).eval();
}

TEST_CASE("a process exits while a Vulkan device works") {
  if (vulkan_here() == nullptr) return;
  const std::string me = std::filesystem::read_symlink("/proc/self/exe").string();
  const std::string line =
      "'" + me + "' -ns -tc='work that is pending on Vulkan*' > /dev/null 2>&1";
  for (int i = 0; i < 4; ++i) CHECK(std::system(line.c_str()) == 0);
}

// Mesa's comparisons of a converted integer with a literal were wrong.
TEST_CASE("integers of two widths in one kernel on Vulkan have the CPU's bits") {
  if (vulkan_here() == nullptr) return;
  for (const DType narrow : {DType::kBool, DType::kU8, DType::kI8, DType::kI16, DType::kI32}) {
    CAPTURE(std::string(flash::name(narrow)));
    check_same("shifts and powers", [&](const Tensor& x, const Tensor& y) {
      const Tensor a = (x * 1000).to(i64), n = (y * 60).to(narrow);
      return std::vector<Tensor>{bitwise_left_shift(a, n), bitwise_right_shift(a, n), pow(a, n)};
    });
  }
}

TEST_CASE("reductions and views on Vulkan have the CPU's bits") {
  if (vulkan_here() == nullptr) return;
  for (const DType d : {DType::kF32, DType::kF64, DType::kBF16}) {
    CAPTURE(std::string(flash::name(d)));
    check_same(
        "reductions",
        [](const Tensor& x, const Tensor& y) {
          return std::vector<Tensor>{x.sum(),      x.sum({0}),  x.sum({1}),    y.prod({1}),
                                     amax(x, {0}), x.mean({1}), softmax(x, 1), softmax(x, 0)};
        },
        d);
    check_same(
        "views",
        [](const Tensor& x, const Tensor& y) {
          return std::vector<Tensor>{x.transpose(0, 1) + y.transpose(0, 1),
                                     x.reshape({53, 37}) * 2.0f, x.narrow(1, 3, 20).contiguous(),
                                     (x.narrow(0, 1, 30) - y.narrow(0, 7, 30)).sum({0})};
        },
        d);
  }
}

TEST_CASE("a long sum is cut into parts on Vulkan and has the CPU's bits") {
  if (vulkan_here() == nullptr) return;
  manual_seed(11);
  const Tensor x = randn({3 << 18});
  CHECK(bytes_of(x.to("vulkan").sum()) == bytes_of(x.sum()));
  const Tensor tall = x.reshape({3 << 12, 64});
  CHECK(bytes_of(tall.to("vulkan").sum({0})) == bytes_of(tall.sum({0})));
}

TEST_CASE("gradients of elementwise programs on Vulkan have the CPU's bits") {
  if (vulkan_here() == nullptr) return;
  check_same("gradient", [](const Tensor& x, const Tensor& y) {
    Tensor w = x.detach().clone();
    w.set_requires_grad(true);
    Tensor loss = (gelu(w * y) + softmax(w, 1) * log(y)).mean();
    loss.backward();
    return std::vector<Tensor>{loss.detach(), w.grad()};
  });
}

// Lavapipe is given none by plans: the device is asked for it as a real GPU would be.
TEST_CASE("an epilogue on Vulkan is computed for each element of a leaf kernel's output") {
  DeviceRuntime* const vulkan = vulkan_here();
  if (vulkan == nullptr) return;
  DeviceRuntime& device = *vulkan;
  using cpu::testing::Array;
  struct Case {
    Prim op;
    std::vector<Shape> inputs;
    Shape out;
    std::vector<std::int64_t> attrs;
  };
  for (const Case& c :
       {Case{Prim::kMatmul, {{2, 21, 33}, {33, 18}}, {2, 21, 18}, {}},
        Case{Prim::kMaxPool2d, {{2, 3, 7, 6}}, {2, 3, 3, 3}, {3, 2, 2, 2, 0, 0, 0}}}) {
    std::vector<Array> inputs;
    for (const Shape& s : c.inputs) inputs.emplace_back(f32, s).fill(3);
    Array other(f32, c.out), value(f32, c.out), want(f32, c.out), got(f32, c.out);
    other.fill(4);
    std::vector<Operand> here, there;
    for (const Array& a : inputs) here.push_back(a.operand());
    const cpu::testing::TestEpilogue on_cpu(value, other, want);
    LeafCall call;
    call.op = c.op;
    call.attrs = c.attrs;
    call.inputs = here;
    call.output = value.operand();
    call.epilogue = &on_cpu.get();
    cpu::run_leaf(call);

    std::vector<Ref<Buffer>> memory;
    const auto sent = [&](const Array& a) {
      Operand o = a.operand();
      const auto bytes = static_cast<std::size_t>(a.numel()) * sizeof(float);
      memory.push_back(Buffer::allocate(device, bytes));
      device.from_host(memory.back()->data(), o.data, bytes, {});
      o.data = memory.back()->data();
      return o;
    };
    for (const Array& a : inputs) there.push_back(sent(a));
    const Operand result = sent(got);
    call.inputs = there;
    call.output = sent(got);
    const cpu::testing::TestEpilogue on_gpu(call.output, sent(other), result);
    const auto kernel = device.load(on_gpu.ir(), CodeKind::kBest);
    Epilogue epilogue = on_gpu.get();
    epilogue.kernel = kernel.get();
    call.epilogue = &epilogue;
    device.run_leaf(call, {});
    device.to_host(got.operand().data, result.data, static_cast<std::size_t>(got.numel()) * 4, {});
    CHECK(got.bytes() == want.bytes());
  }
}

TEST_CASE("leaf kernels on Vulkan have the CPU's bits, and say which index was bad") {
  if (vulkan_here() == nullptr) return;
  check_same("product", [](const Tensor& x, const Tensor& y) {
    return std::vector<Tensor>{matmul(x, y.transpose(0, 1)), relu(matmul(x.transpose(0, 1), y))};
  });
  const Tensor weight = rand({5, 3}), index = arange(0, 5).to(DType::kI64);
  CHECK(bytes_of(embedding(index.to("vulkan"), weight.to("vulkan"))) ==
        bytes_of(embedding(index, weight)));
  const Tensor bad = (index + 1).to("vulkan");
  CHECK_THROWS_AS(embedding(bad, weight.to("vulkan")).to("cpu").eval(), IndexError);
  // The device goes on, and forgets the fault.
  CHECK((weight.to("vulkan") + 1.0f).to("cpu").sum().item() == (weight + 1.0f).sum().item());
}
