// kernels/gpu/driver.h -- the calls of a GPU's driver and of its compiler: one table for CUDA and
// HIP
//
// The two interfaces are twins: HIP's calls have CUDA's parameters, order and error numbers, and
// other names. So each call stands here once, with both names, and what is written against this
// table serves both. Declared by ourselves: no header of either is needed to build. Handles are
// opaque pointers; CUDA's device addresses are 64-bit integers and HIP's pointers, which travel
// alike in every 64-bit calling convention. So do a peer's context, by which CUDA names it, and its
// number, by which HIP does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "core/device.h"

namespace flash::gpu {

using Handle = void*;           ///< context, stream, event, module, function, graph or program
using Address = std::uint64_t;  ///< in a device's memory

// member, its type, CUDA's name, HIP's name. A call that one of them does not have is nullptr
// there.
#define FLASH_DRIVER_CALLS(X)                                                                      \
  X(init, int (*)(unsigned flags), "cuInit", "hipInit")                                            \
  X(version, int (*)(int* version), "cuDriverGetVersion", "hipDriverGetVersion")                   \
  X(device_count, int (*)(int* count), "cuDeviceGetCount", "hipGetDeviceCount")                    \
  X(device, int (*)(int* device, int ordinal), "cuDeviceGet", "hipDeviceGet")                      \
  X(device_name, int (*)(char* name, int size, int device), "cuDeviceGetName", "hipDeviceGetName") \
  X(device_memory, int (*)(std::size_t * bytes, int device), "cuDeviceTotalMem_v2",                \
    "hipDeviceTotalMem")                                                                           \
  X(attribute, int (*)(int* value, int attribute, int device), "cuDeviceGetAttribute",             \
    "hipDeviceGetAttribute")                                                                       \
  X(properties, int (*)(void* properties, int device), nullptr, "hipGetDeviceProperties")          \
  X(retain_context, int (*)(Handle * context, int device), "cuDevicePrimaryCtxRetain", nullptr)    \
  X(release_context, int (*)(int device), "cuDevicePrimaryCtxRelease_v2", nullptr)                 \
  X(set_context, int (*)(Handle context), "cuCtxSetCurrent", nullptr)                              \
  X(set_device, int (*)(int device), nullptr, "hipSetDevice")                                      \
  X(allocate, int (*)(Address * at, std::size_t bytes), "cuMemAlloc_v2", "hipMalloc")              \
  X(free, int (*)(Address at), "cuMemFree_v2", "hipFree")                                          \
  X(allocate_host, int (*)(void** at, std::size_t bytes, unsigned flags), "cuMemHostAlloc",        \
    "hipHostMalloc")                                                                               \
  X(free_host, int (*)(void* at), "cuMemFreeHost", "hipHostFree")                                  \
  X(to_device, int (*)(Address to, const void* from, std::size_t bytes, Handle stream),            \
    "cuMemcpyHtoDAsync_v2", "hipMemcpyHtoDAsync")                                                  \
  X(to_host, int (*)(void* to, Address from, std::size_t bytes, Handle stream),                    \
    "cuMemcpyDtoHAsync_v2", "hipMemcpyDtoHAsync")                                                  \
  X(copy, int (*)(Address to, Address from, std::size_t bytes, Handle stream),                     \
    "cuMemcpyDtoDAsync_v2", "hipMemcpyDtoDAsync")                                                  \
  X(can_access_peer, int (*)(int* can, int device, int peer), "cuDeviceCanAccessPeer",             \
    "hipDeviceCanAccessPeer")                                                                      \
  X(enable_peer, int (*)(Handle peer, unsigned flags), "cuCtxEnablePeerAccess",                    \
    "hipDeviceEnablePeerAccess")                                                                   \
  X(copy_peer,                                                                                     \
    int (*)(Address to, Handle to_peer, Address from, Handle from_peer, std::size_t bytes,         \
            Handle stream),                                                                        \
    "cuMemcpyPeerAsync", "hipMemcpyPeerAsync")                                                     \
  X(create_stream, int (*)(Handle * stream, unsigned flags), "cuStreamCreate",                     \
    "hipStreamCreateWithFlags")                                                                    \
  X(destroy_stream, int (*)(Handle stream), "cuStreamDestroy_v2", "hipStreamDestroy")              \
  X(synchronize, int (*)(Handle stream), "cuStreamSynchronize", "hipStreamSynchronize")            \
  X(create_event, int (*)(Handle * event, unsigned flags), "cuEventCreate",                        \
    "hipEventCreateWithFlags")                                                                     \
  X(destroy_event, int (*)(Handle event), "cuEventDestroy_v2", "hipEventDestroy")                  \
  X(record_event, int (*)(Handle event, Handle stream), "cuEventRecord", "hipEventRecord")         \
  X(wait_event, int (*)(Handle event), "cuEventSynchronize", "hipEventSynchronize")                \
  X(elapsed, int (*)(float* milliseconds, Handle from, Handle to), "cuEventElapsedTime",           \
    "hipEventElapsedTime")                                                                         \
  X(queue_waits, int (*)(Handle stream, Handle event, unsigned flags), "cuStreamWaitEvent",        \
    "hipStreamWaitEvent")                                                                          \
  X(load_module, int (*)(Handle * module, const void* image), "cuModuleLoadData",                  \
    "hipModuleLoadData")                                                                           \
  X(unload_module, int (*)(Handle module), "cuModuleUnload", "hipModuleUnload")                    \
  X(function, int (*)(Handle * function, Handle module, const char* name), "cuModuleGetFunction",  \
    "hipModuleGetFunction")                                                                        \
  X(launch,                                                                                        \
    int (*)(Handle function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,  \
            unsigned block_y, unsigned block_z, unsigned shared, Handle stream, void** parameters, \
            void** extra),                                                                         \
    "cuLaunchKernel", "hipModuleLaunchKernel")                                                     \
  X(error_name, int (*)(int error, const char** name), "cuGetErrorName", nullptr)                  \
  X(error_text, int (*)(int error, const char** text), "cuGetErrorString", nullptr)                \
  X(error_name_of, const char* (*)(int error), nullptr, "hipGetErrorName")                         \
  X(error_text_of, const char* (*)(int error), nullptr, "hipGetErrorString")

// Calls for graphs. Drivers without one of them have none, and launch one by one.
#define FLASH_GRAPH_CALLS(X)                                                                    \
  X(begin_capture, int (*)(Handle stream, int mode), "cuStreamBeginCapture_v2",                 \
    "hipStreamBeginCapture")                                                                    \
  X(end_capture, int (*)(Handle stream, Handle * graph), "cuStreamEndCapture",                  \
    "hipStreamEndCapture")                                                                      \
  X(instantiate, int (*)(Handle * executable, Handle graph, unsigned long long flags),          \
    "cuGraphInstantiateWithFlags", "hipGraphInstantiateWithFlags")                              \
  X(destroy_graph, int (*)(Handle graph), "cuGraphDestroy", "hipGraphDestroy")                  \
  X(launch_graph, int (*)(Handle executable, Handle stream), "cuGraphLaunch", "hipGraphLaunch") \
  X(destroy_executable, int (*)(Handle executable), "cuGraphExecDestroy", "hipGraphExecDestroy")

#define FLASH_COMPILER_CALLS(X)                                                           \
  X(version, int (*)(int* major, int* minor), "nvrtcVersion", "hiprtcVersion")            \
  X(create,                                                                               \
    int (*)(Handle * program, const char* source, const char* name, int headers,          \
            const char* const* texts, const char* const* names),                          \
    "nvrtcCreateProgram", "hiprtcCreateProgram")                                          \
  X(compile, int (*)(Handle program, int count, const char* const* options),              \
    "nvrtcCompileProgram", "hiprtcCompileProgram")                                        \
  X(log_size, int (*)(Handle program, std::size_t * bytes), "nvrtcGetProgramLogSize",     \
    "hiprtcGetProgramLogSize")                                                            \
  X(log, int (*)(Handle program, char* log), "nvrtcGetProgramLog", "hiprtcGetProgramLog") \
  X(code_size, int (*)(Handle program, std::size_t * bytes), "nvrtcGetCUBINSize",         \
    "hiprtcGetCodeSize")                                                                  \
  X(code, int (*)(Handle program, char* code), "nvrtcGetCUBIN", "hiprtcGetCode")          \
  X(ptx_size, int (*)(Handle program, std::size_t * bytes), "nvrtcGetPTXSize", nullptr)   \
  X(ptx, int (*)(Handle program, char* code), "nvrtcGetPTX", nullptr)                     \
  X(count_architectures, int (*)(int* count), "nvrtcGetNumSupportedArchs", nullptr)       \
  X(architectures, int (*)(int* numbers), "nvrtcGetSupportedArchs", nullptr)              \
  X(destroy, int (*)(Handle * program), "nvrtcDestroyProgram", "hiprtcDestroyProgram")    \
  X(error_text, const char* (*)(int error), "nvrtcGetErrorString", "hiprtcGetErrorString")

struct DriverCalls {
#define X(member, type, cuda, hip) std::type_identity_t<type> member = nullptr;
  FLASH_DRIVER_CALLS(X)
  FLASH_GRAPH_CALLS(X)
#undef X
};
struct CompilerCalls {
#define X(member, type, cuda, hip) std::type_identity_t<type> member = nullptr;
  FLASH_COMPILER_CALLS(X)
#undef X
};

// Numbers that both interfaces share.
inline constexpr int kSuccess = 0, kOutOfMemory = 2, kNoDevice = 100, kPeerIsEnabled = 704;
inline constexpr unsigned kStreamNonBlocking = 1, kEventWithTiming = 0, kEventWithoutTiming = 2;
inline constexpr int kCaptureThread = 1;  ///< other threads may call what this one may not

/// What differs between the two but for the calls' names.
struct Vendor {
  DeviceType type;
  const char* name;                                         ///< "CUDA"
  const char* compiler;                                     ///< "NVRTC"
  bool hip;                                                 ///< which column of the tables
  int max_threads, shared_bytes, processors, major, minor;  ///< attributes' numbers; -1: none
  std::span<const char*const> driver_libraries, compiler_libraries;  ///< names, newest first
  std::vector<std::string> (*driver_folders)();                      ///< where they may lie
  std::vector<std::string> (*compiler_folders)();
  const char* get_driver;    ///< how to get the driver; a sentence
  const char* get_compiler;  ///< how to get the compiler; a sentence
  const char* one_by_one;    ///< the variable that makes launches wait, so that errors name theirs
};

/// A vendor's driver, opened and initialised once.
class Driver {
 public:
  explicit Driver(const Vendor& vendor);

  const Vendor& vendor() const { return vendor_; }
  const std::string& missing() const { return missing_; }  ///< why there is none; empty if there is
  int devices() const { return devices_; }
  const std::string& version() const { return version_; }  ///< "13.0", or of HIP "5.2.21153"
  /// "CUDA_ERROR_ILLEGAL_ADDRESS (700): an illegal memory access was encountered"
  std::string describe(int error) const;

  DriverCalls calls;

 private:
  std::string asked_version() const;

  const Vendor& vendor_;
  std::string missing_, version_;
  int devices_ = 0;
};

}  // namespace flash::gpu
