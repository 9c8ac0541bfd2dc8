// bench/process.cpp -- fork, pipes and waiting, for POSIX systems
#include "bench/process.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>

namespace flash::bench {

Process::Process(const std::vector<std::string>& command) : name_(command.at(0)) {
  std::signal(SIGPIPE, SIG_IGN);
  int in[2], out[2];
  if (pipe(in) != 0 || pipe(out) != 0) throw std::runtime_error("bench: no pipe");
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  pid_ = fork();
  if (pid_ < 0) throw std::runtime_error("bench: cannot start " + name_);
  if (pid_ == 0) {
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    for (int fd : {in[0], in[1], out[0], out[1]}) close(fd);
    execvp(argv[0], argv.data());
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  to_ = in[1];
  from_ = out[0];
}

Process::~Process() {
  close(to_);  // its end of input tells it to stop
  close(from_);
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
}

void Process::write_line(const std::string& line) {
  const std::string text = line + "\n";
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = write(to_, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) throw std::runtime_error("bench: " + name_ + " takes no more input");
    done += static_cast<std::size_t>(n);
  }
}

std::string Process::read_line() {
  while (true) {
    const std::size_t end = pending_.find('\n');
    if (end != std::string::npos) {
      std::string line = pending_.substr(0, end);
      pending_.erase(0, end + 1);
      return line;
    }
    char buffer[4096];
    const ssize_t n = read(from_, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) throw std::runtime_error("bench: " + name_ + " ended without an answer");
    pending_.append(buffer, static_cast<std::size_t>(n));
  }
}

std::string own_program() { return std::filesystem::read_symlink("/proc/self/exe").string(); }

std::string output_of(const std::vector<std::string>& command) {
  Process process(command);
  return process.read_line();
}

double seconds_to_first_line(const std::vector<std::string>& command) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  Process process(command);
  process.read_line();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace flash::bench
