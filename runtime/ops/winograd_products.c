// winograd_products.c - the products of Winograd's convolution: of each position the tiles that need it, phase by phase.
// SPDX-License-Identifier: Apache-2.0
#include "winograd_products.h"

#include "f16.h"
#include "winograd_weights.h"

typedef tody_winograd_job job;
typedef tody_winograd_block block;
typedef tody_span span;

// Transformed weights of some panels, and a part of the depth of each phase.
typedef struct slice {
    const float *u;
    size_t stride, panel_stride;  // from one position to the next where these differ, and from one panel
    uint32_t from, depth;
} slice;

static bool is_f16(const job *job) { return tody_gemm_is_f16(job->gemm); }

// Empty where they have none.
static span common(span s, span t) {
    const uint32_t begin = tody_max_u32(s.begin, t.begin);
    return (span){begin, tody_max_u32(begin, tody_min_u32(s.end, t.end))};
}

// A lone row would be summed in another order: a neighbour goes with it, if it has one.
static span with_neighbour(span s, span all) {
    if (s.end - s.begin != 1) return s;
    if (s.end < all.end) return (span){s.begin, s.end + 1};
    return (span){tody_max_u32(s.begin, all.begin + 1) - 1, s.end};
}

// Rows that one call of the kernel takes: of group `number`, and of `more` groups after it, all of whose rows are needed.
typedef struct part {
    span rows, group;
    uint32_t number, more;
} part;

// The rows of a block that need a position, and the groups that these, or all rows of the block, are dealt out to.
typedef struct needed {
    span rows, all;
    tody_groups groups;
    part first;
} needed;

// How many groups from that of a part on, of as many rows, one call takes: those of which it needs all rows, if these are
// packed.
static uint32_t count_groups(const job *job, const needed *n, const part *p) {
    const uint32_t size = p->group.end - p->group.begin;
    if (is_f16(job) || p->rows.end - p->rows.begin < size) return 1;
    const uint32_t alike = (p->number < n->groups.more ? n->groups.more : n->groups.count) - p->number;
    return tody_min_u32(alike, (n->rows.end - p->group.begin) / size);
}

static inline part part_of(const job *job, const needed *n, uint32_t number) {
    part p = {.number = number, .group = tody_group_at(&n->groups, number, n->all.begin)};
    p.rows = p.group;
    if (!tody_packs_f32(job->call->kernels)) return p;  // groups are of the rows that are needed
    p.rows = with_neighbour(common(n->rows, p.group), p.group);
    p.more = count_groups(job, n, &p) - 1;
    return p;
}

// Those of a position at the bottom, or on the right, which some tiles do without. Of float16 all rows, whose groups are met as
// a whole; rows that are packed are in the groups that they were packed in, others in tiles of nearly the same size.
static needed find_needed(const job *job, const block *b, bool bottom, bool right) {
    const tody_tiles *g = &job->tiles;
    const span all = {b->first, b->first + b->count};
    const span some = common(tody_tiles_needing(g, bottom ? g->spared[0] : 0, right ? g->spared[1] : 0), all);
    const span rows = is_f16(job) ? all : with_neighbour(some, all);
    needed n = {.rows = {rows.begin - b->first, rows.end - b->first}};
    n.all = tody_packs_f32(job->call->kernels) ? (span){0, b->count} : n.rows;
    n.groups = tody_groups_of(job->call->kernels, n.all);
    if (n.rows.begin < n.rows.end) n.first = part_of(job, &n, tody_group_of(&n.groups, n.rows.begin - n.all.begin));
    return n;
}

// Multiplies some rows of a group with the weights at args->w. Of a row the values from `from` on are taken, which is 0 for
// float16.
static inline void multiply_rows(const job *job, tody_gemm_f32 *args, span rows, span group, const float *v, uint32_t from) {
    const tody_kernels *k = job->call->kernels;
    const uint32_t depth = job->tiles.depth, together = group.end - group.begin;
    const float *a[TODY_MAX_ROWS];
    args->rows = rows.end - rows.begin;
    args->a = a;
    if (tody_packs_f32(k) && together > 1) {
        args->packed_rows = together;
        args->a_step = (size_t)together * depth;
        if (is_f16(job))
            args->packed_f16 = (const uint16_t *)(const void *)v + (size_t)group.begin * depth;
        else
            args->packed = v + (size_t)group.begin * depth + (size_t)from * together + (rows.begin - group.begin) * 4;
    } else {
        for (uint32_t r = 0; r < args->rows; r++) a[r] = v + (size_t)(rows.begin + r) * depth + from;
    }
    (is_f16(job) ? k->f16->gemm : k->gemm_f32)(args);
}

