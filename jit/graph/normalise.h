// jit/graph/normalise.h -- equal values become one, and the algebraic rules are applied
#pragma once

#include "jit/graph/graph.h"

namespace flash::jit {

/// Walks the graph once, inputs first: applies the rules of rules.h until none fits and merges
/// nodes that compute the same (hash-consing). Afterwards every input is canonical. A live value
/// that equals another is carried by that one or, when it is live too, becomes a copy of it. Linear
/// in the nodes.
///
/// Only what a plan's key hashes is looked at, so that the result holds for every trace with that
/// key.
void normalise(Graph& g);

}  // namespace flash::jit
