// train/loop/run_state.h -- where a run stands, beside tensors: to JSON and back
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "core/random.h"
#include "train/data/dataloader.h"
#include "train/loop/trainer.h"

namespace flash::train {

/// What a loader's order of batches depends on; equal ones give equal batches.
struct LoaderIdentity {
  std::int64_t examples = 0, batch_size = 0;
  bool shuffle = false, drop_last = false;
  std::uint64_t seed = 0;
  friend bool operator==(const LoaderIdentity&, const LoaderIdentity&) = default;
};
LoaderIdentity identity_of(const data::DataLoader& loader);
std::string describe(const LoaderIdentity& identity);

struct RunState {
  data::DataLoader::State place;  ///< epoch from 0, and batches of it that are done
  std::int64_t step = 0;          ///< optimizer steps
  double seconds = 0;             ///< of the epoch so far
  std::vector<EpochResult> history;
  std::int64_t loss_count = 0, accuracy_count = 0;
  std::int64_t schedule_steps = -1;  ///< negative: no schedule
  Generator::State generator;
  LoaderIdentity loader;
  std::string optimizer;
  std::map<std::string, double> optimizer_numbers;
  std::map<std::string, std::string> config;
};

nlohmann::json to_json(const RunState& state);
/// Throws IoError naming `path`, the file, when something is missing, of another type or out of
/// range.
RunState run_state_from(const nlohmann::json& json, const std::string& path);

}  // namespace flash::train
