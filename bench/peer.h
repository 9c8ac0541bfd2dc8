// bench/peer.h -- another framework's process that does the same work when asked
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/process.h"

namespace flash::bench {

class Peer {
 public:
  /// `command`: what starts the peer; its arguments are added here.
  Peer(std::vector<std::string> command, int threads);

  const std::string& name() const { return name_; }  ///< "torch 2.1.0"
  int threads() const { return threads_; }

  /// One round of a work: milliseconds a call.
  double milliseconds(const std::string& work, const nlohmann::json& params);

  /// Peak resident memory of a process of its own that does the work.
  double peak_megabytes(const std::string& work, const nlohmann::json& params) const;

  /// The most bytes of tensors, in MB, during one call in its steady state.
  double tensor_megabytes(const std::string& work, const nlohmann::json& params) const;

  /// Milliseconds from the start of a process to the end of its first LeNet training step.
  double coldstart_milliseconds() const;

 private:
  double megabytes(const char* mode, const std::string& work, const nlohmann::json& params) const;
  nlohmann::json ask(const nlohmann::json& request);
  std::vector<std::string> command_;
  std::unique_ptr<Process> process_;
  std::string name_;
  int threads_ = 0;
};

}  // namespace flash::bench
