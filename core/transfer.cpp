// core/transfer.cpp -- tensors from device to device, forward and in the gradient
#include <string_view>
#include <vector>

#include "core/autograd/autograd.h"
#include "core/autograd/hooks.h"
#include "core/autograd/tape.h"
#include "core/scope.h"
#include "core/tensor_impl.h"
#include "core/thread_traces.h"

namespace flash {
namespace {

// Words: where the gradient has to go.
void to_vjp(autograd::BackwardCall& c) {
  c.give(0, c.grad().to(Device(static_cast<DeviceType>(c.word(0)), static_cast<int>(c.word(1)))));
}
const autograd::Rule kTo{.name = "to", .vjp = to_vjp};

Tensor transfer(const Tensor& x, Device d) {
  const NoGrad guard;
  const Tensor c = x.contiguous();
  const Ref<Buffer> held = buffer_of(*c.impl()->cell, FlushReason::kThread);
  const auto size = static_cast<std::int64_t>(size_of(c.dtype()));
  const auto bytes = static_cast<std::size_t>(c.numel() * size);
  const char* const from = static_cast<const char*>(held->data()) + c.impl()->offset * size;
  DeviceRuntime &here = held->device(), &there = runtime(d);

  Tensor t = Tensor::adopt(TensorImpl::make(d, c.dtype(), c.shape()));
  const std::string_view scope = scope_name(current_marks().scope);
  Ref<Buffer>& to = t.impl()->cell->buffer;
  to = Buffer::allocate(there, bytes, scope.empty() ? "copied" : scope.data());
  if (bytes == 0 || there.copy_from_peer(to->data(), here, from, bytes, {})) return t;
  std::vector<char> host(bytes);
  here.to_host(host.data(), from, bytes, {});
  there.from_host(to->data(), host.data(), bytes, {});
  return t;
}

}  // namespace

Tensor Tensor::to(Device d) const& {
  const Device here = device();
  if (d == here) return *this;
  Tensor there = transfer(*this, d);
  if (autograd::tracks(*this)) {
    const std::int64_t back[] = {static_cast<std::int64_t>(here.type()), here.index()};
    autograd::record_composite(kTo, {this}, there, {}, back);
  }
  return there;
}

}  // namespace flash