// The same of a position, each part of its rows with `next` fetched.
static void multiply_position(const job *job, tody_gemm_f32 *args, const float *next, const float *v, uint32_t from, float *m,
                              const needed *n) {
    part p = n->first;
    for (uint32_t row = n->rows.begin; row < n->rows.end;) {
        args->more = p.more;
        args->c = m + p.rows.begin * args->c_stride;
        args->addend = from ? args->c : NULL;
        args->next = p.number * TODY_PANEL < args->cols ? next + p.number * args->w_stride : args->w;
        multiply_rows(job, args, p.rows, p.group, v, from);
        row = p.group.end + p.more * (p.group.end - p.group.begin);
        if (row < n->rows.end) p = part_of(job, n, p.number + p.more + 1);
    }
}

// How many phases from i on, whose weights are together, are one product at position (y, x): those that have no tap left for
// infinity, where y or x is 0, are none. 0 if the phase before i is one with it.
static uint32_t count_together(const tody_tiling *t, uint32_t i, uint32_t y, uint32_t x) {
    const uint32_t taps = tody_phase_of(t, 0).down;
    uint32_t count = 0;
    for (uint32_t at = i > 0 ? i - 1 : i; at < tody_phases(t); at++) {
        const tody_phase phase = tody_phase_of(t, at);
        const bool meets = (y > 0 || phase.down == taps) && (x > 0 || phase.across == taps);
        if (at < i && meets) return 0;
        if (at >= i && !meets) break;
        count += at >= i;
    }
    return count;
}

// The products of phase i with a slice, and at once of those after it that are together with it, which are added to the
// products of slices and phases before it.
static void multiply_phase(const job *job, const slice *s, uint32_t i, tody_gemm_f32 *args, const block *b,
                           const needed needed[2][2]) {
    const tody_tiles *g = &job->tiles;
    const tody_tiling *t = &job->tiling;
    const tody_positions at = tody_phase_positions(t, i, job->gemm->depth, s->stride);
    const tody_phase phase = tody_phase_of(t, i), largest = tody_phase_of(t, 0);
    const uint32_t top = phase.down < largest.down, left = phase.across < largest.across, from = i * g->phase_depth + s->from;
    for (uint32_t y = top; y < t->edge; y++) {
        for (uint32_t x = left; x < t->edge; x++) {
            const uint32_t p = y * t->edge + x, phases = at.together ? count_together(t, i, y, x) : 1;
            if (phases == 0) continue;
            args->depth = phases * s->depth;
            args->w = s->u + at.first + y * at.down + x * at.right;
            args->scale = is_f16(job) ? tody_f16_scale(args->w) : NULL;
            const float *next = p + 1 < g->positions ? args->w + at.right : args->w;
            multiply_position(job, args, next, b->v + p * g->v_stride, from, b->m + p * g->m_stride,
                              &needed[y >= g->spared[0]][x >= g->spared[1]]);
        }
    }
}

// The products of all positions and phases with a slice of so many panels.
static void multiply_slice(const job *job, const slice *s, uint32_t panels, const block *b) {
    tody_gemm_f32 args = {
        .cols = panels * TODY_PANEL,
        .taps = 1,
        .w_stride = s->panel_stride,
        .next_step = TODY_PANEL,
        .addend_stride = panels * TODY_PANEL,
        .c_stride = panels * TODY_PANEL,
        .lo = -__builtin_inff(),
        .hi = __builtin_inff(),
    };
    const needed needed[2][2] = {{find_needed(job, b, false, false), find_needed(job, b, false, true)},
                                 {find_needed(job, b, true, false), find_needed(job, b, true, true)}};
    for (uint32_t i = 0; i < tody_phases(&job->tiling); i++) multiply_phase(job, s, i, &args, b, needed);
}

static void multiply_prepared(const job *job, uint32_t panel, uint32_t panels, const block *b) {
    const uint32_t depth = job->gemm->depth;
    const size_t stride = tody_position_stride(is_f16(job), depth);
    slice whole = {.stride = stride, .panel_stride = tody_winograd_panel(&job->tiling, depth, stride), .depth = depth};
    whole.u = (const float *)(const void *)job->call->prepared + panel * whole.panel_stride + (is_f16(job) ? TODY_PANEL : 0);
    multiply_slice(job, &whole, panels, b);
}

// Each slice of the weights is transformed to u, and met by all tiles at once.
static void multiply_fleeting(const job *job, uint32_t panel, uint32_t panels, const block *b) {
    const tody_tiles *g = &job->tiles;
    const tody_filters filters = {job->gemm->w, job->call->kernels, job->tiling, job->gemm->depth};
    slice s = {.u = b->u, .stride = g->u_stride, .panel_stride = g->u_stride * g->positions};
    for (; s.from < filters.depth; s.from += TODY_FLEETING_SLICE) {
        s.depth = tody_min_u32(filters.depth - s.from, TODY_FLEETING_SLICE);
        for (uint32_t i = 0; i < panels; i++)
            tody_winograd_transform(&filters, panel + i, 0, s.from, s.depth, b->u + i * s.panel_stride, s.stride);
        multiply_slice(job, &s, panels, b);
    }
}

void tody_winograd_multiply(const job *job, const block *b, uint32_t panel, uint32_t panels) {
    (job->tiling.fleeting ? multiply_fleeting : multiply_prepared)(job, panel, panels, b);
}
