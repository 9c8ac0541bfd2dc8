// jit/emit/clike/generic_cases.h -- what an instruction of a generic kernel's program may be
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "jit/ir/kernel.h"

namespace flash::emit::generic {

inline constexpr int kRegisters = 48, kReductions = 3, kAxes = 8;

/// Of loads and stores the dtype counts, of conversions both types, of comparisons the operands'.
using CaseKey = std::tuple<ir::Op, int, int>;
CaseKey key_of(const ir::Kernel& k, const ir::Inst& i);
/// Every case in order of its number, with the statement that computes it.
std::vector<std::pair<CaseKey, std::string>> all_cases();
std::uint32_t case_of(const CaseKey& key);

/// The number of combining two values of `type`.
constexpr std::uint32_t combining(ir::ReduceKind kind, ir::Type type) {
  constexpr std::uint32_t kTypes = 5;
  return static_cast<std::uint32_t>(kind) * kTypes + static_cast<std::uint32_t>(type);
}

}  // namespace flash::emit::generic
