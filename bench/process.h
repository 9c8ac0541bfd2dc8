// bench/process.h -- child processes: their output, or a conversation line by line
#pragma once

#include <string>
#include <vector>

namespace flash::bench {

/// A program with its stdin and stdout held by pipes. Ends with this object.
class Process {
 public:
  explicit Process(const std::vector<std::string>& command);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void write_line(const std::string& line);
  /// The next line without its end; throws std::runtime_error when the program ended instead.
  std::string read_line();

 private:
  std::string name_;
  int pid_ = -1;
  int to_ = -1;
  int from_ = -1;
  std::string pending_;
};

/// The path of the running program.
std::string own_program();

/// First line that `command` prints; waits for its end.
std::string output_of(const std::vector<std::string>& command);

/// Seconds from the start of `command` until it has printed a line.
double seconds_to_first_line(const std::vector<std::string>& command);

}  // namespace flash::bench
