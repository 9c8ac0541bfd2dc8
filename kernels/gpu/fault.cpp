// kernels/gpu/fault.cpp -- reads the fault buffer
#include "kernels/gpu/fault.h"

#include <algorithm>
#include <cstring>
#include <tuple>

#include "core/error.h"
#include "core/primitive.h"
#include "kernels/leaf.h"

namespace flash::gpu {

std::optional<std::string> fault_message(std::span<const std::int64_t> buffer) {
  if (static_cast<std::int64_t>(buffer.size()) != kFaultWords)
    throw InternalError("fault_message: a buffer of " + std::to_string(buffer.size()) +
                        " words; want " + std::to_string(kFaultWords));
  const auto asked = static_cast<std::uint32_t>(buffer[0]);
  if (asked == 0) return std::nullopt;
  const std::uint32_t count = std::min<std::uint32_t>(asked, kFaultSlots);
  std::optional<Fault> first;
  for (std::uint32_t i = 0; i < count; ++i) {
    Fault f;
    std::memcpy(&f, buffer.data() + 1 + 5 * i, sizeof f);
    if (!first || std::tie(f.serial, f.item) < std::tie(first->serial, first->item)) first = f;
  }
  return std::string(index_user(static_cast<Prim>(first->op))) + ": " +
         bad_index(first->index, first->item, first->rows);
}

}  // namespace flash::gpu
