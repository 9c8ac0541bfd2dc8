// train/loop/run_state.cpp -- JSON has no NaN and no infinity: those numbers are written as strings
#include "train/loop/run_state.h"

#include <cmath>
#include <cstdint>
#include <limits>

#include "core/error.h"
#include "core/io/file.h"

namespace flash::train {
namespace {

using Json = nlohmann::json;

/// What is wrong with a state; run_state_from names the file.
struct Bad {
  std::string what;
};

Json number(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return value;
}

double number_from(const Json& json) {
  if (!json.is_string()) return json.get<double>();
  const auto text = json.get<std::string>();
  if (text == "nan") return std::numeric_limits<double>::quiet_NaN();
  if (text == "inf") return std::numeric_limits<double>::infinity();
  if (text == "-inf") return -std::numeric_limits<double>::infinity();
  throw Bad{"'" + io::printable(text, 20) + "' is no number"};
}

std::string text_of(const Json& json) { return io::printable(json.dump(), 20); }

/// Of epochs, steps and examples: none gets near it, and adding to one never overflows.
constexpr std::int64_t kMostCount = std::int64_t{1} << 62;

/// A whole number: get<T>() alone also takes fractions, flags and what T cannot hold.
std::int64_t whole_from(const Json& json, const char* what) {
  const Json& value = json.at(what);
  const bool fits = value.is_number_unsigned()
                        ? value.get<std::uint64_t>() <= std::uint64_t{kMostCount}
                        : value.is_number_integer() && value.get<std::int64_t>() <= kMostCount;
  if (!fits)
    throw Bad{std::string(what) + " is " + text_of(value) +
              "; it must be a whole number, and one that a run can reach"};
  return value.get<std::int64_t>();
}

std::uint64_t unsigned_from(const Json& json, const char* what) {
  const Json& value = json.at(what);
  if (!value.is_number_unsigned())
    throw Bad{std::string(what) + " is " + text_of(value) +
              "; it must be a whole number of at least 0"};
  return value.get<std::uint64_t>();
}

std::int64_t count_from(const Json& json, const char* what) {
  const std::int64_t value = whole_from(json, what);
  if (value < 0)
    throw Bad{std::string(what) + " is " + std::to_string(value) + "; it must be at least 0"};
  return value;
}

Json metrics(const Metrics& m) {
  const Json accuracy = m.accuracy ? number(*m.accuracy) : Json();
  return {{"loss", number(m.loss)}, {"accuracy", accuracy}, {"examples", m.examples}};
}

Metrics metrics_from(const Json& json) {
  Metrics m{number_from(json.at("loss")), {}, count_from(json, "examples")};
  // Null where there is none; the first checkpoints had -1 there.
  const Json& accuracy = json.at("accuracy");
  if (!accuracy.is_null() && number_from(accuracy) >= 0) m.accuracy = number_from(accuracy);
  return m;
}

}  // namespace

LoaderIdentity identity_of(const data::DataLoader& loader) {
  const data::LoaderOptions& o = loader.options();
  return {loader.dataset().size(), o.batch_size, o.shuffle, o.drop_last, o.seed};
}

std::string describe(const LoaderIdentity& id) {
  return std::to_string(id.examples) + " examples in batches of " + std::to_string(id.batch_size) +
         (id.shuffle ? ", shuffled by seed " + std::to_string(id.seed) : ", in order") +
         (id.drop_last ? ", without the last partial one" : "");
}

Json to_json(const RunState& s) {
  Json history = Json::array();
  for (const EpochResult& e : s.history)
    history.push_back({{"epoch", e.epoch},
                       {"train", metrics(e.train)},
                       {"validation", e.validation ? metrics(*e.validation) : Json()},
                       {"seconds", e.seconds}});
  Json numbers = Json::object();
  for (const auto& [key, value] : s.optimizer_numbers) numbers[key] = number(value);
  return {{"epoch", s.place.epoch},
          {"position", s.place.position},
          {"step", s.step},
          {"seconds", s.seconds},
          {"history", history},
          {"meters", {{"loss", s.loss_count}, {"accuracy", s.accuracy_count}}},
          {"schedule", s.schedule_steps},
          {"generator", {{"seed", s.generator.seed}, {"offset", s.generator.offset}}},
          {"loader",
           {{"examples", s.loader.examples},
            {"batch_size", s.loader.batch_size},
            {"shuffle", s.loader.shuffle},
            {"drop_last", s.loader.drop_last},
            {"seed", s.loader.seed}}},
          {"optimizer", {{"kind", s.optimizer}, {"numbers", numbers}}},
          {"config", s.config}};
}

namespace {

RunState parse(const Json& json) {
  RunState s;
  s.place = {count_from(json, "epoch"), count_from(json, "position")};
  s.step = count_from(json, "step");
  s.seconds = json.at("seconds").get<double>();
  for (const Json& e : json.at("history")) {
    EpochResult result;
    result.epoch = count_from(e, "epoch");
    result.train = metrics_from(e.at("train"));
    if (!e.at("validation").is_null()) result.validation = metrics_from(e.at("validation"));
    result.seconds = e.at("seconds").get<double>();
    s.history.push_back(result);
  }
  s.loss_count = count_from(json.at("meters"), "loss");
  s.accuracy_count = count_from(json.at("meters"), "accuracy");
  s.schedule_steps = whole_from(json, "schedule");
  s.generator = {unsigned_from(json.at("generator"), "seed"),
                 unsigned_from(json.at("generator"), "offset")};
  const Json& loader = json.at("loader");
  s.loader = {count_from(loader, "examples"), count_from(loader, "batch_size"),
              loader.at("shuffle").get<bool>(), loader.at("drop_last").get<bool>(),
              unsigned_from(loader, "seed")};
  s.optimizer = json.at("optimizer").at("kind").get<std::string>();
  for (const auto& [key, value] : json.at("optimizer").at("numbers").items())
    s.optimizer_numbers[key] = number_from(value);
  s.config = json.at("config").get<std::map<std::string, std::string>>();
  return s;
}

}  // namespace

RunState run_state_from(const Json& json, const std::string& path) {
  std::string why;
  try {
    return parse(json);
  } catch (const Json::exception& e) {
    why = io::printable(e.what(), 300);
  } catch (const Bad& bad) {
    why = bad.what;
  }
  io::fail(path, "is corrupt: " + why + "; resume from an older checkpoint");
}

}  // namespace flash::train
