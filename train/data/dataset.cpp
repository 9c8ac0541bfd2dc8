// train/data/dataset.cpp -- batches out of tensors in memory
#include "train/data/dataset.h"

#include <cstring>

namespace flash::data {
namespace {

/// Rows of a contiguous host tensor, copied into a new one on `device`. Plain copies: nothing
/// enters a trace.
Tensor gather_rows(const Tensor& t, std::span<const std::int64_t> rows, std::int64_t size,
                   Device device) {
  Shape shape = t.shape();
  const auto bytes = static_cast<std::size_t>(t.numel() / (size > 0 ? size : 1)) *
                     static_cast<std::size_t>(size_of(t.dtype()));
  shape[0] = static_cast<std::int64_t>(rows.size());
  std::vector<std::byte> out(bytes * rows.size());
  const auto* from = bytes > 0 && size > 0 ? static_cast<const std::byte*>(t.raw_data()) : nullptr;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i] < 0 || rows[i] >= size)
      throw IndexError("get_batch: example " + std::to_string(rows[i]) + " of " +
                       std::to_string(size) + "; indices go from 0 to the size less one");
    if (bytes > 0)
      std::memcpy(out.data() + i * bytes, from + static_cast<std::size_t>(rows[i]) * bytes, bytes);
  }
  return from_host(out.data(), shape, t.dtype(), device);
}

Tensor on_host(const Tensor& t) {
  Tensor host = t.detach().to(Device{}).contiguous();
  host.eval();
  return host;
}

}  // namespace

PhiloxWords Draw::words(std::int64_t index) const {
  // Blocks of other streams of this seed have a zero third word (core/random.h).
  return philox({static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32),
                 static_cast<std::uint32_t>(epoch), 0xDA7Au},
                {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
}

TensorDataset::TensorDataset(const Tensor& x, const Tensor& y) : size_(0) {
  if (!x.defined() || !y.defined())
    throw ValueError("TensorDataset: x or y is undefined; pass tensors that exist");
  if (x.dim() < 1 || y.dim() < 1 || x.size(0) != y.size(0))
    throw ShapeError("TensorDataset: x is " + x.shape().str() + " and y " + y.shape().str() +
                     "; both need the same number of examples as dimension 0");
  x_ = on_host(x);
  y_ = on_host(y);
  x_device_ = x.device();
  y_device_ = y.device();
  size_ = x.size(0);
}

Batch TensorDataset::get_batch(std::span<const std::int64_t> indices, const Draw&) const {
  return {gather_rows(x_, indices, size_, x_device_), gather_rows(y_, indices, size_, y_device_)};
}

Subset::Subset(std::shared_ptr<const Dataset> all, std::int64_t start, std::int64_t count)
    : all_(std::move(all)), start_(start), count_(count) {
  if (!all_) throw ValueError("Subset: the data set is null; pass one that exists");
  if (start < 0 || count < 0 || start > all_->size() - count)
    throw IndexError("Subset: examples [" + std::to_string(start) + ", " + std::to_string(start) +
                     " + " + std::to_string(count) + ") of " + std::to_string(all_->size()) +
                     "; choose a range inside");
}

Batch Subset::get_batch(std::span<const std::int64_t> indices, const Draw& draw) const {
  std::vector<std::int64_t> moved(indices.begin(), indices.end());
  for (auto& i : moved) {
    if (i < 0 || i >= count_)
      throw IndexError("get_batch: example " + std::to_string(i) + " of " + std::to_string(count_) +
                       "; indices go from 0 to the size less one");
    i += start_;
  }
  return all_->get_batch(moved, draw);
}

}  // namespace flash::data
