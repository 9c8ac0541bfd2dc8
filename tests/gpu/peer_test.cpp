// tests/gpu/peer_test.cpp -- tensors go from GPU to GPU on the devices, in the order of both queues
#include <doctest/doctest.h>
#include <flash/flash.h>
#include <sys/mman.h>

#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "core/allocator.h"
#include "core/error.h"
#include "fake.h"
#include "jit/random_kernel.h"

using namespace flash;
using namespace flash::test;

namespace {

struct Copies {
  explicit Copies(const Fake& fake)
      : peer(fake.calls(fake.pick("cuMemcpyPeerAsync", "hipMemcpyPeerAsync"))),
        up(fake.calls(fake.pick("cuMemcpyHtoDAsync_v2", "hipMemcpyHtoDAsync"))),
        down(fake.calls(fake.pick("cuMemcpyDtoHAsync_v2", "hipMemcpyDtoHAsync"))) {}
  long peer, up, down;
};

Device on(const Fake& fake, int index) { return {fake.name + ":" + std::to_string(index)}; }

std::vector<float> values(std::size_t n, float value) { return std::vector<float>(n, value); }

}  // namespace

TEST_CASE("every dtype and layout arrives whole, and no host is asked") {
  for (const Fake& fake : fakes()) {
    CAPTURE(fake.name);
    const Device a = on(fake, 0), b = on(fake, 1);
    for (const DType t : {DType::kF32, DType::kF64, DType::kF16, DType::kI64, DType::kU8}) {
      const Tensor host = (arange(0, 60).reshape({3, 4, 5}) * 2).to(t);
      const Tensor x = host.to(a), shown = x.permute({2, 0, 1}).slice(1, 1, 3);
      shown.contiguous().eval();
      const Copies before(fake);
      const Tensor y = x.to(b), z = y.to(a), w = shown.to(b), none = x.slice(0, 0, 0).to(b);
      const Copies after(fake);
      CHECK(after.peer - before.peer == 3);
      CHECK(after.down == before.down);
      CHECK(y.device() == b);
      CHECK(z.device() == a);
      CHECK((y.to(DType::kF64).to_vector<double>() == host.to(DType::kF64).to_vector<double>()));
      CHECK((z.to(DType::kF64).to_vector<double>() == host.to(DType::kF64).to_vector<double>()));
      CHECK((w.to(DType::kF64).to_vector<double>() ==
             host.permute({2, 0, 1}).slice(1, 1, 3).to(DType::kF64).to_vector<double>()));
      CHECK(none.shape() == Shape{0, 4, 5});
    }
  }
}

TEST_CASE("kinds of devices that have no driver in common go through the host") {
  const Fake cuda = Fake::cuda(), hip = Fake::hip();
  const Tensor x = ones({7}, {.device = "cuda:0"}) * 3;
  x.eval();
  const Copies before(cuda), there(hip);
  CHECK((x.to("hip:1").to_vector<float>() == values(7, 3)));
  CHECK(Copies(cuda).down > before.down);
  CHECK(Copies(hip).up > there.up);
  CHECK(Copies(hip).peer == there.peer);
  CHECK(Copies(cuda).peer == before.peer);
}

// Either side may be waited for first: each has to wait for the other.
TEST_CASE("a source that is written, or freed and used again, was read before") {
  constexpr std::size_t kN = 5000;
  for (const Fake& fake : fakes()) {
    CAPTURE(fake.name);
    const auto runtimes = fake.open();
    DeviceRuntime &a = *runtimes[0], &b = *runtimes[1];
    for (DeviceRuntime* first : {&a, &b}) {
      Block* const source = a.allocator().allocate(4 * kN);
      Block* const target = b.allocator().allocate(4 * kN);
      const std::vector<float> one = values(kN, 1), two = values(kN, 2);
      std::vector<float> got(kN), seen(kN);
      b.from_host(target->data, two.data(), 4 * kN, {});
      a.from_host(source->data, one.data(), 4 * kN, {});
      REQUIRE(b.copy_from_peer(target->data, a, source->data, 4 * kN, {}));
      a.allocator().free(source);
      Block* const again = a.allocator().allocate(4 * kN);
      CHECK(again->data == source->data);
      a.from_host(again->data, two.data(), 4 * kN, {});
      first->synchronize({});
      b.to_host(got.data(), target->data, 4 * kN, {});
      a.to_host(seen.data(), again->data, 4 * kN, {});
      CHECK((got == one));
      CHECK((seen == two));
      a.allocator().free(again);
      b.allocator().free(target);
    }
  }
}

TEST_CASE("a target that is dropped before it arrives leaves its memory to what comes next") {
  constexpr std::size_t kN = 5000;
  for (const Fake& fake : fakes()) {
    CAPTURE(fake.name);
    const Device a = on(fake, 0), b = on(fake, 1);
    for (int round = 0; round < 4; ++round) {
      const Tensor x = full({kN}, 1.0, {.device = a});
      { const Tensor dropped = x.to(b); }
      const std::vector<float> host = values(kN, 7);
      const Tensor next = from_host(host.data(), {kN}, DType::kF32, b);
      (round % 2 ? next : x).eval();
      synchronize(round % 2 ? a : b);
      CHECK((next.to_vector<float>() == host));
      CHECK((x.to_vector<float>() == values(kN, 1)));
    }
  }
}

