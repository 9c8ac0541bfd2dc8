// bench/workloads.h -- the workloads that bench/main.cpp lists; each fills a suite with rows
#pragma once

#include "bench/harness.h"

namespace flash::bench {

void machine(Suite& suite);      ///< the harness's own loops: does a limit reach itself?
void trace(Suite& suite);        ///< overheads: record, replay, compile
void leaf(Suite& suite);         ///< matrix products, convolutions, pools
void elementwise(Suite& suite);  ///< bandwidth: chains, single ops, sums

}  // namespace flash::bench
