// train/io/json.h -- JSON of files that mean harm: bounded nesting, no key twice, linear time
#pragma once

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "core/io/file.h"

namespace flash::io {

/// What is wrong with a text, to be put behind its name: "is not JSON (…)". Callers name the file.
class JsonError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Parses a text. Nesting is bounded, because writing and dropping a value are recursive, and no
/// key may come twice in an object: what two readers could understand differently is refused.
/// Throws JsonError.
nlohmann::json parse_json(ByteSpan text, int most_depth);

}  // namespace flash::io
