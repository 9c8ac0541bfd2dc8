// train/io/json.cpp -- one pass that checks, another one that builds
//
// nlohmann::json::parse with a callback could do both at once, but it looks at all values of a list
// again after each object in it: 200 kB of "{}," take seconds.
#include "train/io/json.h"

#include <set>
#include <string>
#include <vector>

namespace flash::io {
namespace {

using nlohmann::json;

class Check : public nlohmann::json_sax<json> {
 public:
  explicit Check(int most_depth) : most_depth_(most_depth) {}
  const std::string& problem() const { return problem_; }

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }

  bool start_object(std::size_t) override { return open(); }
  bool start_array(std::size_t) override { return open(); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    return keys_.back().insert(name).second || fail("has \"" + printable(name) + "\" twice");
  }
  bool parse_error(std::size_t, const std::string&, const json::exception& e) override {
    return fail("is not JSON (" + printable(e.what(), 300) + ")");
  }

 private:
  bool open() {
    if (static_cast<int>(keys_.size()) > most_depth_) return fail("is nested too deep");
    keys_.emplace_back();
    return true;
  }
  bool close() {
    keys_.pop_back();
    return true;
  }
  bool fail(std::string what) {
    problem_ = std::move(what);
    return false;
  }

  int most_depth_;
  std::vector<std::set<std::string>> keys_;  // of every object and array that is open
  std::string problem_;
};

}  // namespace

json parse_json(ByteSpan text, int most_depth) {
  const char* begin = reinterpret_cast<const char*>(text.data());
  {
    Check check(most_depth);
    if (!json::sax_parse(begin, begin + text.size(), &check)) throw JsonError(check.problem());
  }
  return json::parse(begin, begin + text.size());
}

}  // namespace flash::io
