// train/loop/run_folder.h -- the folder that a run writes into, and that no other run disturbs
#pragma once

#include <string>

namespace flash::train {

/// Throws IoError when `folder` holds checkpoints and `last_checkpoint`, the one that the run
/// continues (may be empty), is none of them: a new run would number its own behind them, and
/// remove them one after the other.
void check_own_run(const std::string& folder, const std::string& last_checkpoint);

/// Makes the folder if need be and holds it for as long as this object lives; throws IoError while
/// another one does, in whatever process. The lock goes with its process, however that ends. On
/// file systems that cannot lock a folder (some network ones) nothing is held.
class RunFolder {
 public:
  explicit RunFolder(const std::string& path);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

 private:
  int fd_;
};

}  // namespace flash::train
