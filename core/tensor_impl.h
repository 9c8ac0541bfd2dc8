// core/tensor_impl.h -- what a Tensor handle points to: an index map over a cell, and autograd
// state
#pragma once

#include <atomic>
#include <memory>

#include "primitive.h"
#include "storage.h"
#include "tensor.h"

namespace flash {

struct AutogradMeta;  // core/autograd/meta.h

struct TensorImpl {
  Shape shape;
  Strides strides;          ///< elements of the cell
  std::int64_t offset = 0;  ///< elements of the cell
  Ref<Cell> cell;
  ViewKind view = ViewKind::kDims;
  std::uint64_t dims = 0;  ///< for kDims: see ViewKind
  bool whole = true;       ///< the cell's shape, unchanged: no view node is needed
  bool soft = false;       ///< kept by the tape only
  std::unique_ptr<AutogradMeta, void (*)(AutogradMeta*)> grad{nullptr, nullptr};

  NodeNote node;  ///< the view node made for this tensor, of some version of the cell

  DType dtype() const { return cell->dtype; }
  std::int64_t numel() const { return shape.numel(); }
  Device device() const { return cell->device; }

  void retain() { refs.retain(); }
  void release() {
    if (refs.release()) destroy();
  }
  RefCount refs;

  /// A new tensor over a new cell of this dtype, device and shape; one reference, the caller's.
  static TensorImpl* make(Device device, DType dtype, const Shape& shape);
  /// A new handle to the cell of `base` with another index map.
  static TensorImpl* make_view(const TensorImpl& base, const Shape& shape, const Strides& strides,
                               std::int64_t offset, ViewKind kind, std::uint64_t dims);

  static void* operator new(std::size_t size);
  static void operator delete(void* p);

 private:
  void destroy();
};

[[noreturn]] void refuse_undefined();
/// *impl; throws ValueError for an undefined handle.
inline TensorImpl& need(TensorImpl* impl) {
  if (!impl) refuse_undefined();
  return *impl;
}

inline constexpr std::uint64_t kDimNone = 15;
constexpr std::uint64_t dims_identity(int rank) {
  return 0x76543210u & ((std::uint64_t{1} << (4 * rank)) - 1);
}
constexpr int dim_of(std::uint64_t dims, int i) { return static_cast<int>((dims >> (4 * i)) & 15); }

}  // namespace flash
