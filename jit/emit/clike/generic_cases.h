// jit/emit/clike/generic_cases.h -- what an instruction of a generic kernel's program may be
#pragma once

#include <array>
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

inline constexpr std::array kNumbers = {ir::Type::kI32, ir::Type::kI64, ir::Type::kF32,
                                        ir::Type::kF64};
inline constexpr std::string_view kCombine[] = {"add", "mul", "max", "min"};  ///< by ReduceKind
/// The number of combining two values of `type`.
constexpr std::uint32_t combining(ir::ReduceKind kind, ir::Type type) {
  return static_cast<std::uint32_t>(kind) * 5 + static_cast<std::uint32_t>(type);
}

}  // namespace flash::emit::generic
