// tests/files/checkpoint.cpp -- hostile state.json files; the tensors beside them are safetensors
#include <nlohmann/json.hpp>

#include "core/io/inflate.h"
#include "tests/files/format.h"
#include "tests/files/harnesses.h"
#include "train/io/json.h"
#include "train/loop/checkpoint_store.h"
#include "train/loop/run_state.h"

namespace flash::test {
namespace {

using nlohmann::json;

/// As for safetensors: parsed JSON beside its text, and once more as text for its checksum.
constexpr std::uint64_t kJsonRatio = 64;

io::Bytes bytes_of(const std::string& text) {
  const io::ByteSpan span = io::as_bytes(text);
  return {span.begin(), span.end()};
}

/// The state with the version and the checksum that belong there.
io::Bytes sealed(json state) {
  state["version"] = train::kCheckpointVersion;
  state.erase("crc32");
  state["crc32"] = io::crc32_of(io::as_bytes(state.dump()));
  return bytes_of(state.dump(1));
}

/// No mutation finds a checksum, and whoever means harm writes a right one: what is an object at
/// all is read as if it were sealed.
std::optional<io::Bytes> sealed(io::ByteSpan file) {
  try {
    json state = io::parse_json(file, 40);
    if (!state.is_object()) return {};
    return sealed(std::move(state));
  } catch (const io::JsonError&) {
    return {};
  }
}

bool read_state(io::ByteSpan file) {
  const auto state = read_bounded(kJsonRatio * file.size(), [&] {
    return train::run_state_from(train::parse_checkpoint_state(file, kFile), kFile);
  });
  if (!state) return false;
  promise(state->step + 1 > 0 && state->place.epoch + 1 > 0, "a count is at its end");
  const json again = train::to_json(*state);
  promise(train::to_json(train::run_state_from(again, kFile)).dump() == again.dump(),
          "a state that was written reads as another one");
  return true;
}

}  // namespace

bool read_checkpoint(io::ByteSpan file) {
  if (const auto again = sealed(file); again && read_state(*again)) return true;
  return read_state(file);
}

std::vector<io::Bytes> checkpoint_seeds() {
  train::RunState s;
  s.place = {3, 17};
  s.step = 1234;
  s.seconds = 1.5;
  s.history = {{1, {0.5, 0.75, 600}, train::Metrics{0.25, {}, 100}, 2.5},
               {2, {std::numeric_limits<double>::quiet_NaN(), {}, 600}, {}, 2.25}};
  s.loss_count = s.accuracy_count = 170;
  s.schedule_steps = 12;
  s.generator = {42, 1u << 20};
  s.loader = {600, 10, true, false, 7};
  s.optimizer = "Adam";
  s.optimizer_numbers = {
      {"group.0.lr", 1e-3}, {"0.step", 12}, {"worst", std::numeric_limits<double>::infinity()}};
  s.config = {{"epochs", "3"}, {"model", "mlp"}};
  json full = train::to_json(s);
  full["files"] = {{"model.safetensors", {{"bytes", 1}, {"crc32", 2}}}};
  return {sealed(full), sealed(train::to_json(s)), sealed(train::to_json({}))};
}

}  // namespace flash::test
