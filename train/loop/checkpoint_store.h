// train/loop/checkpoint_store.h -- the checkpoints of a run: written whole or not at all, kept last
// k
//
// RUN/checkpoint-000012/
//   model.safetensors     weights and buffers, as any tool reads them
//   training.safetensors  optimizer and meter tensors
//   state.json            everything else, size and CRC-32 of the two, and its own CRC-32
//
// A checkpoint is written into a hidden folder, flushed to the disk and renamed, so that a folder
// of that name is whole unless the disk failed; the checksums tell that. The highest number is the
// newest.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/host_array.h"
#include "core/io/file.h"

namespace flash::train {

inline constexpr int kCheckpointVersion = 1;

struct CheckpointData {
  HostArrays model, training;
  nlohmann::json state;
};

/// Writes a new checkpoint into `run` and removes all but the newest `keep`. Returns its path.
std::string write_checkpoint(const std::string& run, const CheckpointData& data, int keep);

/// Removes what a run that was killed has left half written or half removed in `run`. Nobody else
/// may be writing there.
void remove_leftovers(const std::string& run);

/// Folders of checkpoints in `run`, newest first. Empty if there is no such folder.
std::vector<std::string> list_checkpoints(const std::string& run);

/// True if `path` is a checkpoint's folder (it has a state.json).
bool is_checkpoint(const std::string& path);

/// The state.json of a checkpoint.
std::string state_path(const std::string& checkpoint);

/// A state.json in memory, after its version and its own checksum were found right; `path` is for
/// messages. Throws IoError.
nlohmann::json parse_checkpoint_state(io::ByteSpan bytes, const std::string& path);

/// state.json, after all checksums were found right. Throws IoError naming what is wrong.
nlohmann::json read_checkpoint_state(const std::string& checkpoint);
CheckpointData read_checkpoint(const std::string& checkpoint);

}  // namespace flash::train
