// tests/gpu/tensor_test.cpp -- tensors on a fake GPU have the CPU's bits
#include <doctest/doctest.h>
#include <flash/flash.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "fake.h"
#include "in_child.h"

using namespace flash;
using namespace flash::test;

namespace {

std::vector<std::byte> bytes_of(const Tensor& t) {
  const HostArray a = to_host(t);
  return {a.bytes.begin(), a.bytes.end()};
}

/// Runs `program` on each device and compares all of its results with the CPU's.
void same_everywhere(std::vector<Tensor> (*program)(Device)) {
  manual_seed(7);
  std::vector<std::vector<std::byte>> want;
  for (const Tensor& t : program("cpu")) want.push_back(bytes_of(t));
  for (const char* name : {"cuda:0", "hip:0", "cuda:1"}) {
    const std::string device = name;
    CAPTURE(device);
    manual_seed(7);
    const std::vector<Tensor> got = program(Device(name));
    REQUIRE(got.size() == want.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
      CAPTURE(i);
      CHECK(got[i].device() == Device(name));
      CHECK((bytes_of(got[i]) == want[i]));
    }
  }
}

}  // namespace

TEST_CASE("the devices are there beside the CPU") {
  std::string all;
  for (const Device& d : devices()) all += d.str() + " ";
  CHECK(all.find("cuda:0 cuda:1 hip:0 hip:1") != std::string::npos);
  CHECK(missing(DeviceType::kCuda).empty());
}

TEST_CASE("a child of fork() is told that a GPU is its parent's, and computes on the CPU") {
  for (const char* name : {"cuda:0", "hip:1"}) check_fork_leaves_gpu_alone(Device(name));
}

TEST_CASE("created tensors: constants, ranges, random numbers, and back and forth") {
  same_everywhere([](Device d) {
    return std::vector<Tensor>{zeros({3, 5}, {.device = d}),
                               full({7}, 2.5, {.device = d}),
                               arange(0, 50, 3).to(d),
                               rand({1000}, {.device = d}),
                               randn({33, 3}, {.device = d}),
                               tensor({1.f, 2.f, 3.f}).to(d),
                               tensor({1.f, 2.f}).to(d).to("cpu").to(d)};
  });
}

TEST_CASE("copy_() takes its source from another device, into all of a tensor or a view of it") {
  same_everywhere([](Device d) {
    const Tensor row = tensor({1.5, -2.25, 1e300});  // f64 on the CPU
    Tensor whole = zeros({2, 3}, {.device = d}), part = ones({2, 3}, {.dtype = i16, .device = d});
    whole.copy_(row);
    part.select(0, 1).copy_(row.slice(0, 0, 2, 1).sum());
    float memory[3] = {};
    Tensor mine = from_blob(memory, {3}, f32, [] {});
    mine.copy_(whole[1] * 2);
    const Tensor copied = mine.clone().to(d);
    eval_all();  // before the memory goes
    CHECK(memory[0] == 3);
    CHECK(memory[1] == -4.5f);
    return std::vector<Tensor>{whole, part, copied};
  });
}

TEST_CASE("maps of every kind of float, and broadcasting") {
  same_everywhere([](Device d) {
    std::vector<Tensor> out;
    for (const DType t : {DType::kF32, DType::kF64, DType::kF16, DType::kBF16}) {
      const Tensor x = (randn({40, 70}, {.device = d}) * 3).to(t);
      const Tensor y = randn({70}, {.device = d}).to(t);
      out.push_back(gelu(x * y) + tanh(x));
      out.push_back(exp(x) / (exp(x) + 1) - sigmoid(y));
      out.push_back(where(x > y, sin(x), log(abs(x) + 1)));
    }
    return out;
  });
}

TEST_CASE("reductions: full, rows, columns, long ones in parts; softmax and layer norm") {
  same_everywhere([](Device d) {
    const Tensor x = randn({37, 300}, {.device = d}), big = randn({3, 70000}, {.device = d});
    return std::vector<Tensor>{x.sum(),
                               x.sum(0),
                               x.sum(1),
                               x.mean({0, 1}),
                               x.amax(1),
                               big.sum(),
                               big.sum(1),
                               big.sum(0),
                               softmax(x, 1),
                               softmax(x, 0),
                               (x * x).sum(1) * x.sum(1),
                               log_softmax(big, 1)};
  });
}

TEST_CASE("views: permuted, sliced, flipped, written in place") {
  same_everywhere([](Device d) {
    const Tensor x = randn({6, 8, 10}, {.device = d});
    Tensor y = zeros({6, 10}, {.device = d});
    y.select(0, 2).copy_(x.select(1, 3).select(0, 1));
    y += 1;
    return std::vector<Tensor>{x.permute({2, 0, 1}) * 2, x.slice(1, 1, 7, 2) + 1, x.flip(0) - x, y,
                               x.reshape({60, 8}).transpose(0, 1).contiguous()};
  });
}

