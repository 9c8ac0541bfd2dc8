// core/scope.cpp -- interned labels, and this thread's current marks
#include "core/scope.h"

#include <deque>
#include <mutex>
#include <string>
#include <unordered_map>

#include "core/fork.h"
#include "core/hot_tls.h"

namespace flash {
namespace {

struct Labels {
  std::mutex mutex;  // guards ids and names
  std::unordered_map<std::string_view, std::uint16_t> ids;
  std::deque<std::string> names{""};  // addresses stay
};
Labels& labels() {
  static Labels& all = hold_at_fork(ForkOrder::kLast, *new Labels, &Labels::mutex);
  return all;
}
constinit thread_local NodeMarks t_marks FLASH_HOT_TLS = {};

std::uint16_t intern(std::string_view label) {
  Labels& l = labels();
  std::lock_guard lock(l.mutex);
  if (auto it = l.ids.find(label); it != l.ids.end()) return it->second;
  if (l.names.size() >= UINT16_MAX) return 0;  // 65,535 distinct labels: later ones are unlabelled
  l.names.emplace_back(label);
  const auto id = static_cast<std::uint16_t>(l.names.size() - 1);
  l.ids.emplace(l.names.back(), id);
  return id;
}

}  // namespace

Scope::Scope(std::string_view label) : before_(t_marks.scope) {
  t_marks.scope = before_ == 0 ? intern(label)
                               : intern(std::string(scope_name(before_)).append("/").append(label));
}
Scope::~Scope() { t_marks.scope = before_; }
PassScope::PassScope(Pass pass) : before_(t_marks.pass) { t_marks.pass = pass; }
PassScope::~PassScope() { t_marks.pass = before_; }
NodeMarks current_marks() { return t_marks; }
std::string_view scope_name(std::uint16_t id) {
  Labels& l = labels();
  std::lock_guard lock(l.mutex);
  return id < l.names.size() ? std::string_view(l.names[id]) : std::string_view();
}

}  // namespace flash
