// tests/gpu/error_test.cpp -- whatever call of a driver or compiler fails, there is one clear
// error, nothing leaks, and a lost device says so
#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/log.h"
#include "core/storage.h"
#include "fake.h"
#include "jit/random_kernel.h"
#include "kernels/cuda/runtime.h"
#include "kernels/hip/runtime.h"

using namespace flash;
using namespace flash::test;

namespace {

struct CallName {
  const char *cuda, *hip;
};
constexpr CallName kCalls[] = {
#define X(member, type, cuda_name, hip_name) {cuda_name, hip_name},
    FLASH_DRIVER_CALLS(X) FLASH_GRAPH_CALLS(X) FLASH_COMPILER_CALLS(X)
#undef X
};

std::vector<std::string> calls_of(const Fake& fake) {
  std::vector<std::string> out;
  for (const CallName& c : kCalls)
    if (const char* name = fake.pick(c.cuda, c.hip)) out.emplace_back(name);
  return out;
}

/// Everything that a runtime can be asked for, once. Opens it, and closes it again.
void exercise(const Fake& fake) {
  const auto runtimes = fake.open();
  DeviceRuntime& device = *runtimes[0];
  constexpr std::size_t kN = 1000;
  const Ref<Buffer> a = Buffer::allocate(device, 4 * kN), b = Buffer::allocate(device, 4 * kN);
  Nest nest(ir::Form::kRow, {{ir::Role::kLoop, kN}});
  const int in = nest.access(DType::kF32, a->data(), {4});
  const int out = nest.access(DType::kF32, b->data(), {4});
  nest.b.begin_loop();
  const ir::Value x = nest.b.load(in, ir::Type::kF32);
  nest.b.store(out, nest.b.add(x, x));
  const auto kernel = device.load(nest.kernel, CodeKind::kBest);
  const std::vector<float> values(kN, 3.f);
  device.from_host(a->data(), values.data(), 4 * kN, {});
  const Launch launch{kernel.get(), device.bind_args(nest.args, {}), nest.args.data(), 1};
  device.launch({&launch, 1}, {});
  device.copy(a->data(), b->data(), 4 * kN, {});
  std::vector<float> got(kN);
  device.to_host(got.data(), a->data(), 4 * kN, {});
  device.synchronize({});
  CHECK((got == std::vector<float>(kN, 6.f)));

  std::unique_ptr<Recording> kept;
  for (int run = 0; run < 3; ++run) {  // the second one is recorded
    device.begin_run(kept, {});
    try {
      const Launch again{kernel.get(), device.bind_args(nest.args, {}), nest.args.data(), 1};
      const Launch items[] = {again, again, again};
      device.launch(items, {});
      device.copy(a->data(), b->data(), 4 * kN, {});
      device.prepare_run({});
    } catch (...) {
      device.drop_run({});
      throw;
    }
    device.end_run({});
  }
  device.to_host(got.data(), a->data(), 4 * kN, {});
  CHECK((got == std::vector<float>(kN, 48.f)));
  DeviceRuntime& peer = *runtimes[1];
  {
    const Ref<Buffer> there = Buffer::allocate(peer, 4 * kN);
    const bool goes = peer.copy_from_peer(there->data(), device, a->data(), 4 * kN, {});
    const bool comes = device.copy_from_peer(b->data(), peer, there->data(), 4 * kN, {});
    CHECK((goes && comes));
    device.to_host(got.data(), b->data(), 4 * kN, {});
    CHECK((got == std::vector<float>(kN, 48.f)));
  }

  const std::unique_ptr<Stopwatch> watch = device.start_timing({});
  device.copy(a->data(), b->data(), 4 * kN, {});
  watch->stop();
  const double us = watch->microseconds();
  CHECK(us > 0);

  const std::uint64_t replays = device.counters.replays;
  CHECK((replays == 2 || replays == 0));  // none where recording fails
}

long leaked(const Fake& fake) {
  long n = 0;
  for (const char* what : {"blocks", "pinned", "stream", "event", "module", "context", "program",
                           "graph", "executable"})
    n += fake.live(what);
  return n;
}

/// Errors on the way are what these tests make: nobody needs to read them.
class Quiet {
 public:
  Quiet() { logging::set_level(logging::Level::kOff); }
  ~Quiet() { logging::set_level(before_); }

