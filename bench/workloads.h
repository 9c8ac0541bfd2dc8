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
void gpu(Suite& suite);        ///< a GPU beside its own limits, if there is one
void header(Suite& suite);     ///< compiling a file that includes flash.h

/// What child processes do: one training step, then a line; a few, then what compiling took; long
/// runs, then what they hold; a GPU's products, then their rate.
void first_step();
void compile_times();
void ten_thousand_steps();
void thousand_lengths();
void gpu_product();

}  // namespace flash::bench
