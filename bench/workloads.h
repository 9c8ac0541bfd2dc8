// bench/workloads.h -- the workloads that bench/main.cpp lists; each fills a suite with rows
#pragma once

#include "bench/harness.h"

namespace flash::bench {

void machine(Suite& suite);      ///< the harness's own loops: does a limit reach itself?
void trace(Suite& suite);        ///< overheads: record, replay, compile
void leaf(Suite& suite);         ///< matrix products, convolutions, pools
void elementwise(Suite& suite);  ///< bandwidth: chains, single ops, sums
void scale(Suite& suite);        ///< long traces and long runs: time in proportion, memory bounded

void train(Suite& suite);      ///< AdamW training steps
void memory(Suite& suite);     ///< what a training step keeps
void coldstart(Suite& suite);  ///< a process up to its first training step
void header(Suite& suite);     ///< compiling a file that includes flash.h

/// What child processes do: one training step, then a line; a few, then what compiling took; long
/// runs, then what they hold.
void first_step();
void compile_times();
void ten_thousand_steps();
void thousand_lengths();

}  // namespace flash::bench