 private:
  logging::Level before_ = logging::level();
};

/// Calls that give something back; if one of them fails that thing stays.
bool gives_back(const std::string& call) {
  for (const char* part : {"Free", "Destroy", "Unload", "Release"})
    if (call.find(part) != std::string::npos) return true;
  return false;
}

}  // namespace

TEST_CASE("every call that may fail is made, and each failure is one clear error without a leak") {
  const Quiet quiet;
  for (const Fake& fake : fakes()) {
    CAPTURE(fake.name);
    fake.reset();
    exercise(fake);
    std::vector<std::pair<std::string, long>> made;
    for (const std::string& call : calls_of(fake)) made.emplace_back(call, fake.calls(call));
    int failures = 0, errors = 0;
    for (const auto& [name, count] : made) {
      const std::string call = name;
      CAPTURE(call);
      for (int nth = 1; nth <= count && nth <= 12; ++nth) {
        CAPTURE(nth);
        const long before = leaked(fake);
        fake.reset();
        fake.fail(call, nth, 1);
        std::string message;
        try {
          exercise(fake);
        } catch (const DeviceError& e) {
          message = e.what();
        }
        ++failures;
        const long stays = leaked(fake) - before;
        if (gives_back(call)) {
          CHECK(stays <= 1);
          CHECK(stays >= 0);
          continue;
        }
        CHECK(stays == 0);
        // Drivers are opened once, by the first run; the next test fails these.
        if (fake.calls(call) == 0) continue;
        // On the way out there is nobody to tell, a log that cannot be had is no error, what
        // cannot be recorded is launched, and peers copy without access.
        if (message.empty()) {
          CHECK((call.find("Synchronize") != std::string::npos ||
                 call.find("GetProgramLog") != std::string::npos ||
                 call.find("Capture") != std::string::npos ||
                 call.find("GraphInstantiate") != std::string::npos ||
                 call.find("Launch") != std::string::npos ||
                 call.find("PeerAccess") != std::string::npos ||
                 call.find("AccessPeer") != std::string::npos ||
                 call.find("DtoD") != std::string::npos));
          continue;
        }
        ++errors;
        CAPTURE(message);
        CHECK((message.find(fake.name + ":") != std::string::npos ||
               message.find(fake.pick("NVRTC", "hiprtc")) != std::string::npos));
        CHECK((message.find(" failed: ") != std::string::npos ||
               message.find(" could not ") != std::string::npos));
        CHECK(message.find("(1)") != std::string::npos);
      }
    }
    MESSAGE(fake.name, ": ", failures, " failures, ", errors, " errors thrown");
    CHECK(errors > 20);
    fake.reset();
    exercise(fake);  // and afterwards all is well
  }
}

TEST_CASE(
    "a device that is lost at any call is one clear error, and nobody crashes on the way out") {
  const Quiet quiet;
  for (const Fake& fake : fakes()) {
    CAPTURE(fake.name);
    fake.reset();
    exercise(fake);
    std::vector<std::pair<std::string, long>> made;
    for (const std::string& call : calls_of(fake)) made.emplace_back(call, fake.calls(call));
    int errors = 0;
    for (const auto& [name, count] : made) {
      const std::string call = name;
      CAPTURE(call);
      for (int nth = 1; nth <= count && nth <= 3; ++nth) {
        CAPTURE(nth);
        fake.reset();
        fake.fail(call, nth, 719);
        try {
          exercise(fake);
        } catch (const DeviceError& e) {
          const std::string message = e.what();
          CAPTURE(message);
          ++errors;
          CHECK(message.find("(719)") != std::string::npos);
        }
      }
    }
    CHECK(errors > 20);
    fake.reset();
  }
}

