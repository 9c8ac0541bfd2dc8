// kernels/vulkan/probe.h -- what a device really computes: asked by a small kernel when it is
// opened
#pragma once

#include "kernels/vulkan/gpu.h"

namespace flash::vulkan {

/// Sets the traits of `gpu`: instructions that do not give the CPU's bits for numbers that are hard
/// to round are left to integers. Vulkan promises none of them: division may be off by 2.5 units,
/// fma may round twice, subnormals may be zeros.
void probe(const std::shared_ptr<Gpu>& gpu);

}  // namespace flash::vulkan
