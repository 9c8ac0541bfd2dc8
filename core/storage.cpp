// core/storage.cpp -- life and death of buffers, cells and tensor handles
#include "core/storage.h"

#include <cstring>

#include "core/allocator.h"
#include "core/log.h"
#include "core/pool.h"
#include "core/tensor_impl.h"
#include "core/thread_traces.h"

namespace flash {

void* Buffer::operator new(std::size_t size) { return detail::Pool<Buffer>::take(size); }
void Buffer::operator delete(void* p) { detail::Pool<Buffer>::give(p); }
void* Cell::operator new(std::size_t size) { return detail::Pool<Cell>::take(size); }
void Cell::operator delete(void* p) { detail::Pool<Cell>::give(p); }
void* TensorImpl::operator new(std::size_t size) { return detail::Pool<TensorImpl>::take(size); }
void TensorImpl::operator delete(void* p) { detail::Pool<TensorImpl>::give(p); }

Ref<Buffer> Buffer::allocate(DeviceRuntime& device, std::size_t bytes, const char* label) {
  Block* block = device.allocator().allocate(bytes, label);
  Buffer* b = new Buffer;
  b->block_ = block;
  b->data_ = block->data;
  b->bytes_ = bytes;
  b->device_ = &device;
  return Ref<Buffer>::adopt(b);
}

Ref<Buffer> Buffer::wrap(DeviceRuntime& device, void* data, std::size_t bytes,
                         Callback<void()> release) {
  Buffer* b = new Buffer;
  b->external_ = true;
  b->data_ = data;
  b->bytes_ = bytes;
  b->device_ = &device;
  b->release_ = std::move(release);
  return Ref<Buffer>::adopt(b);
}

namespace {
/// Copies the elements of an index map over `size` bytes each.
void copy_elements(char* to, const char* from, const Shape& shape, const Strides& strides, int size,
                   int dim = 0) {
  if (dim == shape.rank()) {
    std::memcpy(to, from, static_cast<std::size_t>(size));
    return;
  }
  const std::int64_t step = strides[dim] * size;
  for (std::int64_t i = 0; i < shape[dim]; ++i)
    copy_elements(to + i * step, from + i * step, shape, strides, size, dim + 1);
}
}  // namespace

void Buffer::set_ours(const Shape& shape, const Strides& strides, int size) {
  ours_.reset(new Elements{shape, strides, size});
}

void Buffer::copy_value(void* to, const void* from, std::size_t bytes) const {
  if (ours_)
    copy_elements(static_cast<char*>(to), static_cast<const char*>(from), ours_->shape,
                  ours_->strides, ours_->size);
  else
    device_->copy(to, from, bytes, {});
}

void Buffer::destroy() {
  if (block_) device_->allocator().free(block_);
  try {
    if (release_) release_();
  } catch (const std::exception& e) {
    logging::error(std::string("from_blob: the release function threw: ") + e.what());
  }
  delete this;
}

Ref<Cell> Cell::make(Device device, DType dtype, const Shape& shape) {
  Cell* c = new Cell;
  c->shape = shape;
  c->dtype = dtype;
  c->device = device;
  return Ref<Cell>::adopt(c);
}

void Cell::destroy() {
  if (Trace* t = trace.load(std::memory_order_acquire); t && !pinned && t->drop_later(*this))
    return;
  // The owner's trace may be flushing at this moment: look again under its mutex.
  while (Trace* t = trace.load(std::memory_order_acquire)) {
    TraceLock lock(*t);
    if (trace.load(std::memory_order_relaxed) != t) continue;
    if (buffer && buffer->external()) {
      // The user's own memory gets what was written to it, also when no tensor is left that waits.
      const std::uint32_t undone_before = undone;
      const std::exception_ptr why = t->settle(FlushReason::kEval);
      const bool waits = trace.load(std::memory_order_relaxed) == t;
      if (waits || poison || undone != undone_before) try {
          std::rethrow_exception(why);
        } catch (const std::exception& e) {
          logging::error(std::string("from_blob: what was written to this memory is lost: ") +
                         e.what());
        }
      if (!waits) break;
    }
    t->drop(*this);
    break;
  }
  delete this;
}

TensorImpl* TensorImpl::make(Device device, DType dtype, const Shape& shape) {
  TensorImpl* t = new TensorImpl;
  t->shape = shape;
  set_contiguous(t->strides, shape);
  t->dims = dims_identity(shape.rank());
  t->cell = Cell::make(device, dtype, shape);
  return t;
}

TensorImpl* TensorImpl::make_view(const TensorImpl& base, const Shape& shape,
                                  const Strides& strides, std::int64_t offset, ViewKind kind,
                                  std::uint64_t dims) {
  TensorImpl* t = new TensorImpl;
  t->shape = shape;
  t->strides = strides;
  t->offset = offset;
  t->cell = base.cell;
  t->view = kind;
  t->dims = dims;
  t->whole =
      kind == ViewKind::kDims && dims == dims_identity(shape.rank()) && shape == base.cell->shape;
  return t;
}

void TensorImpl::destroy() {
  if (soft) cell->soft.fetch_sub(1, std::memory_order_relaxed);
  delete this;
}

}  // namespace flash