TEST_CASE("gradients of elementwise programs and reductions") {
  same_everywhere([](Device d) {
    const Tensor x = randn({20, 30}, {.device = d, .requires_grad = true});
    const Tensor w = randn({30}, {.device = d, .requires_grad = true});
    const Tensor loss = (softmax(x * w, 1) * tanh(x) + gelu(x)).mean();
    loss.backward();
    return std::vector<Tensor>{loss.detach(), x.grad(), w.grad()};
  });
}

TEST_CASE("leaf kernels: products, convolutions, pools, embeddings, and their gradients") {
  same_everywhere([](Device d) {
    const Tensor a = randn({33, 65}, {.device = d, .requires_grad = true});
    const Tensor b = randn({65, 17}, {.device = d, .requires_grad = true});
    const Tensor image = randn({2, 3, 9, 9}, {.device = d, .requires_grad = true});
    const Tensor filter = randn({4, 3, 3, 3}, {.device = d, .requires_grad = true});
    const Tensor table = randn({11, 6}, {.device = d, .requires_grad = true});
    const Tensor rows = tensor({3, 0, 10, 3}, DType::kI64).to(d);
    const Tensor loss = relu(matmul(a, b)).sum() +
                        max_pool2d(relu(conv2d(image, filter)), {}).sum() +
                        (embedding(rows, table) * 2).sum();
    loss.backward();
    return std::vector<Tensor>{loss.detach(), a.grad(),      b.grad(),
                               image.grad(),  filter.grad(), table.grad()};
  });
}

TEST_CASE("what follows a leaf kernel is computed in it") {
  same_everywhere([](Device d) {
    const Tensor x = randn({19, 40}, {.device = d}), w = randn({23, 40}, {.device = d});
    const Tensor b = randn({23}, {.device = d}), more = randn({19, 1}, {.device = d});
    const Tensor image = randn({2, 3, 9, 8}, {.device = d});
    const Tensor filter = randn({4, 3, 3, 3}, {.device = d}), ramp = arange(0, 23).to(d);
    const Tensor narrow_x = x.to(DType::kBF16), narrow_w = w.to(DType::kBF16);
    eval_all();
    std::uint64_t counted = 0;
    const auto launches = [&] {
      const std::uint64_t before = counted;
      counted = runtime(d).counters.launches;
      return counted - before;
    };
    std::vector<Tensor> all;
    const auto one = [&](Tensor t) {  // is one kernel
      launches();
      t.eval();
      CHECK(launches() == 1);
      all.push_back(std::move(t));
    };
    one(gelu(linear(x, w, b)));
    one(dropout(matmul(x, w.t()), 0.3, true) * more - ramp);
    one(relu(conv2d(image, filter, {}, {.padding_h = 1})) + 0.25);
    one(exp(max_pool2d(image, {})).to(DType::kBF16));
    one(silu(linear(narrow_x, narrow_w)).to(DType::kF32));
    const Tensor raw = matmul(x.to(DType::kF16), w.t().to(DType::kF16));  // stays beside it
    const Tensor scaled = raw * 3, kept = (raw > 0).to(DType::kI32);
    eval_all();
    all.insert(all.end(), {raw, scaled, kept});
    Tensor sum = randn({19, 23}, {.device = d});  // its memory is the result's
    sum += matmul(x, w.t()) * 0.5;
    all.push_back(sum);
    Tensor wide = randn({7, 1100}, {.device = d});  // k in parts
    all.push_back(tanh(matmul(wide, wide.t())));
    return all;
  });
}

TEST_CASE("an index out of range is the CPU's error, when somebody waits") {
  for (const char* name : {"cuda:0", "hip:0"}) {
    const Tensor table = ones({4, 2}, {.device = Device(name)});
    const Tensor rows = tensor({1, 9}, DType::kI64).to(name);
    const auto read = [&] { embedding(rows, table).sum().item(); };
    CHECK_THROWS_WITH_AS(read(), doctest::Contains("9"), IndexError);
    CHECK((table + 1).sum().item() == 16);  // and the device goes on
  }
}

TEST_CASE("in a process where the second device cannot be opened" * doctest::skip()) {
  const char* const failing = std::getenv("FAKE_GPU_FAIL");
  REQUIRE(failing != nullptr);
  const char* const kind = std::string_view(failing).starts_with("cu") ? "cuda" : "hip";
  const std::string first = std::string(kind) + ":0", second = std::string(kind) + ":1";
  CHECK_THROWS_WITH_AS(ones({2}, {.device = Device(second)}).eval(),
                       doctest::Contains((second + ": making a stream failed").c_str()),
                       DeviceError);
  CHECK(ones({2}, {.device = Device(first)}).sum().item() == 2);
  CHECK(ones({2}, {.device = Device(second)}).sum().item() == 2);  // the fake fails once
}

TEST_CASE("a device that cannot be opened takes no other away, and may be tried again") {
  const std::string me = std::filesystem::read_symlink("/proc/self/exe").string();
  const std::string line =
      "FAKE_GPU_FAIL=@:1:2 '" + me + "' -ns -tc='in a process where the second*' > /dev/null 2>&1";
  for (const char* call : {"cuStreamCreate", "hipStreamCreateWithFlags"}) {
    std::string one = line;
    CHECK(std::system(one.replace(one.find('@'), 1, call).c_str()) == 0);
  }
}
