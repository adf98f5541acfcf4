// winograd_s8.c - 3x3 convolution of int8 by Winograd's way: weights are transformed once, tiles of the image a few at a time.
// SPDX-License-Identifier: Apache-2.0
#include "winograd.h"

enum { TILE = 4, EDGE = 6, POSITIONS = 36, LANES = 8, TAPS = 9, MOST = 1 << 25, LARGEST = 255 };
enum { IMAGE_PRICE = 50, RESULT_PRICE = 90, MOST_BYTES = 5 << 18 };  // 128 x 128 weights become 1.2 MB
enum { FEWEST = 4 };                                                 // tiles in a block, of which all threads get some

// In front of the transformed weights.
typedef struct head {
    uint32_t exact;  // no sum of products can reach MOST
} head;

// The transform of a filter's line, times 24; of the last point times 6.
static const int8_t points[EDGE][3] = {{6, 0, 0}, {-4, -4, -4}, {-4, 4, -4}, {1, 2, 4}, {1, -2, 4}, {0, 0, 6}};

static size_t depth_of(uint32_t channels) { return ((size_t)channels + LANES - 1) / LANES * LANES; }

// Whether tiles cost less, in instructions for a whole tile: of a channel of its image, of a column of its results, and 36
// products, four at once, where the direct way has 9 for each pixel, six at once.
static bool pays(const tody_tensor *w, const tody_tensor *y) {
    const uint64_t cols = w->shape[1], channels = w->shape[3];
    const uint64_t down = tody_div_up(y->shape[TODY_HEIGHT], TILE), across = tody_div_up(y->shape[TODY_WIDTH], TILE);
    const uint64_t tile = IMAGE_PRICE * depth_of(w->shape[3]) + RESULT_PRICE * cols + POSITIONS * channels * cols / 4;
    const uint64_t pixel = TAPS * channels * cols / 6;
    return down * across * tile < (uint64_t)y->shape[TODY_HEIGHT] * y->shape[TODY_WIDTH] * pixel;
}

size_t tody_winograd_s8_prepared(const tody_call *call, const tody_tensor *w, const tody_tensor *y) {
    if (!call->kernels->winograd_s8 || w->dtype != TODY_S8 || w->pack != TODY_PANELS) return 0;
    const uint64_t columns = tody_panels_length(w->shape[1]), bytes = POSITIONS * columns * depth_of(w->shape[3]) * 2;
    return bytes <= MOST_BYTES && pays(w, y) ? tody_scratch_bytes(TODY_ALIGN + bytes) : 0;
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

// The filter of channel k and column j, and the sum of its sizes.
static uint32_t load_filter(const preparation *p, uint32_t k, uint32_t j, int8_t *filter) {
    const size_t groups = tody_div_up(p->channels, 4);
    uint32_t sizes = 0;
    for (uint32_t t = 0; t < TAPS; t++) {
        const size_t group = j / TODY_PANEL * TAPS * groups + t * groups + k / 4;
        const int value = p->w[(group * TODY_PANEL + j % TODY_PANEL) * 4 + k % 4];
        filter[t] = (int8_t)value;
        sizes += (uint32_t)(value < 0 ? -value : value);
    }
    return sizes;
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

static bool is_exact(const preparation *p) {
    for (uint32_t j = 0; j < p->cols; j++) {
        uint64_t sizes = 0;
        int8_t filter[TAPS];
        for (uint32_t k = 0; k < p->channels; k++) sizes += load_filter(p, k, j, filter);
        if (sizes * LARGEST >= MOST) return false;
    }
    return true;
}

void tody_winograd_s8_prepare(const tody_call *call, const tody_tensor *w) {
    head *h = (head *)(void *)call->prepared;
    preparation p = {w->data, (int16_t *)(void *)(call->prepared + TODY_ALIGN), w->shape[1], w->shape[3]};
    h->exact = is_exact(&p);
    if (h->exact) tody_for(call, (uint32_t)tody_panels_length(p.cols), prepare_column, &p);
}

// Of a thread: pointers to pixels, places of results, and what the kernel works with.
typedef struct room {
    const void *a[TODY_WINOGRAD_TILES * POSITIONS];
    size_t at[TODY_WINOGRAD_TILES * TILE * TILE];
} room;

static size_t room_bytes(void) { return tody_scratch_bytes(sizeof(room)); }

static size_t thread_bytes(uint32_t channels) {
    return tody_scratch_bytes((uint64_t)room_bytes() + tody_winograd_work(channels));
}

size_t tody_winograd_s8_scratch(const tody_call *call, const tody_tensor *w) {
    return tody_scratch_bytes((uint64_t)thread_bytes(w->shape[3]) * tody_threads(call));
}

typedef struct job {
    const tody_call *call;
    const tody_gemm *gemm;
    const tody_slide *slide;
    uint8_t *scratch;
    uint32_t down, across, tiles, blocks;  // tiles of an image, and of the batch
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

static void run_block(void *context, uint32_t block, uint32_t thread) {
    const job *job = context;
    const tody_gemm *g = job->gemm;
    uint8_t *scratch = job->scratch + thread * thread_bytes(g->depth);
    room *room = (struct room *)(void *)scratch;
    const uint32_t first = tody_share(job->tiles, block, job->blocks), end = tody_share(job->tiles, block + 1, job->blocks);
    for (uint32_t t = first; t < end; t++)
        place(job, t, room->a + (t - first) * POSITIONS, room->at + (t - first) * TILE * TILE);
    const tody_winograd_s8 args = {
        .tiles = end - first,
        .channels = g->depth,
        .cols = g->cols,
        .a = (const int8_t *const *)(const void *)room->a,
        .work = scratch + room_bytes(),
        .u = (const int16_t *)(const void *)(job->call->prepared + TODY_ALIGN),
        .bias = g->bias,
        .scale = g->scale,
        .scale_stride = g->scale_stride,
        .addend = g->addend,
        .c = g->c,
        .at = room->at,
        .layer = g->layer,
    };
    job->call->kernels->winograd_s8(&args);
}

bool tody_winograd_s8_run(const tody_call *call, const tody_gemm *gemm, const tody_slide *slide, uint8_t *scratch) {
    const head *h = (const head *)(const void *)call->prepared;
    if (!h->exact) return false;
    job job = {.call = call, .gemm = gemm, .slide = slide, .scratch = scratch};
    job.down = tody_div_up(slide->out_height, TILE);
    job.across = tody_div_up(slide->out_width, TILE);
    job.tiles = tody_in(call, 0).shape[TODY_BATCH] * job.down * job.across;
    const uint32_t threads = tody_threads(call), blocks = tody_div_up(job.tiles, TODY_WINOGRAD_TILES);
    job.blocks = tody_max_u32(blocks, tody_min_u32(tody_div_up(blocks, threads) * threads, job.tiles / FEWEST));
    tody_for(call, job.blocks, run_block, &job);
    return true;
}
