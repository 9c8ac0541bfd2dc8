// train/loop/run_state.cpp -- JSON has no NaN and no infinity: those numbers are written as strings
#include "train/loop/run_state.h"

#include <cmath>
#include <limits>

#include "core/error.h"

namespace flash::train {
namespace {

using Json = nlohmann::json;

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
  throw IoError("state.json: '" + text + "' is no number");
}

std::int64_t count_from(const Json& json, const char* what) {
  const auto value = json.at(what).get<std::int64_t>();
  if (value < 0)
    throw IoError(std::string("state.json: ") + what + " is " + std::to_string(value) +
                  "; it must be at least 0");
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

RunState run_state_from(const Json& json) {
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
  s.schedule_steps = json.at("schedule").get<std::int64_t>();
  s.generator = {json.at("generator").at("seed").get<std::uint64_t>(),
                 json.at("generator").at("offset").get<std::uint64_t>()};
  const Json& loader = json.at("loader");
  s.loader = {count_from(loader, "examples"), count_from(loader, "batch_size"),
              loader.at("shuffle").get<bool>(), loader.at("drop_last").get<bool>(),
              loader.at("seed").get<std::uint64_t>()};
  s.optimizer = json.at("optimizer").at("kind").get<std::string>();
  for (const auto& [key, value] : json.at("optimizer").at("numbers").items())
    s.optimizer_numbers[key] = number_from(value);
  s.config = json.at("config").get<std::map<std::string, std::string>>();
  return s;
}

}  // namespace flash::train
