// core/autograd/strided.h -- reading and writing a storage through index maps, as differentiable
// operations
//
// Two linear maps, each the other's transpose; gradients of slices, windows and in-place writes.
#pragma once

#include <span>
#include <vector>

#include "core/tensor_impl.h"

namespace flash::autograd {

/// An index map: element (i0, i1, …) is at offset + Σ i·stride of the storage.
struct Geometry {
  Shape shape;
  Strides strides;
  std::int64_t offset = 0;

  static Geometry contiguous(const Shape& s) { return {s, contiguous_strides(s), 0}; }
  static Geometry of(const TensorImpl& t) { return {t.shape, t.strides, t.offset}; }
  bool overlaps() const { return may_overlap(shape, strides); }
};

/// A view of a base, both index maps over a storage of shape `storage`.
struct ViewMap {
  Shape storage;
  Geometry base, view;

  std::vector<std::int64_t> words() const;
  static ViewMap from_words(std::span<const std::int64_t> words);
  bool base_is_storage() const {
    return base.offset == 0 && base.shape == storage && base.strides == contiguous_strides(storage);
  }
};

/// The view's elements of a tensor shaped as the base.
Tensor strided_take(const Tensor& base, const ViewMap& m);
/// A tensor shaped as the base: `view` at the view's elements (added up where they overlap), else
/// zero.
Tensor strided_put(const Tensor& view, const ViewMap& m);

}  // namespace flash::autograd
