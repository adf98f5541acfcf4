// strips.c - a chain of operators that runs by strips of rows, so that what lies between them never exists whole.
// SPDX-License-Identifier: Apache-2.0
//
// The last operator makes a strip of its output after the other. What it wants of the operator before, and that one of its own,
// is made just before; rows that a window still covers stay from strip to strip in the value's window, a few rows of memory.
// Each operator runs its own code on an image that consists of the rows in question, with padding only where these touch the
// border. A thread takes a range of the output's rows and has windows of its own; the rows that two threads need are made
// twice. So each element is the same sum as without the chain, whatever the strips and the threads. It is layer fusion, and on
// chips patch-wise inference. Sources: Manoj Alwani et al., "Fused-layer CNN accelerators", 2016; Ji Lin et al., "MCUNetV2:
// memory-efficient patch-based inference for tiny deep learning", 2021.
#include <string.h>

#include "chain.h"
#include "core/kernels.h"

enum { Y = 0 };

// What a call of a link on some rows is given.
typedef struct part {
    tody_tensor_record records[TODY_CHAIN_TENSORS];
    uint32_t indices[TODY_CHAIN_TENSORS], params[TODY_CHAIN_PARAMS];
} part;

// Of a thread, which has all that this points to in the scratch, not on the stack, of which chips have little.
typedef struct strip {
    tody_chain chain;
    uint8_t *windows, *scratch;
    part *part;
    size_t prepared[TODY_HAS_F16 ? TODY_MAX_CHAIN : 1];  // where in call->prepared each link's is
} strip;

// Of a link and its run, on a machine with pointers of so many bytes.
static uint32_t link_bytes(uint32_t pointer_bytes) { return 5 * pointer_bytes + 8 * (uint32_t)sizeof(uint32_t); }

_Static_assert(sizeof(tody_link) + sizeof(tody_link_run) == 5 * sizeof(void *) + 8 * sizeof(uint32_t), "link_bytes");
_Static_assert(sizeof(part) % sizeof(void *) == 0, "links follow a part");

typedef struct job {
    const tody_call *call;
    uint32_t tasks;  // ranges of the output's rows
} job;

typedef struct span {
    int64_t begin, end;
} span;

static const tody_parallel one_thread = {0};

// A call of one operator on one thread, as a whole.
static tody_call call_of(const tody_call *strips, const tody_member *m) {
    tody_call call = *strips;
    call.params = m->params;
    call.in = m->in;
    call.out = m->out;
    call.in_count = m->in_count;
    call.out_count = m->out_count;
    call.parallel = &one_thread;
    call.prepare = false;
    call.prepared = NULL;
    return call;
}

// Where in the prepared memory of the chain that of its first `end` operators ends: they prepare what f16.h has, each for all.
static size_t prepared_until(const tody_call *call, uint32_t end) {
    uint64_t bytes = 0;
    for (uint32_t k = 0; call->f16 && k < end; k++) {
        const tody_member m = tody_member_of(call, k);
        const tody_call one = call_of(call, &m);
        if (m.op->prepared) bytes += tody_scratch_bytes(m.op->prepared(&one));
    }
    return tody_scratch_bytes(bytes);
}

static size_t strips_prepared(const tody_call *call) { return prepared_until(call, tody_chain_count(call)); }

static void strips_prepare(const tody_call *call) {
    for (uint32_t k = 0; k < tody_chain_count(call); k++) {
        const tody_member m = tody_member_of(call, k);
        tody_call one = call_of(call, &m);
        one.prepared = call->prepared + prepared_until(call, k);
        one.parallel = call->parallel;
        if (call->f16 && m.op->prepare) m.op->prepare(&one);
    }
}

// Part, links and their runs, which come first in the scratch of a thread.
static size_t chain_bytes(const tody_call *call) {
    return tody_scratch_bytes(sizeof(part) + (uint64_t)tody_chain_count(call) * link_bytes(call->pointer_bytes));
}