TEST_CASE("threads that copy both ways at the same time neither wait for ever nor mix values up") {
  for (const Fake& fake : fakes()) {
    CAPTURE(fake.name);
    std::vector<std::thread> threads;
    std::atomic<int> wrong{0};
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&, t] {
        const Device here = on(fake, t % 2), there = on(fake, 1 - t % 2);
        constexpr std::size_t kN = 3000;
        Tensor x = full({kN}, static_cast<float>(t), {.device = here});
        for (int round = 1; round <= 25; ++round) {
          Tensor y = x.to(there);
          x = Tensor();
          y = y + 1;
          x = y.to(here);
          if (round % 7 == 0 && x.to_vector<float>() != values(kN, static_cast<float>(t + round)))
            ++wrong;
        }
        if (x.to_vector<float>() != values(kN, static_cast<float>(t + 25))) ++wrong;
      });
    for (std::thread& thread : threads) thread.join();
    CHECK(wrong == 0);
  }
}

TEST_CASE("gradients come back over the same way") {
  for (const Fake& fake : fakes()) {
    CAPTURE(fake.name);
    const Device a = on(fake, 0), b = on(fake, 1);
    const auto gradients = [](Device first, Device second) {
      manual_seed(5);
      Tensor w = randn({8, 6}).to(first), v = randn({6, 3}).to(second);
      w.set_requires_grad(true);
      v.set_requires_grad(true);
      const Tensor hidden = relu(matmul(randn({4, 8}).to(first), w));
      const Tensor out = softmax(matmul(hidden.to(second), v), 1);
      const Tensor loss = (out * out).sum().to(first);
      loss.backward();
      return std::vector{w.grad().to_vector<float>(), v.grad().to_vector<float>()};
    };
    const auto want = gradients("cpu", "cpu");
    const Copies before(fake);
    CHECK((gradients(a, b) == want));
    CHECK(Copies(fake).peer - before.peer == 4);
    CHECK((gradients(b, a) == want));
  }
}

TEST_CASE("a bad index on one device is told by whoever waits on the next") {
  for (const Fake& fake : fakes()) {
    CAPTURE(fake.name);
    const Device a = on(fake, 0), b = on(fake, 1);
    const Tensor table = ones({4, 2}, {.device = a});
    const auto seen = [&](std::int64_t row, Device at) {
      const Tensor rows = tensor({std::int64_t{1}, row}, DType::kI64).to(a);
      return embedding(rows, table).to(b).to(at).sum().item();
    };
    CHECK(seen(2, b) == 4);
    CHECK_THROWS_WITH_AS(seen(9, b), doctest::Contains("index 9 (item 1) is out of range"),
                         IndexError);
    CHECK(seen(3, b) == 4);
    CHECK_THROWS_AS(seen(9, a), IndexError);
    CHECK(seen(3, a) == 4);
  }
}

namespace {

bool has_protection_keys() {
  const int key = pkey_alloc(0, 0);
  if (key < 0) return false;
  pkey_free(key);
  return true;
}

}  // namespace

TEST_CASE("a kernel that follows another device's address is an error, and so is a plain copy") {
  for (const Fake& fake : fakes()) {
    CAPTURE(fake.name);
    const auto runtimes = fake.open();
    DeviceRuntime &a = *runtimes[0], &b = *runtimes[1];
    Block* const there = b.allocator().allocate(4000);
    Block* const here = a.allocator().allocate(4000);
    const auto copy = [&] { a.copy(here->data, there->data, 4000, {}); };
    CHECK_THROWS_AS(copy(), DeviceError);
    Nest nest(ir::Form::kRow, {{ir::Role::kLoop, 100}});
    const int out = nest.access(DType::kF32, there->data, {4});
    nest.b.begin_loop();
    nest.b.store(out, nest.b.f32(1));
    const auto kernel = a.load(nest.kernel, CodeKind::kBest);
    a.synchronize({});
    if (!has_protection_keys()) {  // by which the fakes tell one device's memory from another's
      MESSAGE("skipped the kernel: this processor has no protection keys");
      a.allocator().free(here);
      b.allocator().free(there);
      continue;
    }
    const Launch launch{kernel.get(), a.bind_args(nest.args, {}), nest.args.data(), 1};
    a.launch({&launch, 1}, {});
    const logging::Level level = logging::level();
    logging::set_level(logging::Level::kOff);
    CHECK_THROWS_WITH_AS(a.synchronize({}), doctest::Contains("(700)"), DeviceError);
    logging::set_level(level);
    fake.reset();
    a.allocator().free(here);
    b.allocator().free(there);
  }
}

TEST_CASE("without access of one to the other copies work as well, and it is asked for once") {
  for (const Fake& fake : fakes()) {
    CAPTURE(fake.name);
    const logging::Level level = logging::level();
    logging::set_level(logging::Level::kOff);
    const char* const calls[] = {fake.pick("cuDeviceCanAccessPeer", "hipDeviceCanAccessPeer"),
                                 fake.pick("cuCtxEnablePeerAccess", "hipDeviceEnablePeerAccess")};
    for (const char* failing : calls) {
      const auto runtimes = fake.open();
      DeviceRuntime &a = *runtimes[0], &b = *runtimes[1];
      Block* const source = a.allocator().allocate(4000);
      Block* const target = b.allocator().allocate(4000);
      const std::vector<float> want = values(1000, 3);
      std::vector<float> got(1000);
      a.from_host(source->data, want.data(), 4000, {});
      fake.fail(failing, 1, 217);
      const long asked = fake.calls(calls[0]);
      for (int round = 0; round < 3; ++round) {
        REQUIRE(b.copy_from_peer(target->data, a, source->data, 4000, {}));
        REQUIRE(a.copy_from_peer(source->data, b, target->data, 4000, {}));
      }
      CHECK(fake.calls(calls[0]) - asked == 2);
      a.to_host(got.data(), source->data, 4000, {});
      CHECK((got == want));
      fake.fail("", 0, 0);
      a.allocator().free(source);
      b.allocator().free(target);
    }
    logging::set_level(level);
  }
}
