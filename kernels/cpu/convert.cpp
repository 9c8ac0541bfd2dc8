// kernels/cpu/convert.cpp -- elements to and from the type they are computed in
#include "kernels/cpu/convert.h"

#include <algorithm>

#include "kernels/cpu/microkernel.h"

namespace flash::cpu {

template <class T>
void widen(DType dtype, std::int64_t n, const void* src, std::int64_t stride, T* dst) {
  if constexpr (std::is_same_v<T, float>) {
    if (stride == 1 && dtype == DType::kF16)
      return half_rows().from_f16(n, static_cast<const std::uint16_t*>(src), dst);
    if (stride == 1 && dtype == DType::kBF16)
      return half_rows().from_bf16(n, static_cast<const std::uint16_t*>(src), dst);
  }
  with_float_type(dtype, [&](auto s) {
    using S = decltype(s);
    if constexpr (std::is_same_v<typename ComputeOf<S>::Type, T>) {
      const auto* from = static_cast<const S*>(src);
      if constexpr (std::is_same_v<S, T>)
        if (stride == 1) {
          std::copy_n(from, n, dst);
          return;
        }
      for (std::int64_t i = 0; i < n; ++i) dst[i] = load(from[i * stride]);
    }
  });
}

template <class T>
void narrow(DType dtype, std::int64_t n, const T* src, void* dst) {
  if constexpr (std::is_same_v<T, float>) {
    if (dtype == DType::kF16) return half_rows().to_f16(n, src, static_cast<std::uint16_t*>(dst));
    if (dtype == DType::kBF16) return half_rows().to_bf16(n, src, static_cast<std::uint16_t*>(dst));
  }
  std::copy_n(src, n, static_cast<T*>(dst));
}

template void widen(DType, std::int64_t, const void*, std::int64_t, float*);
template void widen(DType, std::int64_t, const void*, std::int64_t, double*);
template void narrow(DType, std::int64_t, const float*, void*);
template void narrow(DType, std::int64_t, const double*, void*);

}  // namespace flash::cpu