// What a thread needs: its chain, then what the links need one after the other.
static size_t thread_scratch(const tody_call *call) {
    size_t bytes = 0;
    for (uint32_t k = 0; k < tody_chain_count(call); k++) {
        const tody_member m = tody_member_of(call, k);
        const tody_call one = call_of(call, &m);
        const size_t wanted = m.op->scratch ? m.op->scratch(&one) : 0;
        if (wanted > bytes) bytes = wanted;
    }
    return tody_scratch_bytes((uint64_t)chain_bytes(call) + bytes);
}

static size_t windows_bytes(const tody_call *call) { return tody_scratch_bytes(tody_out(call, TODY_CHAIN_WINDOWS).count); }

// What each thread needs, and the windows of each but the first, whose windows are in the arena.
static size_t strips_scratch(const tody_call *call) {
    const uint64_t threads = tody_threads(call);
    return tody_scratch_bytes(threads * thread_scratch(call) + (threads - 1) * windows_bytes(call));
}

// From the last link to the first: the rows that it makes if the last one makes [begin, end).
static void find_ranges(const tody_chain *c, uint32_t begin, uint32_t end) {
    for (uint32_t k = 0; k < c->count; k++) {
        c->links[k].run->first = k + 1 == c->count ? (int32_t)begin : INT32_MAX;
        c->links[k].run->stop = k + 1 == c->count ? (int32_t)end : 0;
    }
    for (uint32_t k = c->count; k-- > 0;) {
        tody_link *l = &c->links[k];
        l->run->done = l->run->base = l->run->first;
        for (uint32_t i = 0; i < l->member.in_count; i++) {
            tody_link *from = tody_chain_source(c, k, i);
            if (!from) continue;
            const tody_reach r = tody_reach_of(l, i);
            const int64_t stop =
                tody_least(tody_link_output(c, from)->shape[TODY_HEIGHT], (l->run->stop - 1) * r.stride - r.pad + r.rows);
            from->run->first = (int32_t)tody_least(from->run->first, tody_most(0, l->run->first * r.stride - r.pad));
            from->run->stop = (int32_t)tody_most(from->run->stop, stop);
        }
    }
}

// The first row of link k that a later one still wants.
static int32_t wanted_from(const tody_chain *c, uint32_t k) {
    int32_t from = c->links[k].run->done;
    for (uint32_t j = k + 1; j < c->count; j++) {
        const tody_link *l = &c->links[j];
        for (uint32_t i = 0; l->run->done < l->run->stop && i < l->member.in_count; i++) {
            if (tody_chain_source(c, j, i) != &c->links[k]) continue;
            const tody_reach r = tody_reach_of(l, i);
            from = (int32_t)tody_least(from, tody_most(0, l->run->done * r.stride - r.pad));
        }
    }
    return from;
}

static size_t row_bytes(const tody_tensor_record *t) {
    const size_t pitch = TODY_FLOAT && t->pitch ? t->pitch : t->shape[TODY_CHANNELS];
    return t->shape[TODY_WIDTH] * pitch * tody_dtype_bytes((tody_dtype)t->dtype);
}

// Let the window of link k have room for rows before `end`: what is still wanted moves to its beginning.
static void make_room(const strip *s, uint32_t k, int64_t end) {
    const tody_chain *c = &s->chain;
    tody_link *l = &c->links[k];
    const tody_tensor_record *t = tody_link_output(c, l);
    if (t->place != TODY_IN_STRIPS || end - l->run->base <= t->rows) return;
    const int32_t from = wanted_from(c, k);
    uint8_t *window = s->windows + t->at;
    memmove(window, window + (size_t)(from - l->run->base) * row_bytes(t), (size_t)(l->run->done - from) * row_bytes(t));
    l->run->base = from;
}

// Rows of a tensor as a tensor of their own. `base`: the row that is first in memory.
static void cut(tody_tensor_record *t, span rows, int64_t base) {
    t->at += (uint32_t)((size_t)(rows.begin - base) * row_bytes(t));
    t->shape[TODY_HEIGHT] = (uint32_t)(rows.end - rows.begin);
}

