// bench/peer.cpp -- requests and answers, one JSON line each
#include "bench/peer.h"

#include <stdexcept>

namespace flash::bench {
namespace {

std::vector<std::string> with(std::vector<std::string> command, std::vector<std::string> more) {
  command.insert(command.end(), more.begin(), more.end());
  return command;
}

}  // namespace

Peer::Peer(std::vector<std::string> command, int threads)
    : command_(with(std::move(command), {"--threads", std::to_string(threads)})),
      process_(std::make_unique<Process>(command_)) {
  const nlohmann::json hello = ask({{"hello", true}});
  name_ = hello.at("name").get<std::string>() + " " + hello.at("version").get<std::string>();
  threads_ = hello.at("threads");
}

nlohmann::json Peer::ask(const nlohmann::json& request) {
  process_->write_line(request.dump());
  nlohmann::json answer = nlohmann::json::parse(process_->read_line());
  if (answer.contains("error")) throw std::runtime_error("bench: " + answer.at("error").dump());
  return answer;
}

double Peer::milliseconds(const std::string& work, const nlohmann::json& params) {
  return ask({{"work", work}, {"params", params}}).at("ms");
}

double Peer::megabytes(const char* mode, const std::string& work,
                       const nlohmann::json& params) const {
  return nlohmann::json::parse(output_of(with(command_, {mode, work, params.dump()}))).at("mb");
}
double Peer::peak_megabytes(const std::string& work, const nlohmann::json& params) const {
  return megabytes("--rss", work, params);
}
double Peer::tensor_megabytes(const std::string& work, const nlohmann::json& params) const {
  return megabytes("--tensors", work, params);
}

double Peer::coldstart_milliseconds() const {
  return seconds_to_first_line(with(command_, {"--coldstart"})) * 1e3;
}

}  // namespace flash::bench
