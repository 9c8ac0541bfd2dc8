// tests/gpu/fake_driver/driver.cpp -- a driver without a GPU: the calls that Flash's runtimes make,
// under CUDA's names or, with FAKE_HIP, under HIP's
//
// Written against the vendors' documentation, not against Flash's table of calls: what both say is
// held together by running. Stricter than a driver: handles that are not there, copies that are not
// pinned, and calls without a context are errors.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "control.h"
#include "emulation/engine.h"
#include "model.h"
#include "objects.h"

#ifdef FAKE_HIP
#define FAKE(cuda, hip, ...)                                              \
  extern "C" __attribute__((visibility("default"))) int hip(__VA_ARGS__); \
  extern "C" int hip(__VA_ARGS__)
#define ENTER(cuda, hip) \
  if (const int error = fake::enter(#hip)) return error
constexpr bool kHip = true;
#else
#define FAKE(cuda, hip, ...)                                               \
  extern "C" __attribute__((visibility("default"))) int cuda(__VA_ARGS__); \
  extern "C" int cuda(__VA_ARGS__)
#define ENTER(cuda, hip) \
  if (const int error = fake::enter(#cuda)) return error
constexpr bool kHip = false;
#endif
#define EXPORT extern "C" __attribute__((visibility("default")))

using namespace flash::test;
using flash::test::fake::Objects;

namespace {

using Address = std::uint64_t;  // as the runtime has it
constexpr int kOk = 0, kInvalidValue = 1, kNoMemory = 2, kInvalidContext = 201, kInvalidImage = 200,
              kNoPeer = 217, kInvalidHandle = 400, kNotFound = 500, kNotReady = 600,
              kIllegalAddress = 700, kPeerIsEnabled = 704, kLaunchFailure = 719,
              kNotWhileCapturing = 900;
constexpr std::size_t kMagic = 16;

using Work = std::function<void()>;
struct Stream {
  explicit Stream(int d) : device(d), queue(d) {}
  const int device;
  fake::Queue queue;
  bool captures = false;
  std::vector<Work> captured;
  void submit(Work work) {
    if (captures)
      captured.push_back(std::move(work));
    else
      queue.submit(std::move(work));
  }
};
struct Graph {
  std::vector<Work> work;
};
struct Executable {
  std::vector<Work> work;
};
struct Event {
  Event(int d, bool t) : device(d), timed(t) {}
  int device;
  bool timed;
  std::shared_ptr<fake::Progress> queue = nullptr;  // the one that it was recorded in
  std::uint64_t number = 0;
  std::shared_ptr<std::atomic<double>> ms = nullptr;  // when the queue came there; 0: not yet
};
struct Module {
  Module(const std::string& bytes, int d) : device(d), library(bytes) {}
  const int device;
  emulation::Library library;
};
struct Function {
  Module* module;
  emulation::Entry entry;
};

struct Objects_ {
  Objects<Stream> streams{"stream"};
  Objects<Event> events{"event"};
  Objects<Module> modules{"module"};
  Objects<Function> functions{"function"};
  Objects<Graph> graphs{"graph"};
  Objects<Executable> executables{"executable"};
  std::mutex mutex;  // guards what follows
  std::map<char*, std::size_t> pinned;
  std::set<std::pair<int, int>> peers;  // who has access to whom
};
Objects_& all() {
  static Objects_& objects = *new Objects_;  // used until the process ends
  return objects;
}

thread_local int current = -1;       // the thread's device
thread_local bool captures = false;  // calls that are no work on a stream are refused
long devices() { return std::min<long>(fake::number("FAKE_GPU_DEVICES", 2), fake::kDevices); }
long memory() { return fake::number("FAKE_GPU_MEMORY", 1L << 30); }

double now() {  // ms
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double, std::milli>(since).count();
}

void finish_all() {
  all().streams.each([](Stream& s) { s.queue.wait(s.queue.submitted()); });
}

bool is_pinned(const void* at, std::size_t bytes) {
  const std::lock_guard lock(all().mutex);
  auto* p = static_cast<char*>(const_cast<void*>(at));
  auto it = all().pinned.upper_bound(p);
  if (it == all().pinned.begin()) return false;
  --it;
  return p + bytes <= it->first + it->second;
}

int copy(void* to, const void* from, std::size_t bytes, void* stream, bool to_device,
         bool from_device) {
  Stream* s = all().streams.find(stream);
  if (current < 0) return kInvalidContext;
  if (!s || s->device != current) return kInvalidHandle;
  const auto there = [&](const void* at, bool device) {
    return device ? fake::is_device_memory(at, bytes, current) : is_pinned(at, bytes);
  };
  if (!there(to, to_device) || !there(from, from_device)) return kInvalidValue;
  s->submit([=] {
    if (!fake::lost()) std::memcpy(to, from, bytes);
  });
  return kOk;
}

}  // namespace

FAKE(cuInit, hipInit, unsigned) {
  ENTER(cuInit, hipInit);
  return kOk;
}
FAKE(cuDriverGetVersion, hipDriverGetVersion, int* version) {
  ENTER(cuDriverGetVersion, hipDriverGetVersion);
  *version = kHip ? 70'051'831 : 13'000;
  return kOk;
}
FAKE(cuDeviceGetCount, hipGetDeviceCount, int* count) {
  ENTER(cuDeviceGetCount, hipGetDeviceCount);
  *count = static_cast<int>(devices());
  return kOk;
}
FAKE(cuDeviceGet, hipDeviceGet, int* device, int ordinal) {
  ENTER(cuDeviceGet, hipDeviceGet);
  if (ordinal < 0 || ordinal >= devices()) return 101;
  *device = ordinal;
  return kOk;
}
FAKE(cuDeviceGetName, hipDeviceGetName, char* name, int size, int device) {
  ENTER(cuDeviceGetName, hipDeviceGetName);
  std::snprintf(name, static_cast<std::size_t>(size), "Fake %s %d", kHip ? "MI" : "H", device);
  return kOk;
}
FAKE(cuDeviceTotalMem_v2, hipDeviceTotalMem, std::size_t* bytes, int) {
  ENTER(cuDeviceTotalMem_v2, hipDeviceTotalMem);
  *bytes = static_cast<std::size_t>(memory());
  return kOk;
}
FAKE(cuDeviceGetAttribute, hipDeviceGetAttribute, int* value, int attribute, int) {
  ENTER(cuDeviceGetAttribute, hipDeviceGetAttribute);
  // By number: threads of a block, shared memory of one, processors, capability.
  static const std::map<int, int> kCuda{{1, 1024}, {8, 49152}, {16, 4}, {75, 9}, {76, 0}};
  static const std::map<int, int> kOfHip{{56, 1024}, {74, 65536}, {63, 4}};
  const auto& table = kHip ? kOfHip : kCuda;
  const auto it = table.find(attribute);
  if (it == table.end()) return kInvalidValue;
  *value = it->second;
  return kOk;
}

#ifdef FAKE_HIP
EXPORT int hipGetDeviceProperties(void* properties, int device) {
  ENTER(, hipGetDeviceProperties);
  std::snprintf(static_cast<char*>(properties), 256, "Fake MI %d", device);
  std::strcpy(static_cast<char*>(properties) + 396, "gfx90a:sramecc+:xnack-");
  return kOk;
}
EXPORT int hipSetDevice(int device) {
  ENTER(, hipSetDevice);
  current = device;
  return kOk;
}
EXPORT const char* hipGetErrorName(int error) {
  return error == kOk ? "hipSuccess" : "hipErrorFake";
}
EXPORT const char* hipGetErrorString(int) { return "an error of the fake driver"; }
#else
EXPORT int cuDevicePrimaryCtxRetain(void** context, int device) {
  ENTER(cuDevicePrimaryCtxRetain, );
  *context = reinterpret_cast<void*>(static_cast<std::intptr_t>(device) + 1);
  fake::live("context", 1);
  return kOk;
}
EXPORT int cuDevicePrimaryCtxRelease_v2(int) {
  fake::live("context", -1);
  ENTER(cuDevicePrimaryCtxRelease_v2, );
  return kOk;
}
EXPORT int cuCtxSetCurrent(void* context) {
  ENTER(cuCtxSetCurrent, );
  current = static_cast<int>(reinterpret_cast<std::intptr_t>(context)) - 1;
  return kOk;
}
EXPORT int cuGetErrorName(int error, const char** name) {
  *name = error == kOk ? "CUDA_SUCCESS" : "CUDA_ERROR_FAKE";
  return kOk;
}
EXPORT int cuGetErrorString(int, const char** text) {
  *text = "an error of the fake driver";
  return kOk;
}
#endif

FAKE(cuMemAlloc_v2, hipMalloc, Address* at, std::size_t bytes) {
  ENTER(cuMemAlloc_v2, hipMalloc);
  if (current < 0) return kInvalidContext;
  if (captures) return kNotWhileCapturing;
  if (bytes == 0) return kInvalidValue;
  if (fake::live("memory") + static_cast<long>(bytes) > memory()) return kNoMemory;
  void* data = fake::allocate(bytes, current);
  if (!data) return kNoMemory;
  *at = reinterpret_cast<Address>(data);
  fake::live("memory", static_cast<long>(bytes));
  fake::live("blocks", 1);
  return kOk;
}
FAKE(cuMemFree_v2, hipFree, Address at) {
  ENTER(cuMemFree_v2, hipFree);
  finish_all();
  bool spoiled = false;
  std::size_t bytes = 0;
  if (!fake::release(reinterpret_cast<void*>(at), &spoiled, &bytes)) return kInvalidValue;
  fake::live("memory", -static_cast<long>(bytes));
  fake::live("blocks", -1);
  if (spoiled) std::fprintf(stderr, "fake driver: memory around a block was written\n");
  return spoiled ? kIllegalAddress : kOk;
}
FAKE(cuMemHostAlloc, hipHostMalloc, void** at, std::size_t bytes, unsigned) {
  ENTER(cuMemHostAlloc, hipHostMalloc);
  if (current < 0) return kInvalidContext;
  *at = std::malloc(bytes);
  const std::lock_guard lock(all().mutex);
  all().pinned[static_cast<char*>(*at)] = bytes;
  fake::live("pinned", 1);
  return kOk;
}
FAKE(cuMemFreeHost, hipHostFree, void* at) {
  ENTER(cuMemFreeHost, hipHostFree);
  finish_all();
  const std::lock_guard lock(all().mutex);
  if (all().pinned.erase(static_cast<char*>(at)) == 0) return kInvalidValue;
  std::free(at);
  fake::live("pinned", -1);
  return kOk;
}

FAKE(cuMemcpyHtoDAsync_v2, hipMemcpyHtoDAsync, Address to, const void* from, std::size_t bytes,
     void* stream) {
  ENTER(cuMemcpyHtoDAsync_v2, hipMemcpyHtoDAsync);
  return copy(reinterpret_cast<void*>(to), from, bytes, stream, true, false);
}
FAKE(cuMemcpyDtoHAsync_v2, hipMemcpyDtoHAsync, void* to, Address from, std::size_t bytes,
     void* stream) {
  ENTER(cuMemcpyDtoHAsync_v2, hipMemcpyDtoHAsync);
  return copy(to, reinterpret_cast<void*>(from), bytes, stream, false, true);
}
FAKE(cuMemcpyDtoDAsync_v2, hipMemcpyDtoDAsync, Address to, Address from, std::size_t bytes,
     void* stream) {
  ENTER(cuMemcpyDtoDAsync_v2, hipMemcpyDtoDAsync);
  return copy(reinterpret_cast<void*>(to), reinterpret_cast<void*>(from), bytes, stream, true,
              true);
}

// Devices of higher numbers are within reach of those of lower ones, and not the other way round:
// copies have to work with access and without.
FAKE(cuDeviceCanAccessPeer, hipDeviceCanAccessPeer, int* can, int device, int peer) {
  ENTER(cuDeviceCanAccessPeer, hipDeviceCanAccessPeer);
  if (device < 0 || device >= devices() || peer < 0 || peer >= devices()) return 101;
  *can = device < peer;
  return kOk;
}
// CUDA's context; HIP's number of a device, which travels in the low half of a register.
using Peer = void*;
int device_of(Peer peer) {
  return static_cast<int>(reinterpret_cast<std::intptr_t>(peer)) - (kHip ? 0 : 1);
}
FAKE(cuCtxEnablePeerAccess, hipDeviceEnablePeerAccess, Peer peer, unsigned flags) {
  ENTER(cuCtxEnablePeerAccess, hipDeviceEnablePeerAccess);
  const int device = device_of(peer);
  if (current < 0) return kInvalidContext;
  if (device < 0 || device >= devices() || flags != 0) return kInvalidValue;
  if (current >= device) return kNoPeer;
  const std::lock_guard lock(all().mutex);
  return all().peers.emplace(current, device).second ? kOk : kPeerIsEnabled;
}
FAKE(cuMemcpyPeerAsync, hipMemcpyPeerAsync, Address to, Peer to_peer, Address from, Peer from_peer,
     std::size_t bytes, void* stream) {
  ENTER(cuMemcpyPeerAsync, hipMemcpyPeerAsync);
  Stream* s = all().streams.find(stream);
  const int there = device_of(to_peer), here = device_of(from_peer);
  if (current < 0) return kInvalidContext;
  if (!s || s->device != current || s->captures) return kInvalidHandle;
  void *const dst = reinterpret_cast<void*>(to), *const src = reinterpret_cast<void*>(from);
  if (there != current || !fake::is_device_memory(dst, bytes, there) ||
      !fake::is_device_memory(src, bytes, here))
    return kInvalidValue;
  s->queue.submit(
      [=] {
        if (!fake::lost()) std::memcpy(dst, src, bytes);
      },
      here);
  return kOk;
}

FAKE(cuStreamCreate, hipStreamCreateWithFlags, void** stream, unsigned) {
  ENTER(cuStreamCreate, hipStreamCreateWithFlags);
  if (current < 0) return kInvalidContext;
  *stream = all().streams.make(current);
  return kOk;
}
FAKE(cuStreamDestroy_v2, hipStreamDestroy, void* stream) {
  ENTER(cuStreamDestroy_v2, hipStreamDestroy);
  return all().streams.destroy(stream) ? kOk : kInvalidHandle;
}
FAKE(cuStreamSynchronize, hipStreamSynchronize, void* stream) {
  ENTER(cuStreamSynchronize, hipStreamSynchronize);
  Stream* s = all().streams.find(stream);
  if (!s) return kInvalidHandle;
  if (captures || s->captures) return kNotWhileCapturing;
  s->queue.wait(s->queue.submitted());
  return fake::lost();
}

FAKE(cuEventCreate, hipEventCreateWithFlags, void** event, unsigned flags) {
  ENTER(cuEventCreate, hipEventCreateWithFlags);
  if (current < 0) return kInvalidContext;
  *event = all().events.make(current, flags == 0);
  return kOk;
}
FAKE(cuEventDestroy_v2, hipEventDestroy, void* event) {
  ENTER(cuEventDestroy_v2, hipEventDestroy);
  return all().events.destroy(event) ? kOk : kInvalidHandle;
}
FAKE(cuEventRecord, hipEventRecord, void* event, void* stream) {
  ENTER(cuEventRecord, hipEventRecord);
  Event* e = all().events.find(event);
  Stream* s = all().streams.find(stream);
  if (!e || !s || e->device != s->device || s->device != current) return kInvalidHandle;
  if (s->captures) return kNotWhileCapturing;
  e->queue = s->queue.progress();
  if (e->timed) {
    e->ms = std::make_shared<std::atomic<double>>(0);
    e->number = s->queue.submit([ms = e->ms] { *ms = now(); });
  } else {
    e->number = s->queue.submitted();
  }
  return kOk;
}
FAKE(cuEventElapsedTime, hipEventElapsedTime, float* ms, void* from, void* to) {
  ENTER(cuEventElapsedTime, hipEventElapsedTime);
  Event *f = all().events.find(from), *t = all().events.find(to);
  if (!f || !t || f->device != t->device || !f->ms || !t->ms) return kInvalidHandle;
  if (*f->ms == 0 || *t->ms == 0) return kNotReady;
  *ms = static_cast<float>(*t->ms - *f->ms);
  return kOk;
}
FAKE(cuEventSynchronize, hipEventSynchronize, void* event) {
  ENTER(cuEventSynchronize, hipEventSynchronize);
  Event* e = all().events.find(event);
  if (!e) return kInvalidHandle;
  if (e->queue) e->queue->wait(e->number);
  return fake::lost();
}
FAKE(cuStreamWaitEvent, hipStreamWaitEvent, void* stream, void* event, unsigned flags) {
  ENTER(cuStreamWaitEvent, hipStreamWaitEvent);
  Event* e = all().events.find(event);
  Stream* s = all().streams.find(stream);
  if (!e || !s || s->device != current) return kInvalidHandle;
  if (flags != 0) return kInvalidValue;
  if (s->captures) return kNotWhileCapturing;
  if (e->queue) s->queue.submit([queue = e->queue, number = e->number] { queue->wait(number); });
  return kOk;
}

FAKE(cuModuleLoadData, hipModuleLoadData, void** module, const void* image) {
  ENTER(cuModuleLoadData, hipModuleLoadData);
  if (current < 0) return kInvalidContext;
  if (captures) return kNotWhileCapturing;
  // "FAKE GPU", the bytes' number, the bytes.
  const char* bytes = static_cast<const char*>(image);
  std::uint64_t size = 0;
  if (std::memcmp(bytes, "FAKE GPU", 8) != 0) return kInvalidImage;
  std::memcpy(&size, bytes + 8, 8);
  try {
    *module = all().modules.make(std::string(bytes + kMagic, size), current);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "fake driver: %s\n", e.what());
    return kInvalidImage;
  }
  return kOk;
}
FAKE(cuModuleUnload, hipModuleUnload, void* module) {
  ENTER(cuModuleUnload, hipModuleUnload);
  return all().modules.destroy(module) ? kOk : kInvalidHandle;
}
FAKE(cuModuleGetFunction, hipModuleGetFunction, void** function, void* module, const char* name) {
  ENTER(cuModuleGetFunction, hipModuleGetFunction);
  Module* m = all().modules.find(module);
  if (!m) return kInvalidHandle;
  const emulation::Entry entry = m->library.entry(name);
  if (!entry) return kNotFound;
  *function = all().functions.make(Function{m, entry});
  return kOk;
}

FAKE(cuLaunchKernel, hipModuleLaunchKernel, void* function, unsigned grid_x, unsigned grid_y,
     unsigned grid_z, unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared,
     void* stream, void** parameters, void** extra) {
  ENTER(cuLaunchKernel, hipModuleLaunchKernel);
  Function* f = all().functions.find(function);
  Stream* s = all().streams.find(stream);
  if (current < 0) return kInvalidContext;
  if (!f || !s || !all().modules.find(f->module)) return kInvalidHandle;
  if (f->module->device != current || s->device != current) return kInvalidHandle;
  if (grid_x == 0 || grid_y != 1 || grid_z != 1 || block_z != 1 || shared != 0 || extra ||
      block_x == 0 || block_y == 0 || block_x * block_y > 1024)
    return kInvalidValue;
  emulation::Launch launch{f->entry, grid_x, block_x, block_y, 0, 0, fake::is_memory_here};
  std::memcpy(&launch.args, parameters[0], 8);
  std::memcpy(&launch.tiles, parameters[1], 8);
  s->submit([f, launch] {
    if (fake::lost()) return;
    const std::string problem = emulation::run(f->module->library, launch);
    if (problem.empty()) return;
    std::fprintf(stderr, "fake driver: %s\n", problem.c_str());
    fake::lose(problem.find("wait") == std::string::npos ? kIllegalAddress : kLaunchFailure);
  });
  return kOk;
}

#ifndef FAKE_HIP
/// Work of another fake library, in a stream's order. Graphs may repeat it.
EXPORT int fake_gpu_submit(void* stream, void (*work)(void*), void (*release)(void*), void* data) {
  const std::shared_ptr<void> kept(data, release);
  Stream* s = all().streams.find(stream);
  if (!s) return kInvalidHandle;
  s->submit([work, kept] {
    if (!fake::lost()) work(kept.get());
  });
  return kOk;
}
#endif

FAKE(cuStreamBeginCapture_v2, hipStreamBeginCapture, void* stream, int mode) {
  ENTER(cuStreamBeginCapture_v2, hipStreamBeginCapture);
  Stream* s = all().streams.find(stream);
  if (!s) return kInvalidHandle;
  if (mode != 1 || s->captures || captures) return kInvalidValue;
  s->captures = captures = true;
  return kOk;
}
FAKE(cuStreamEndCapture, hipStreamEndCapture, void* stream, void** graph) {
  Stream* s = all().streams.find(stream);
  if (!s) return kInvalidHandle;
  if (!s->captures || !captures) return kInvalidValue;
  s->captures = captures = false;  // whatever comes of it
  Graph made{std::exchange(s->captured, {})};
  ENTER(cuStreamEndCapture, hipStreamEndCapture);
  *graph = all().graphs.make(std::move(made));
  return kOk;
}
FAKE(cuGraphInstantiateWithFlags, hipGraphInstantiateWithFlags, void** executable, void* graph,
     unsigned long long flags) {
  ENTER(cuGraphInstantiateWithFlags, hipGraphInstantiateWithFlags);
  Graph* g = all().graphs.find(graph);
  if (!g) return kInvalidHandle;
  if (flags != 0) return kInvalidValue;
  *executable = all().executables.make(Executable{g->work});
  return kOk;
}
FAKE(cuGraphDestroy, hipGraphDestroy, void* graph) {
  ENTER(cuGraphDestroy, hipGraphDestroy);
  return all().graphs.destroy(graph) ? kOk : kInvalidHandle;
}
FAKE(cuGraphLaunch, hipGraphLaunch, void* executable, void* stream) {
  ENTER(cuGraphLaunch, hipGraphLaunch);
  Executable* x = all().executables.find(executable);
  Stream* s = all().streams.find(stream);
  if (!x || !s) return kInvalidHandle;
  for (const Work& work : x->work) s->queue.submit(work);
  return kOk;
}
FAKE(cuGraphExecDestroy, hipGraphExecDestroy, void* executable) {
  ENTER(cuGraphExecDestroy, hipGraphExecDestroy);
  return all().executables.destroy(executable) ? kOk : kInvalidHandle;
}