// The rows of an image that rows of the output want. `window` (or NULL) gets the padding that is left of its own.
static span rows_under(tody_reach r, span rows, uint32_t height, tody_window *window) {
    const int64_t from = rows.begin * r.stride - r.pad, to = (rows.end - 1) * r.stride - r.pad + r.rows;
    const span inside = {tody_most(from, 0), tody_least(to, height)};
    if (window) {
        window->pad[0] = (uint32_t)(inside.begin - from);
        window->pad[2] = (uint32_t)tody_least(to - inside.end, window->pad[2]);
    }
    return inside;
}

static void run_rows(const strip *s, uint32_t k, span rows) {
    const tody_chain *c = &s->chain;
    const tody_link *l = &c->links[k];
    const tody_member *m = &l->member;
    part *part = s->part;
    tody_tensor_record *records = part->records;
    uint32_t *indices = part->indices;
    tody_call call = call_of(c->call, m);
    memcpy(part->params, m->params, m->op->param_bytes);
    for (uint32_t i = 0; i < m->in_count; i++) {
        indices[i] = m->in[i] == TODY_NONE ? TODY_NONE : i;
        if (m->in[i] == TODY_NONE) continue;
        records[i] = *tody_link_input(c, l, i);
        if (!tody_goes_by_rows(c, l, i)) continue;
        const tody_link *from = tody_chain_source(c, k, i);
        tody_window *window = i == 0 && m->op->slides ? (tody_window *)(void *)part->params : NULL;
        cut(&records[i], rows_under(tody_reach_of(l, i), rows, records[i].shape[TODY_HEIGHT], window),
            from ? from->run->base : 0);
    }
    indices[m->in_count] = m->in_count;
    records[m->in_count] = *tody_link_output(c, l);
    cut(&records[m->in_count], rows, records[m->in_count].place == TODY_IN_STRIPS ? l->run->base : 0);
    call.params = part->params;
    call.in = indices;
    call.out = indices + m->in_count;
    call.records = records;
    call.windows = s->windows;
    call.scratch = s->scratch;
    if (TODY_HAS_F16 && c->call->prepared) call.prepared = c->call->prepared + s->prepared[k];
    m->op->run(&call);
}

// Where link k has come to when the strip that ends at row b is done.
static int32_t progress(const tody_link *l, int64_t b) {
    return (int32_t)tody_most(l->run->first, tody_least(l->rate * b + l->lead, l->run->stop));
}

// Division that rounds down.
static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }

// Where the first strip ends: as late as can be while no link makes more rows in it than in any other.
static int64_t first_strip(const tody_chain *c, uint32_t rows) {
    int64_t b = INT64_MAX;
    for (uint32_t k = 0; k < c->count; k++) {
        const tody_link *l = &c->links[k];
        b = tody_least(b, floor_div(l->run->first + l->rate * (int64_t)rows - l->lead, l->rate));
    }
    return b;
}

static void run_thread(void *context, uint32_t task, uint32_t thread) {
    const job *job = context;
    const tody_call *call = job->call;
    const uint32_t rows = ((const tody_strips_params *)call->params)->rows, threads = tody_threads(call);
    const uint32_t height = tody_out(call, Y).shape[TODY_HEIGHT];
    const size_t scratch = thread_scratch(call);
    part *part = (void *)(call->scratch + thread * scratch);
    tody_link *links = (tody_link *)(void *)(part + 1);
    strip s = {.chain = tody_chain_of(call, links, (tody_link_run *)(links + tody_chain_count(call))), .part = part};
    const tody_chain *c = &s.chain;
    s.scratch = (uint8_t *)part + chain_bytes(call);
    s.windows = tody_out(call, TODY_CHAIN_WINDOWS).data;
    for (uint32_t k = 0; TODY_HAS_F16 && call->prepared && k < c->count; k++) s.prepared[k] = prepared_until(call, k);
    if (thread > 0) s.windows = call->scratch + threads * scratch + (thread - 1) * windows_bytes(call);
    tody_chain_find_leads(c);
    find_ranges(c, tody_share(height, task, job->tasks), tody_share(height, task + 1, job->tasks));
    const tody_link *last = &c->links[c->count - 1];
    for (int64_t b = first_strip(c, rows); last->run->done < last->run->stop; b += rows) {
        for (uint32_t k = 0; k < c->count; k++) {
            const int32_t end = progress(&c->links[k], b);
            if (end == c->links[k].run->done) continue;
            make_room(&s, k, end);
            run_rows(&s, k, (span){c->links[k].run->done, end});
            c->links[k].run->done = end;
        }
    }
}

