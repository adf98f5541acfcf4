// chain.h - the operators of a chain that runs by strips of rows: who makes what for whom, at which rate.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_OPS_CHAIN_H
#define TODY_OPS_CHAIN_H

#include "window.h"

enum {
    TODY_CHAIN_WINDOWS = 1,  // the output of a chain that is the windows' memory; 0 is what its last operator makes
    TODY_CHAIN_TENSORS = 8,  // of an operator, at most
    TODY_CHAIN_PARAMS = 16,  // words of its parameters, at most
};

// Row y of an output wants rows from y * stride - pad on, so many, of an input.
typedef struct tody_reach {
    int64_t stride, pad, rows;
} tody_reach;

// What a thread does of a link.
typedef struct tody_link_run {
    int32_t first, stop;  // rows that it makes
    int32_t done;         // where it has come to
    int32_t base;         // the row with which its window begins
} tody_link_run;

// An operator of a chain. A strip that ends at row b of the last one's output needs rows up to rate * b + lead of this one's.
typedef struct tody_link {
    tody_member member;
    int32_t rate, lead;
    tody_link_run *run;  // NULL while checking
} tody_link;

typedef struct tody_chain {
    const tody_call *call;
    uint32_t count;
    tody_link *links;
} tody_chain;

static inline int64_t tody_most(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t tody_least(int64_t a, int64_t b) { return a < b ? a : b; }

static inline const tody_tensor_record *tody_link_output(const tody_chain *c, const tody_link *l) {
    return &c->call->records[l->member.out[0]];
}

static inline const tody_tensor_record *tody_link_input(const tody_chain *c, const tody_link *l, uint32_t i) {
    return &c->call->records[l->member.in[i]];
}

static inline uint32_t tody_chain_count(const tody_call *call) { return ((const tody_strips_params *)call->params)->count; }

// Fills `links`, as many as the chain has; `runs`, one for each, may be NULL.
tody_chain tody_chain_of(const tody_call *call, tody_link *links, tody_link_run *runs);

// Whether rows of input i go with those of the output. Else all of it is used by each strip: weights, what is repeated.
bool tody_goes_by_rows(const tody_chain *c, const tody_link *l, uint32_t i);

tody_reach tody_reach_of(const tody_link *l, uint32_t i);

// The link that makes input i of link k row by row, or NULL.
tody_link *tody_chain_source(const tody_chain *c, uint32_t k, uint32_t i);

// Rates and leads of all links. False if a link is not used, at two rates, or too far ahead.
bool tody_chain_find_leads(const tody_chain *c);

// Whether the chain of a record is sound: strips_check.
tody_status tody_chain_check(const tody_call *call);

#endif
