// topk.c - the k largest or smallest elements of an axis, best first.
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "nest.h"
#include "shape.h"

// An element is a key of 64 bits: its rank among values above, its index below, so that no two are equal and the better key is
// the larger. The best k so far are a heap with the worst on top (Williams 1964).
typedef struct job {
    const uint32_t *x;
    uint32_t *values;
    int32_t *indices;
    uint64_t *scratch;  // k keys for each thread
    uint32_t length, k, inner;
    bool real, smallest;
} job;

static tody_status topk_check(const tody_call *call) {
    const tody_topk_params *p = call->params;
    const tody_tensor x = tody_in(call, 0), values = tody_out(call, 0);
    if (!tody_has_out(call, 1)) return TODY_ERR_OP_RECORD;
    const tody_tensor indices = tody_out(call, 1);
    if ((x.dtype != TODY_F32 && x.dtype != TODY_S32) || x.pack || values.pack || indices.pack) return TODY_ERR_DTYPE;
    if (values.dtype != x.dtype || indices.dtype != TODY_S32) return TODY_ERR_DTYPE;
    if (p->axis >= x.rank || p->smallest > 1) return TODY_ERR_PARAM;
    if (x.rank != values.rank || !tody_same_shape(&values, &indices)) return TODY_ERR_SHAPE;
    for (uint32_t d = 0; d < x.rank; d++) {
        if (d == p->axis ? values.shape[d] > x.shape[d] : values.shape[d] != x.shape[d]) return TODY_ERR_SHAPE;
    }
    return TODY_OK;
}

static size_t topk_scratch(const tody_call *call) {
    const uint32_t k = tody_out(call, 0).shape[((const tody_topk_params *)call->params)->axis];
    return tody_scratch_bytes((uint64_t)k * sizeof(uint64_t) * tody_threads(call));
}

// An unsigned number in the order of the values: of integers by their sign, of float32 by magnitude too; -0 equals 0, NaN is
// largest.
static uint32_t order(uint32_t bits, bool real) {
    if (!real) return bits ^ 0x80000000u;
    const uint32_t magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u) return UINT32_MAX;
    return bits >> 31 ? 0x80000000u - magnitude : 0x80000000u + magnitude;
}

// Let the key at i sink in a heap of n keys, the smallest on top.
static void sink(uint64_t *heap, uint32_t i, uint32_t n) {
    const uint64_t key = heap[i];
    for (uint32_t child = 2 * i + 1; child < n; child = 2 * i + 1) {
        if (child + 1 < n && heap[child + 1] < heap[child]) child++;
        if (heap[child] >= key) break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = key;
}

static uint64_t key_of(const job *j, const uint32_t *x, uint32_t i) {
    const uint32_t value = order(x[(size_t)i * j->inner], j->real);
    return (uint64_t)(j->smallest ? ~value : value) << 32 | (UINT32_MAX - i);
}

// The k best keys, best first.
static void select_keys(const job *j, const uint32_t *x, uint64_t *heap) {
    for (uint32_t i = 0; i < j->k; i++) heap[i] = key_of(j, x, i);
    for (uint32_t i = j->k / 2; i-- > 0;) sink(heap, i, j->k);
    for (uint32_t i = j->k; i < j->length; i++) {
        const uint64_t key = key_of(j, x, i);
        if (key <= heap[0]) continue;
        heap[0] = key;
        sink(heap, 0, j->k);
    }
    for (uint32_t n = j->k; n-- > 1;) {
        const uint64_t least = heap[0];
        heap[0] = heap[n];
        heap[n] = least;
        sink(heap, 0, n);
    }
}

static void run_columns(const void *context, uint32_t begin, uint32_t end, uint32_t thread) {
    const job *j = context;
    uint64_t *heap = j->scratch + (size_t)thread * j->k;
    for (uint32_t column = begin; column < end; column++) {
        const size_t outer = column / j->inner, inner = column % j->inner;
        const uint32_t *x = j->x + outer * j->length * j->inner + inner;
        select_keys(j, x, heap);
        for (uint32_t i = 0; i < j->k; i++) {
            const size_t to = (outer * j->k + i) * j->inner + inner;
            const uint32_t index = UINT32_MAX - (uint32_t)heap[i];
            j->values[to] = x[(size_t)index * j->inner];
            j->indices[to] = (int32_t)index;
        }
    }
}

static void topk_run(const tody_call *call) {
    const tody_topk_params *p = call->params;
    const tody_tensor x = tody_in(call, 0), values = tody_out(call, 0), indices = tody_out(call, 1);
    const job job = {.x = x.data,
                     .values = values.data,
                     .indices = indices.data,
                     .scratch = (uint64_t *)(void *)call->scratch,
                     .length = x.shape[p->axis],
                     .k = values.shape[p->axis],
                     .inner = tody_extent(&x, p->axis + 1, x.rank),
                     .real = x.dtype == TODY_F32,
                     .smallest = p->smallest};
    tody_for_ranges(call, x.count / job.length, TODY_GRAIN / 4 / job.length + 1, run_columns, &job);
}

const tody_op tody_op_topk = {
    .name = "topk",
    .code = TODY_OP_TOPK,
    .param_bytes = sizeof(tody_topk_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 2,
    .max_outputs = 2,
    .required_inputs = 1,
    .check = topk_check,
    .scratch = topk_scratch,
    .run = topk_run,
};
