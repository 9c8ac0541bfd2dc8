// train/loop/run_folder.cpp -- one run to a folder, one process to a run
#include "train/loop/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "core/error.h"
#include "train/loop/checkpoint_store.h"

namespace flash::train {
namespace fs = std::filesystem;

void check_own_run(const std::string& folder, const std::string& last_checkpoint) {
  const std::vector<std::string> there = list_checkpoints(folder);
  if (there.empty()) return;
  std::error_code error;
  const bool own =
      !last_checkpoint.empty() && fs::equivalent(fs::path(last_checkpoint) / "..", folder, error);
  if (!own)
    throw IoError("'" + folder + "' holds the checkpoints of a run (" +
                  fs::path(there.front()).filename().string() +
                  "); resume it, or give the new run a folder of its own");
}

RunFolder::RunFolder(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) throw IoError("cannot make the folder '" + path + "': " + error.message());
  fd_ = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  // File systems that lock no folders (some network ones) answer with other errors.
  if (fd_ >= 0 && flock(fd_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    close(fd_);
    throw IoError("'" + path + "' is being trained into by another process or Trainer; wait for " +
                  "it, or choose another folder");
  }
}

RunFolder::~RunFolder() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace flash::train
