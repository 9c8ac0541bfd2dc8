// jit/emit/clike/prelude.cpp -- what a kernel needs of the text in front of it
#include "jit/emit/clike/prelude.h"

#include <algorithm>
#include <stdexcept>

namespace flash::emit {
namespace {

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/// Takes the first line, without its end, off a text.
std::string_view take_line(std::string_view& text) {
  const std::size_t end = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}

/// Takes the first word off a text.
std::string_view take_word(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  const std::string_view word = text.substr(0, text.find(' '));
  text.remove_prefix(word.size());
  return word;
}

std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> all;
  for (std::string_view w = take_word(text); !w.empty(); w = take_word(text)) all.push_back(w);
  return all;
}

/// Appends `body` with the values of names behind a $.
void append_with(std::string& to, std::string_view body, const std::vector<std::string_view>& names,
                 const std::vector<std::string_view>& values) {
  for (std::size_t i = 0; i < body.size();) {
    if (body[i] != '$') {
      to += body[i++];
      continue;
    }
    std::size_t end = ++i;
    while (end < body.size() && body[end] >= 'A' && body[end] <= 'Z') ++end;
    const std::string_view name = body.substr(i, end - i);
    const auto at = std::find(names.begin(), names.end(), name);
    if (at == names.end()) throw std::logic_error("prelude: $" + std::string(name) + " is no name");
    const auto number = static_cast<std::size_t>(at - names.begin());
    if (number < values.size()) to += values[number];
    i = end;
  }
}

std::string expanded(std::string_view text) {
  constexpr std::string_view kEach = "%each", kEnd = "%end\n";
  std::string all;
  while (!text.empty()) {
    const std::string_view line = take_line(text);
    if (!line.starts_with(kEach)) {
      all.append(line).append("\n");
      continue;
    }
    std::string header(line.substr(kEach.size()));
    while (text.starts_with("  |")) header.append(take_line(text));
    const std::size_t end = text.find(kEnd);
    if (end == text.npos) throw std::logic_error("prelude: an %each without %end");
    const std::string_view body = text.substr(0, end);
    text.remove_prefix(end + kEnd.size());
    std::string_view rows = header;
    std::vector<std::string_view> names;
    for (bool first = true; !rows.empty(); first = false) {
      const std::string_view row = rows.substr(0, rows.find('|'));
      rows.remove_prefix(std::min(row.size() + 1, rows.size()));
      if (first)
        names = words(row);
      else
        append_with(all, body, names, words(row));
    }
  }
  return all;
}

/// Whether a line belongs to the item that was begun before it.
bool goes_on(std::string_view line, std::string_view before) {
  return before.ends_with('\\') || (!line.empty() && (line[0] == ' ' || line[0] == '}'));
}

bool is_comment(std::string_view line) { return line.starts_with("//"); }

/// The word that ends in front of `at`.
std::string_view word_before(std::string_view text, std::size_t at) {
  while (at > 0 && text[at - 1] == ' ') --at;
  std::size_t begin = at;
  while (begin > 0 && is_letter(text[begin - 1])) --begin;
  return text.substr(begin, at - begin);
}

/// What an item declares, if that can be left out.
std::string_view name_of(std::string_view item) {
  if (item.starts_with("FN ")) return word_before(item, item.find('('));
  if (item.starts_with("shared ")) return word_before(item, item.find('['));
  if (item.starts_with("struct ") ||
      (item.starts_with("layout(buffer_reference") && item.find(" buffer ") != item.npos))
    return word_before(item, item.find('{'));
  return {};
}

}  // namespace

Prelude::Prelude(std::string_view text) : text_(expanded(text)) {
  std::string_view rest = text_;
  while (!rest.empty()) {
    const char* const begin = rest.data();
    std::string_view line = take_line(rest);
    if (line.empty() || is_comment(line)) continue;
    for (std::string_view ahead = rest; !ahead.empty(); rest = ahead) {
      const std::string_view next = take_line(ahead);
      if (!goes_on(next, line)) break;
      line = next;
    }
    const std::string_view item(begin, static_cast<std::size_t>(rest.data() - begin));
    items_.push_back({item, name_of(item), {}});
  }
  for (std::size_t i = 0; i < items_.size(); ++i)
    if (!items_[i].name.empty()) by_name_.emplace(items_[i].name, i);
  for (Item& item : items_) find_uses(item.text, item.uses);
}

void Prelude::find_uses(std::string_view text, std::vector<std::size_t>& uses) const {
  for (std::size_t i = 0; i < text.size();) {
    if (!is_letter(text[i])) {
      ++i;
      continue;
    }
    std::size_t end = i;
    while (end < text.size() && is_letter(text[end])) ++end;
    const auto [first, last] = by_name_.equal_range(text.substr(i, end - i));
    for (auto at = first; at != last; ++at) uses.push_back(at->second);
    i = end;
  }
}

std::string Prelude::source(std::string_view kernels) const {
  std::vector<bool> needed(items_.size(), false);
  std::vector<std::size_t> open;
  for (std::size_t i = 0; i < items_.size(); ++i)
    if (items_[i].name.empty()) open.push_back(i);
  find_uses(kernels, open);
  while (!open.empty()) {
    const std::size_t i = open.back();
    open.pop_back();
    if (needed[i]) continue;
    needed[i] = true;
    open.insert(open.end(), items_[i].uses.begin(), items_[i].uses.end());
  }
  // Without conditions between which nothing is left.
  std::vector<std::string_view> kept;
  const auto last_begins = [&](std::string_view what) {
    return !kept.empty() && kept.back().starts_with(what);
  };
  for (std::size_t i = 0; i < items_.size(); ++i) {
    if (!needed[i]) continue;
    const std::string_view item = items_[i].text;
    if (item.starts_with("#endif")) {
      while (last_begins("#el")) kept.pop_back();
      if (last_begins("#if")) {
        kept.pop_back();
        continue;
      }
    }
    kept.push_back(item);
  }
  std::string all;
  for (const std::string_view item : kept) all += item;
  return all.append(kernels);
}

}  // namespace flash::emit
