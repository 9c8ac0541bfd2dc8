// kernels/cuda/blas_lt_problem.cpp -- which products cuBLASLt can be asked for
#include "kernels/cuda/blas_lt_problem.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace flash::cuda {
namespace {

using Index = std::int64_t;

constexpr Index kLeastWork = Index{1} << 15;  // below it a call costs more than the product

Index alignment_of(const void* at) {
  const auto bits = std::bit_cast<std::uintptr_t>(at);
  return bits == 0 ? 16 : Index{1} << std::min(std::countr_zero(bits), 4);
}

/// rows × columns elements, `down` and `across` apart. One of the two has to be 1 (or to have one
/// element), the other as long as its run.
std::optional<BlasMatrix> matrix(Index rows, Index columns, Index down, Index across) {
  BlasMatrix m{rows, columns};
  if ((down == 1 || rows == 1) && (across >= rows || columns == 1)) {
    m.pitch = columns == 1 ? rows : across;
    return m;
  }
  if ((across == 1 || columns == 1) && (down >= columns || rows == 1)) {
    m.pitch = rows == 1 ? columns : down;
    std::swap(m.rows, m.columns);
    m.transposed = true;
    return m;
  }
  return std::nullopt;
}

/// Leading dimensions as one: how many products, and how far their operands lie apart.
struct Batch {
  Index count = 1, a = 0, b = 0;
};
std::optional<Batch> batch_of(const Operand& a, const Operand& b, const Shape& out) {
  Batch batch;
  const auto stride = [&](const Operand& x, int dim) {
    const int at = dim - (out.rank() - x.shape.rank());
    return at >= 0 && x.shape[at] != 1 ? x.strides[at] : 0;
  };
  for (int d = out.rank() - 3; d >= 0; --d) {
    if (out[d] == 1) continue;
    const Index sa = stride(a, d), sb = stride(b, d);
    if (batch.count == 1) {
      batch = {out[d], sa, sb};
    } else if (sa == batch.a * batch.count && sb == batch.b * batch.count) {
      batch.count *= out[d];
    } else {
      return std::nullopt;
    }
  }
  return batch;
}

}  // namespace

std::optional<BlasProblem> blas_problem(const LeafCall& call) {
  const Operand &a = call.inputs[0], &b = call.inputs[1], &out = call.output;
  if (call.op != Prim::kMatmul || !is_half(out.dtype) || a.dtype != out.dtype ||
      b.dtype != out.dtype)
    return {};
  const int ra = a.shape.rank(), rb = b.shape.rank();
  Index m = out.shape[out.shape.rank() - 2];
  const Index n = out.shape.back(), k = a.shape.back();
  const std::optional<Batch> found = batch_of(a, b, out.shape);
  if (!found || out.shape.numel() == 0 || k == 0) return {};
  Batch batch = *found;
  if (m * n * k * batch.count < kLeastWork) return {};
  const Index a_down = a.strides[ra - 2], a_across = a.strides[ra - 1];
  // Many with one right side are one that has many rows.
  if (batch.count > 1 && batch.b == 0 && batch.a == m * a_down) {
    m *= batch.count;
    batch = {};
  }
  if (batch.a < 0 || batch.b < 0) return {};
  // a^T is k × m, b^T is n × k, out^T n × m.
  std::optional<BlasMatrix> left = matrix(n, k, b.strides[rb - 1], b.strides[rb - 2]);
  std::optional<BlasMatrix> right = matrix(k, m, a_across, a_down);
  if (!left || !right) return {};
  BlasProblem p;
  p.dtype = out.dtype;
  p.batch = batch.count;
  p.a = *left;
  p.b = *right;
  p.d = {n, m, n};
  p.a.batch_stride = batch.b;
  p.b.batch_stride = batch.a;
  p.d.batch_stride = n * m;
  p.a.alignment = alignment_of(b.data);
  p.b.alignment = alignment_of(a.data);
  p.d.alignment = alignment_of(out.data);
  if (call.inputs.size() > 2) {
    const Operand& bias = call.inputs[2];
    if (bias.strides[0] != 1 && n > 1) return {};
    p.biased = alignment_of(bias.data);
  }
  return p;
}

}  // namespace flash::cuda
