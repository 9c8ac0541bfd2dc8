// kernels/cpu/embedding.cpp -- rows of a table by index, and the sum of gradients by row
#include <algorithm>
#include <cstring>
#include <string>

#include "core/error.h"
#include "kernels/cpu/convert.h"
#include "kernels/cpu/leaf.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/cpu/workspace.h"
#include "kernels/leaf.h"

namespace flash::cpu {
namespace {

using Index = std::int64_t;

/// Offset, in elements, of item `i` (row-major) of the first `dims` dimensions of an operand.
Index offset_of(const Operand& x, int dims, Index i) {
  Index offset = 0;
  for (int d = dims - 1; d >= 0; --d) {
    offset += i % x.shape[d] * x.strides[d];
    i /= x.shape[d];
  }
  return offset;
}

/// Reads index `i`, row-major, and checks it.
class Indices {
 public:
  Indices(const LeafCall& call, const Operand& x, Index rows)
      : call_(call), x_(x), rows_(rows), contiguous_(is_contiguous(x.shape, x.strides)) {
    require(x.dtype == DType::kI64, call, "i64 indices");
  }
  Index operator[](Index i) const {
    const auto* data = static_cast<const std::int64_t*>(x_.data);
    const Index row = contiguous_ ? data[i] : data[offset_of(x_, x_.shape.rank(), i)];
    if (row < 0 || row >= rows_)
      throw IndexError(std::string(index_user(call_.op)) + ": " + bad_index(row, i, rows_));
    return row;
  }

 private:
  const LeafCall& call_;
  const Operand& x_;
  Index rows_;
  bool contiguous_;
};

template <class S>
void copy_elements(void* dst, const void* src, Index n, Index stride) {
  for (Index i = 0; i < n; ++i) static_cast<S*>(dst)[i] = static_cast<const S*>(src)[i * stride];
}

void copy_strided(void* dst, const void* src, Index n, Index stride, Index size) {
  if (stride == 1)
    std::memcpy(dst, src, static_cast<std::size_t>(n * size));
  else if (size == 1)
    copy_elements<std::uint8_t>(dst, src, n, stride);
  else if (size == 2)
    copy_elements<std::uint16_t>(dst, src, n, stride);
  else if (size == 4)
    copy_elements<std::uint32_t>(dst, src, n, stride);
  else
    copy_elements<std::uint64_t>(dst, src, n, stride);
}

/// sums[j] += row[j * stride].
template <class T, class S>
void add_row(T* sums, const S* row, Index n, Index stride) {
  if (stride == 1)
    for (Index j = 0; j < n; ++j) sums[j] += load(row[j]);
  else
    for (Index j = 0; j < n; ++j) sums[j] += load(row[j * stride]);
}

/// Sums the gradients of each row in the order of their items. `order` holds the items of row r at
/// [start[r], start[r + 1]).
template <class S>
void sum_rows(const Operand& dy, const Operand& out, const Index* start, const Index* order) {
  using T = typename ComputeOf<S>::Type;
  const Index rows = out.shape[0], width = out.shape[1];
  const int dims = dy.shape.rank() - 1;
  const Index stride = dy.strides[dims];
  // Rows of one item are cheap, those of many dear: ranges are small, so that they balance.
  const Index grain = std::max<Index>(1, 8192 / std::max<Index>(width, 1));
  parallel_for(rows, grain, [&](Index begin, Index end) {
    for (Index r = begin; r < end; ++r) {
      S* target = static_cast<S*>(out.data) + r * width;
      T* sums;
      if constexpr (std::is_same_v<S, T>)
        sums = target;
      else
        sums = workspace<T>(Slot::kA, width);
      std::fill_n(sums, width, T(0));
      for (Index i = start[r]; i < start[r + 1]; ++i)
        add_row(sums, static_cast<const S*>(dy.data) + offset_of(dy, dims, order[i]), width,
                stride);
      if constexpr (!std::is_same_v<S, T>)
        for (Index j = 0; j < width; ++j) target[j] = store<S>(sums[j]);
    }
  });
}

}  // namespace

void check_index(const Operand& index, Index rows) {
  if (index.dtype != DType::kI64) throw InternalError("check_index: indices that are not i64");
  const auto* data = static_cast<const std::int64_t*>(index.data);
  const bool contiguous = is_contiguous(index.shape, index.strides);
  const int dims = index.shape.rank();
  const Index items = index.shape.numel();
  for (Index i = 0; i < items; ++i) {
    const Index row = contiguous ? data[i] : data[offset_of(index, dims, i)];
    if (row < 0 || row >= rows) throw IndexError(bad_index(row, i, rows));
  }
}

int gather_rows(const LeafCall& call) {
  const Operand &table = call.inputs[0], &index = call.inputs[1], &out = call.output;
  require(table.shape.rank() == 2 && out.shape.rank() == index.shape.rank() + 1 &&
              out.shape.back() == table.shape[1] && out.dtype == table.dtype,
          call, "a table [V, D] and an output [..., D]");
  const Indices indices(call, index, table.shape[0]);
  const Index width = table.shape[1], size = size_of(table.dtype);
  const Index grain = std::max<Index>(1, 32768 / std::max<Index>(width * size, 1));
  parallel_for(index.shape.numel(), grain, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i)
      copy_strided(static_cast<char*>(out.data) + i * width * size,
                   static_cast<const char*>(table.data) + indices[i] * table.strides[0] * size,
                   width, table.strides[1], size);
  });
  return 1;
}

int scatter_add_rows(const LeafCall& call) {
  const Operand &dy = call.inputs[0], &index = call.inputs[1], &out = call.output;
  require(out.shape.rank() == 2 && dy.shape.rank() == index.shape.rank() + 1 &&
              dy.shape.back() == out.shape[1] && dy.dtype == out.dtype,
          call, "gradients [..., D] and an output [V, D]");
  const Index rows = out.shape[0], items = index.shape.numel();
  const Indices indices(call, index, rows);
  // A stable counting sort by row; one more than `rows` entries, shifted by one while they count.
  Index* start = workspace<Index>(Slot::kShared, rows + 2);
  Index* order = workspace<Index>(Slot::kShared2, items);
  std::fill_n(start, rows + 2, 0);
  for (Index i = 0; i < items; ++i) ++start[indices[i] + 2];
  for (Index r = 2; r < rows + 2; ++r) start[r] += start[r - 1];
  for (Index i = 0; i < items; ++i) order[start[indices[i] + 1]++] = i;
  with_float_type(out.dtype, [&](auto s) { sum_rows<decltype(s)>(dy, out, start, order); });
  return 1;
}

}  // namespace flash::cpu
