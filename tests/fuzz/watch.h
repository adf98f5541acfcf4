// watch.h - run a model under the sanitizers, each operator with nothing in sight but its own memory.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_WATCH_H
#define TODY_WATCH_H

#include "tody.h"

// Rough number of inner-loop steps that one run takes.
uint64_t watch_cost(const tody_model *model);

// Run an opened and bound model. While an operator runs, all of the arena, the weights and the scratch that is not its own is
// poisoned, so that AddressSanitizer sees accesses that would otherwise only corrupt a neighbour.
void watch_run(tody_model *model);

#endif
