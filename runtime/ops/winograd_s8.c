// winograd_s8.c - 3x3 convolution of int8 by Winograd's way: weights are transformed once, or by each call of the kernel,
// tiles of the image a few at a time.
// SPDX-License-Identifier: Apache-2.0
#include "winograd.h"

enum { TILE = 4, EDGE = 6, POSITIONS = 36, LANES = 8, TAPS = 9, MOST = 1 << 25, LARGEST = 255 };
enum { FEWEST = 4 };  // tiles in a block, of which all threads get some

// In front of the transformed weights, if there are any.
typedef struct head {
    uint32_t exact;  // no sum of products can reach MOST
} head;

// The transform of a filter's line, times 24; of the last point times 6.
static const int8_t points[EDGE][3] = {{6, 0, 0}, {-4, -4, -4}, {-4, 4, -4}, {1, 2, 4}, {1, -2, 4}, {0, 0, 6}};

static size_t depth_of(uint32_t channels) { return ((size_t)channels + LANES - 1) / LANES * LANES; }

// Whether tiles cost the kernel set less than the direct way.
static bool pays(const tody_kernels *k, const tody_tensor *w, const tody_tensor *y) {
    const tody_winograd_price price = k->winograd_s8_price;
    const uint64_t cols = w->shape[1], channels = w->shape[3], both = cols * channels;
    const uint32_t tiles = tody_count_tiles(y, TILE);
    const uint64_t tile = price.image * channels + price.result * cols + price.product * both;
    const uint64_t calls = tody_div_up(tiles, k->winograd_s8_tiles);
    const uint64_t pixels = tody_extent(y, TODY_BATCH, TODY_CHANNELS);
    return tiles * tile + calls * price.weight * both < pixels * price.pixel * both;
}

// Whether a set does not transform weights itself.
static bool takes_prepared(const tody_kernels *k) { return TODY_WINOGRAD_PREPARED && k->winograd_s8_bytes; }

static uint64_t weight_bytes(const tody_kernels *k, const tody_tensor *w) {
    return takes_prepared(k) ? POSITIONS * tody_panels_length(w->shape[1]) * depth_of(w->shape[3]) * 2 : 0;
}

size_t tody_winograd_s8_prepared(const tody_call *call, const tody_tensor *w, const tody_tensor *y) {
    const tody_kernels *k = call->kernels;
    if (!k->winograd_s8 || w->dtype != TODY_S8 || w->pack != TODY_PANELS) return 0;
    const uint64_t bytes = weight_bytes(k, w);
    return bytes <= k->winograd_s8_bytes && pays(k, w, y) ? tody_scratch_bytes(TODY_ALIGN + bytes) : 0;
}

// All positions of a filter, `step` apart.
static void transform(const int8_t *filter, int16_t *u, size_t step) {
    int32_t half[EDGE][3];
    for (uint32_t p = 0; p < EDGE; p++) {
        for (uint32_t x = 0; x < 3; x++)
            half[p][x] = points[p][0] * filter[x] + points[p][1] * filter[3 + x] + points[p][2] * filter[6 + x];
    }
    for (uint32_t p = 0; p < POSITIONS; p++, u += step) {
        const int32_t *h = half[p / EDGE];
        const int8_t *q = points[p % EDGE];
        *u = (int16_t)(q[0] * h[0] + q[1] * h[1] + q[2] * h[2]);
    }
}

typedef struct preparation {
    const int8_t *w;
    int16_t *u;
    uint32_t cols, channels;
} preparation;

// The filter of channel k and column j.
static void load_filter(const preparation *p, uint32_t k, uint32_t j, int8_t *filter) {
    const size_t groups = tody_div_up(p->channels, 4);
    for (uint32_t t = 0; t < TAPS; t++) {
        const size_t group = j / TODY_PANEL * TAPS * groups + t * groups + k / 4;
        filter[t] = p->w[(group * TODY_PANEL + j % TODY_PANEL) * 4 + k % 4];
    }
}

