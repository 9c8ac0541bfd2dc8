// kernels/cpu/leaf.h -- the CPU's leaf kernels: one entry, a table behind it, and what they share
//
// Bits of a result depend on shapes and dtype only: never on thread count, operand layout,
// alignment or epilogue. Half types are computed in f32 and rounded once, after the bias.
#pragma once

#include <cstdint>
#include <span>

#include "core/device.h"
#include "kernels/contraction.h"

namespace flash::cpu {

/// Runs one leaf kernel on the pool; returns the launches it took. Throws IndexError for indices
/// out of range, InternalError for operands that the public operations should have refused.
int run_leaf(const LeafCall& call);

/// Throws IndexError if a value of `index` is not in [0, rows).
void check_index(const Operand& index, std::int64_t rows);

/// Runs the compiled epilogue over the rectangle [begin, begin + extent) of the output's
/// dimensions.
void run_epilogue(const Epilogue& epilogue, std::span<const std::int64_t> begin,
                  std::span<const std::int64_t> extent);

// The kernels, one file each. All return the number of launches.
int matmul(const LeafCall& call);
int conv2d(const LeafCall& call);
int conv2d_dx(const LeafCall& call);
int conv2d_dw(const LeafCall& call);
int max_pool2d(const LeafCall& call);
int max_pool2d_dx(const LeafCall& call);
int avg_pool2d(const LeafCall& call);
int avg_pool2d_dx(const LeafCall& call);
int gather_rows(const LeafCall& call);
int scatter_add_rows(const LeafCall& call);

}  // namespace flash::cpu
