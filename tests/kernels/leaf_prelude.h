// tests/kernels/leaf_prelude.h -- the names that leaf kernels use, over the CUDA and HIP prelude
#pragma once

#include <string_view>

namespace flash::test {

inline constexpr std::string_view kLeafPrelude = R"source(
#define KERNEL(name) extern "C" __global__ void name(u64 args, i64 tiles)
#define ARG(n) (((const i64*)args)[n])
#define SHARED(type, name, count) alignas(16) __shared__ type name[count];
#define BARRIER() __syncthreads()
#define THREAD_X ((i32)threadIdx.x)
#define BLOCK_X ((i32)blockIdx.x)
#define GRID_X ((i32)gridDim.x)
#define AT_ADDRESS(NAME, R)                                                    \
  FN R load_##NAME(u64 at) { return load_##NAME((const char*)at); }            \
  FN void store_##NAME(u64 at, R v) { store_##NAME((char*)at, v); }
AT_ADDRESS(u8, i32)
AT_ADDRESS(i16, i32)
AT_ADDRESS(i32, i32)
AT_ADDRESS(i64, i64)
AT_ADDRESS(f16, f32)
AT_ADDRESS(bf16, f32)
AT_ADDRESS(f32, f32)
AT_ADDRESS(f64, f64)
FN u32 atomic_add_u32(u64 at, u32 n) { return atomicAdd((u32*)at, n); }
)source";

}  // namespace flash::test