static void prepare_column(void *context, uint32_t j, uint32_t thread) {
    (void)thread;
    const preparation *p = context;
    const size_t depth = depth_of(p->channels);
    int16_t *u = p->u + j / LANES * POSITIONS * depth * LANES + j % LANES;
    for (uint32_t k = 0; k < depth; k++) {
        int8_t filter[TAPS] = {0};
        if (k < p->channels && j < p->cols) load_filter(p, k, j, filter);
        transform(filter, u + k * LANES, depth * LANES);
    }
}

// By the sizes of each column's weights, and of what may stand behind the channels. A loop over bytes is one that compilers
// vectorise.
static bool is_exact(const preparation *p) {
    enum { BYTES = TODY_PANEL * 4 };
    const size_t groups = (size_t)TAPS * tody_div_up(p->channels, 4);
    const uint32_t most = (MOST - 1) / LARGEST;
    if (groups * 4 * 128 <= most) return true;
    if (groups > UINT32_MAX / 512) return false;
    const int8_t *w = p->w;
    for (uint32_t panel = 0; panel < tody_div_up(p->cols, TODY_PANEL); panel++) {
        uint32_t sizes[BYTES] = {0};
        for (const int8_t *end = w + groups * BYTES; w < end; w += BYTES) {
            for (uint32_t i = 0; i < BYTES; i++) {
                const int32_t value = w[i];
                sizes[i] += (uint32_t)(value < 0 ? -value : value);
            }
        }
        for (uint32_t i = 0; i < BYTES; i += 4) {
            if (sizes[i] + sizes[i + 1] + sizes[i + 2] + sizes[i + 3] > most) return false;
        }
    }
    return true;
}

void tody_winograd_s8_prepare(const tody_call *call, const tody_tensor *w) {
    head *h = (head *)(void *)call->prepared;
    preparation p = {w->data, (int16_t *)(void *)(call->prepared + TODY_ALIGN), w->shape[1], w->shape[3]};
    h->exact = is_exact(&p);
    if (h->exact && takes_prepared(call->kernels)) tody_for(call, (uint32_t)tody_panels_length(p.cols), prepare_column, &p);
}

// Most tiles in a block.
static uint32_t block_tiles(const tody_call *call, const tody_tensor *y) {
    return tody_min_u32(tody_count_tiles(y, TILE), call->kernels->winograd_s8_tiles);
}

// Of a thread: pointers to pixels, places of results, and what the kernel works with.
static size_t room_bytes(uint32_t tiles) {
    return tody_scratch_bytes((uint64_t)tiles * (POSITIONS * sizeof(void *) + TILE * TILE * sizeof(size_t)));
}

static size_t thread_bytes(uint32_t tiles, uint32_t channels) {
    return tody_scratch_bytes((uint64_t)room_bytes(tiles) + tody_winograd_work(tiles, channels));
}

size_t tody_winograd_s8_scratch(const tody_call *call, const tody_tensor *w, const tody_tensor *y) {
    return tody_scratch_bytes((uint64_t)thread_bytes(block_tiles(call, y), w->shape[3]) * tody_threads(call));
}

typedef struct job {
    const tody_call *call;
    const tody_gemm *gemm;
    const tody_slide *slide;
    uint8_t *scratch;
    uint32_t most;                         // tiles in a block
    uint32_t down, across, tiles, blocks;  // tiles of an image, and of the batch
    uint32_t parts;                        // of all panels: tasks of a block
} job;

