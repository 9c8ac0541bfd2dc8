// bench/report.h -- the table people read and the JSON that programs read
#pragma once

#include <nlohmann/json.hpp>
#include <ostream>
#include <string>

#include "bench/harness.h"

namespace flash::bench {

/// CPU, cores, memory, governor, load, compiler and commit: what a number needs to mean something.
nlohmann::json machine_facts(int threads);

/// The rows of one suite. ratio is the peer's value over Flash's (all values are costs, so above 1
/// Flash is ahead); limit_share is the median over the rounds of the part that was reached of the
/// bandwidth or FLOP/s ceiling measured just before the round.
nlohmann::json rows_as_json(Suite& suite, const Limits& limits, const Peer* peer);

/// The ceilings, in GB/s and GFLOP/s: medians over the whole run.
nlohmann::json limits_as_json(const Limits& limits);

void print_table(std::ostream& out, const nlohmann::json& rows);

}  // namespace flash::bench