// Whether two tensors in the arena share bytes: slices of one tensor share none of their columns.
static bool meet(const tody_tensor_record *y, const tody_tensor_record *x) {
    if (x->at >= y->at + y->bytes || y->at >= x->at + x->bytes) return false;
    if (!TODY_FLOAT || y->pitch == 0 || y->pitch != x->pitch) return true;
    const uint64_t row = y->pitch * sizeof(float), from = (x->at + row - y->at % row) % row;
    return from < y->shape[y->rank - 1] * sizeof(float) || from + x->shape[x->rank - 1] * sizeof(float) > row;
}

// Whether y lies over what the chain reads: then strips must come one after the other.
static bool writes_over_input(const tody_call *call) {
    const tody_tensor_record *y = &call->records[call->out[Y]];
    for (uint32_t k = 0; k < tody_chain_count(call); k++) {
        const tody_member m = tody_member_of(call, k);
        for (uint32_t i = 0; i < m.in_count; i++) {
            if (m.in[i] == TODY_NONE) continue;
            const tody_tensor_record *x = &call->records[m.in[i]];
            if (x->place == TODY_IN_ARENA && meet(y, x)) return true;
        }
    }
    return false;
}

// Whether all that lies between the operators has room as a whole.
static bool is_whole(const tody_call *call) {
    for (uint32_t k = 0; k + 1 < tody_chain_count(call); k++) {
        const tody_tensor_record *y = &call->records[tody_member_of(call, k).out[Y]];
        if (y->rows < y->shape[TODY_HEIGHT]) return false;
    }
    return true;
}

// The operators one after the other, as if there was no chain: what one thread does with a chain that saves only hand-overs.
// Not inlined: on chips its call would stay on the stack below the strips of all other chains.
static __attribute__((noinline)) void run_whole(const tody_call *call) {
    for (uint32_t k = 0; k < tody_chain_count(call); k++) {
        const tody_member m = tody_member_of(call, k);
        tody_call one = call_of(call, &m);
        one.windows = tody_out(call, TODY_CHAIN_WINDOWS).data;
        if (TODY_HAS_F16 && call->prepared) one.prepared = call->prepared + prepared_until(call, k);
        m.op->run(&one);
    }
}

// Each thread makes itself a chain: one that was handed on would stay on the stack of chips meanwhile.
static void strips_run(const tody_call *call) {
    if (TODY_FLOAT && tody_threads(call) == 1 && is_whole(call)) {
        run_whole(call);
        return;
    }
    job job = {call, writes_over_input(call) ? 1 : tody_min_u32(tody_out(call, Y).shape[TODY_HEIGHT], tody_threads(call))};
    tody_for(call, job.tasks, run_thread, &job);
}

const tody_op tody_op_strips = {
    .name = "strips",
    .code = TODY_OP_STRIPS,
    .param_bytes = sizeof(tody_strips_params),
    .min_inputs = 0,
    .max_inputs = 0,
    .min_outputs = 2,
    .max_outputs = 2,
    .required_inputs = 0,
    .pitched_output = true,
    .check = tody_chain_check,
    .scratch = strips_scratch,
    .prepared = TODY_HAS_F16 ? strips_prepared : NULL,
    .prepare = TODY_HAS_F16 ? strips_prepare : NULL,
    .run = strips_run,
};