// Pixels of tile t of the batch, and where its results go.
static void place(const job *job, uint32_t t, const void **a, size_t *at) {
    const tody_slide *s = job->slide;
    const uint32_t y = t / job->across % job->down * TILE, x = t % job->across * TILE;
    const uint32_t line = t / job->across / job->down * s->out_height + y;
    tody_slide_grid(s, line, TILE, x, TILE, EDGE, a);
    for (uint32_t i = 0; i < TILE * TILE; i++) {
        const uint32_t row = i / TILE, column = i % TILE;
        const bool inside = y + row < s->out_height && x + column < s->out_width;
        at[i] = inside ? ((size_t)(line + row) * s->out_width + x + column) * job->gemm->c_stride : TODY_NOWHERE;
    }
}

static void run_task(void *context, uint32_t task, uint32_t thread) {
    const job *job = context;
    const tody_gemm *g = job->gemm;
    const uint32_t block = task / job->parts, part = task % job->parts, panels = tody_div_up(g->cols, TODY_PANEL);
    const uint32_t first = tody_share(job->tiles, block, job->blocks), end = tody_share(job->tiles, block + 1, job->blocks);
    const size_t panel = tody_share(panels, part, job->parts), column = panel * TODY_PANEL;
    const size_t until = (size_t)tody_share(panels, part + 1, job->parts) * TODY_PANEL;
    uint8_t *scratch = job->scratch + thread * thread_bytes(job->most, g->depth);
    const void **a = (const void **)(void *)scratch;
    size_t *at = (size_t *)(void *)(a + (size_t)job->most * POSITIONS);
    for (uint32_t t = first; t < end; t++) place(job, t, a + (t - first) * POSITIONS, at + (t - first) * TILE * TILE);
    const int16_t *u = (const int16_t *)(const void *)(job->call->prepared + TODY_ALIGN);
    const tody_winograd_s8 args = {
        .tiles = end - first,
        .channels = g->depth,
        .cols = (uint32_t)((until < g->cols ? until : g->cols) - column),
        .a = (const int8_t *const *)(const void *)a,
        .work = scratch + room_bytes(job->most),
        .u = takes_prepared(job->call->kernels) ? u + column * POSITIONS * depth_of(g->depth) : NULL,
        .w = (const int8_t *)g->w + panel * g->w_stride_bytes,
        .bias = g->bias ? (const int32_t *)g->bias + column : NULL,
        .scale = g->scale + panel * g->scale_stride,
        .scale_stride = g->scale_stride,
        .addend = g->addend ? (const int8_t *)g->addend + column : NULL,
        .c = (int8_t *)g->c + column,
        .at = at,
        .layer = g->layer,
    };
    job->call->kernels->winograd_s8(&args);
}

// Blocks for all threads; where weights are transformed in each, as few as there can be, and threads share out their columns.
static void share_out(job *job, uint32_t panels) {
    const uint32_t threads = tody_threads(job->call), blocks = tody_div_up(job->tiles, job->most);
    const uint32_t even = tody_div_up(blocks, threads) * threads;
    job->parts = 1;
    job->blocks = blocks;
    if (takes_prepared(job->call->kernels))
        job->blocks = tody_max_u32(blocks, tody_min_u32(even, job->tiles / FEWEST));
    else if (blocks < threads)
        job->parts = tody_min_u32(tody_div_up(threads, blocks), panels);
    else
        job->blocks = tody_min_u32(even, job->tiles);
}

bool tody_winograd_s8_run(const tody_call *call, const tody_gemm *gemm, const tody_slide *slide, uint8_t *scratch) {
    const head *h = (const head *)(const void *)call->prepared;
    if (!h->exact) return false;
    const tody_tensor y = tody_out(call, 0);
    job job = {.call = call, .gemm = gemm, .slide = slide, .scratch = scratch, .most = block_tiles(call, &y)};
    job.down = tody_div_up(slide->out_height, TILE);
    job.across = tody_div_up(slide->out_width, TILE);
    job.tiles = tody_count_tiles(&y, TILE);
    share_out(&job, tody_div_up(gemm->cols, TODY_PANEL));
    tody_for(call, job.blocks * job.parts, run_task, &job);
    return true;
}
