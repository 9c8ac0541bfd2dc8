// core/autograd/strided.cpp -- strided reads and writes as a pair of transposed linear maps
#include "core/autograd/strided.h"

#include "core/autograd/hooks.h"
#include "core/autograd/tape.h"
#include "core/ops/create.h"
#include "core/ops/elementwise.h"
#include "core/ops/iota.h"
#include "core/ops/reduce.h"

namespace flash::autograd {

std::vector<std::int64_t> ViewMap::words() const {
  std::vector<std::int64_t> w{storage.rank()};
  w.insert(w.end(), storage.begin(), storage.end());
  for (const Geometry* g : {&base, &view}) {
    w.push_back(g->shape.rank());
    w.insert(w.end(), g->shape.begin(), g->shape.end());
    w.insert(w.end(), g->strides.begin(), g->strides.end());
    w.push_back(g->offset);
  }
  return w;
}

ViewMap ViewMap::from_words(std::span<const std::int64_t> words) {
  std::size_t at = 0;
  const auto list = [&](std::int64_t rank) {
    const Shape s(words.subspan(at, static_cast<std::size_t>(rank)));
    at += static_cast<std::size_t>(rank);
    return s;
  };
  ViewMap m;
  m.storage = list(words[at++]);
  for (Geometry* g : {&m.base, &m.view}) {
    const std::int64_t rank = words[at++];
    g->shape = list(rank);
    g->strides = list(rank);
    g->offset = words[at++];
  }
  return m;
}

namespace {

/// `t` at the elements of a storage that the map reaches, added up where it reaches one twice.
Tensor put_into_storage(const Tensor& t, const Shape& storage, Geometry g) {
  Tensor value = t;
  Shape broadcast;
  for (int i = 0; i < g.shape.rank(); ++i)
    if (g.strides[i] == 0 && g.shape[i] != 1) broadcast.push_back(i);
  if (!broadcast.empty()) {
    value = sum(value, broadcast, /*keepdim=*/true);
    g.shape = value.shape();
  }
  if (g.overlaps()) {
    Tensor index = full({}, g.offset, {.dtype = DType::kI64, .device = t.device()});
    for (int i = 0; i < g.shape.rank(); ++i) {
      Shape along = g.shape;
      for (int d = 0; d < along.rank(); ++d) along[d] = d == i ? g.shape[i] : 1;
      index = index + (iota_on(g.shape[i], t.device()) * g.strides[i]).reshape(along);
    }
    const Tensor flat = value.reshape({value.numel(), 1}), at = index.reshape({value.numel()});
    const Tensor* in[] = {&flat, &at};
    const std::int64_t rows = storage.numel();
    const Shape shape{rows, 1};
    return bind(Prim::kScatterAddRows, in, {&rows, 1}, &shape).reshape(storage);
  }
  Tensor z = full(storage, 0, {.dtype = t.dtype(), .device = t.device()});
  if (value.numel() > 0) z.as_strided(g.shape, g.strides, g.offset).copy_(value);
  return z;
}

/// A gradient of a base whose elements may lie in the storage more than once: each element of the
/// storage is divided by how often the base shows it, so that the shows add up to what it was.
Tensor mean_of_copies(const Tensor& in_storage, const ViewMap& m) {
  if (!m.base.overlaps()) return in_storage;
  const Tensor ones =
      full(m.base.shape, 1, {.dtype = in_storage.dtype(), .device = in_storage.device()});
  return in_storage / maximum(put_into_storage(ones, m.storage, m.base), 1.0);
}

void take_vjp(BackwardCall& c) { c.give(0, strided_put(c.grad(), ViewMap::from_words(c.words()))); }
void put_vjp(BackwardCall& c) { c.give(0, strided_take(c.grad(), ViewMap::from_words(c.words()))); }
const Rule kTake{.name = "strided_take", .vjp = take_vjp};
const Rule kPut{.name = "strided_put", .vjp = put_vjp};

Tensor whole_copy(const Tensor& t) {
  const TensorImpl& i = *t.impl();
  return i.whole && i.cell->shape == i.shape ? t : t.clone();
}

}  // namespace

Tensor strided_take(const Tensor& base, const ViewMap& m) {
  const bool on = tracks_any({&base});
  Tensor out;
  {
    GradMode off(false);
    const Tensor storage = m.base_is_storage()
                               ? whole_copy(base)
                               : mean_of_copies(put_into_storage(base, m.storage, m.base), m);
    out = storage.as_strided(m.view.shape, m.view.strides, m.view.offset);
  }
  if (on) record_composite(kTake, {&base}, out, {}, m.words());
  return out;
}

Tensor strided_put(const Tensor& view, const ViewMap& m) {
  const bool on = tracks_any({&view});
  Tensor out;
  {
    GradMode off(false);
    out = put_into_storage(view, m.storage, m.view);
    if (!m.base_is_storage())
      out = mean_of_copies(out, m).as_strided(m.base.shape, m.base.strides, m.base.offset);
  }
  if (on) record_composite(kPut, {&view}, out, {}, m.words());
  return out;
}

}  // namespace flash::autograd
