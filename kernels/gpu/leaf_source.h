// kernels/gpu/leaf_source.h -- how the leaf kernels' sources are put together
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/function_ref.h"
#include "kernels/gpu/leaf.h"

namespace flash::gpu {

// The texts: everything but the definitions in front.
extern const std::string_view kRegisterText, kTensorCoreText, kProductText, kFoldText;

/// Definitions in front of a text.
class Defines {
 public:
  Defines& add(std::string_view name, std::string_view value);
  Defines& add(std::string_view name, std::int64_t value) {
    return add(name, std::to_string(value));
  }
  /// REAL, the type that `dtype` is computed in, and its functions; LOAD, STORE and BYTES of dtype.
  Defines& types(DType dtype);
  /// ARG_name for each word, in order; ARG_TAIL, a number, is where more words follow.
  Defines& words(std::span<const std::string_view> names);
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

/// The source named `entry`: made of its definitions and `texts` at the first call.
LeafSource leaf_source(const std::string& entry, std::initializer_list<std::string_view> texts,
                       int threads, FunctionRef<void(Defines&)> define);

/// A launch of `source` over `tiles` tiles.
LeafLaunch launch_of(const LeafSource& source, std::vector<std::int64_t> words, std::int64_t tiles,
                     std::int64_t most_blocks);

/// The words of a struct that consists of them.
template <class T>
std::vector<std::int64_t> words_of(const T& words) {
  static_assert(sizeof(T) % sizeof(std::int64_t) == 0);
  const auto* first = reinterpret_cast<const std::int64_t*>(&words);
  return {first, first + sizeof(T) / sizeof(std::int64_t)};
}

/// An address as a word.
inline std::int64_t word_of(const void* address) {
  return static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(address));
}

/// True if positions and counts that reach `most` need 64 bits.
inline bool is_wide(std::initializer_list<std::int64_t> most) {
  for (const std::int64_t n : most)
    if (n >= std::int64_t{1} << 30) return true;
  return false;
}
inline std::string_view index_name(bool wide) { return wide ? "i64" : "i32"; }

/// The floating dtypes, of which the arithmetic kernels have one source each.
inline constexpr DType kFloats[] = {DType::kF16, DType::kBF16, DType::kF32, DType::kF64};

// The kernels, by group: launches of a call, and all sources of the group.
std::vector<LeafLaunch> product_launches(const LeafCall&, const Capabilities&, const LeafMemory&);
std::vector<LeafLaunch> pool_launches(const LeafCall&, const Capabilities&, const LeafMemory&);
std::vector<LeafLaunch> row_launches(const LeafCall&, const Capabilities&, const LeafMemory&);
void add_product_sources(const Capabilities&, std::vector<LeafSource>& to);
void add_pool_sources(const Capabilities&, std::vector<LeafSource>& to);
void add_row_sources(const Capabilities&, std::vector<LeafSource>& to);

}  // namespace flash::gpu