TEST_CASE("a driver that does not start is no device, and says what to do") {
  for (const Fake& fake : fakes()) {
    CAPTURE(fake.name);
    const gpu::Vendor& vendor = fake.name == "cuda" ? cuda::vendor() : hip::vendor();
    fake.reset();
    fake.fail(fake.pick("cuInit", "hipInit"), 1, 999);
    const gpu::Driver broken(vendor);
    fake.reset();
    CHECK(broken.devices() == 0);
    CHECK(broken.missing().find("does not start") != std::string::npos);
    CHECK(broken.missing().find("(999)") != std::string::npos);
    fake.fail(fake.pick("cuDeviceGetCount", "hipGetDeviceCount"), 1, 100);
    const gpu::Driver none(vendor);
    fake.reset();
    CHECK(none.devices() == 0);
    CHECK(none.missing().find("found no device") != std::string::npos);
    constexpr const char* kNames[] = {"libnobody_has_this.so.1"};
    gpu::Vendor other = vendor;
    other.driver_libraries = other.compiler_libraries = kNames;
    const gpu::Driver absent(other);
    CHECK(absent.missing().find("no " + std::string(vendor.name) +
                                " driver: looked for "
                                "libnobody_has_this.so.1 in the loader's path") == 0);
    CHECK(absent.missing().find(vendor.get_driver) != std::string::npos);
    gpu::Compiler compiler(other);
    CHECK(compiler.missing().find(vendor.get_compiler) != std::string::npos);
    CHECK(compiler.version().empty());
    CHECK_THROWS_AS(compiler.architecture("sm_90a"), DeviceError);
  }
}

TEST_CASE("a kernel's error shows in a later call, names the suspects, and loses the device") {
  const Quiet quiet;
  for (const Fake& fake : fakes()) {
    CAPTURE(fake.name);
    fake.reset();
    const auto runtimes = fake.open();
    DeviceRuntime& device = *runtimes[0];
    const Ref<Buffer> a = Buffer::allocate(device, 4096);
    const auto kernel_on = [&](std::int64_t n) {  // writes n floats from the buffer's end on
      auto nest =
          std::make_unique<Nest>(ir::Form::kRow, std::vector<Nest::Axis>{{ir::Role::kLoop, n}});
      const int out = nest->access(DType::kF32, static_cast<char*>(a->data()) + 4096, {4});
      nest->b.begin_loop();
      nest->b.store(out, nest->b.f32(1));
      nest->kernel.name = "one_too_far";
      return nest;
    };
    const auto bad = kernel_on(1);
    const auto kernel = device.load(bad->kernel, CodeKind::kBest);
    const Launch launch{kernel.get(), device.bind_args(bad->args, {}), bad->args.data(), 1};
    CHECK_NOTHROW(device.launch({&launch, 1}, {}));  // returns before it runs
    std::vector<char> got(4096);
    const auto read = [&] { device.to_host(got.data(), a->data(), 4096, {}); };
    std::string first;
    try {
      read();
    } catch (const DeviceError& e) {
      first = e.what();
    }
    CAPTURE(first);
    CHECK(first.find(fake.name + ":0: ") == 0);
    CHECK(first.find("(700)") != std::string::npos);
    CHECK(first.find("one_too_far") != std::string::npos);
    CHECK(first.find("start the program again") != std::string::npos);
    CHECK(first.find(fake.pick("CUDA_LAUNCH_BLOCKING=1", "AMD_SERIALIZE_KERNEL=3")) !=
          std::string::npos);
    const std::string lost = fake.name + ":0 was lost";
    CHECK_THROWS_WITH_AS(read(), doctest::Contains(lost.c_str()), DeviceError);
    CHECK_THROWS_WITH_AS(device.launch({&launch, 1}, {}), doctest::Contains(lost.c_str()),
                         DeviceError);
    CHECK_THROWS_WITH_AS(device.synchronize({}), doctest::Contains("one_too_far"), DeviceError);
    CHECK_THROWS_AS(device.load(bad->kernel, CodeKind::kBest), DeviceError);
    CHECK_THROWS_AS(device.allocator().allocate(1 << 20), DeviceError);
    CHECK(device.allocator().stats().live_blocks == 2);  // the buffer's and the ArgBlocks'
    fake.reset();
  }
}
