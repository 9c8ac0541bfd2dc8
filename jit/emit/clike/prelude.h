// jit/emit/clike/prelude.h -- the text in front of kernels, cut down to what they use
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace flash::emit {

/// Compilers read all that stands in front of a kernel, and most kernels use little of it.
///
/// An item of a prelude begins at the begin of a line and goes on while lines are indented or begin
/// with a brace. Functions (`FN type name(`), structs and GLSL's buffers and shared memory are left
/// out where nothing mentions them; everything else stays. Comments stay out of every source.
class Prelude {
 public:
  /// `text` may say something of several types:
  ///
  ///     %each T U | i32 u32 | i64 u64
  ///     FN $T neg_$T($T a) { return $T($U(0) - $U(a)); }
  ///     %end
  ///
  /// Rows may stand on lines of their own, each with a | behind two spaces; a last value that is
  /// not there is empty.
  explicit Prelude(std::string_view text);
  Prelude(const Prelude&) = delete;  // items are views of its own text
  Prelude& operator=(const Prelude&) = delete;

  const std::string& text() const { return text_; }  ///< all of it

  /// What `kernels` need, and then they.
  std::string source(std::string_view kernels) const;

 private:
  struct Item {
    std::string_view text;
    std::string_view name;          // empty: it always stays
    std::vector<std::size_t> uses;  // items that it mentions
  };
  // The items that a text mentions.
  void find_uses(std::string_view text, std::vector<std::size_t>& uses) const;

  std::string text_;
  std::vector<Item> items_;
  std::multimap<std::string_view, std::size_t> by_name_;  // more than one where #if chooses
};

}  // namespace flash::emit
