// decode.c - what the decoders share.
// SPDX-License-Identifier: Apache-2.0
#include "decode.h"

#include "kernels/portable/math.h"

#define MAX_MODEL_SIDE 8192u  // keeps the cells of all strides together below 2^30
#define MAX_CLASSES 65536u
#define MAX_STRIDE 4096u
#define MAX_BINS 256u
#define LOGIT_MARGIN 1e-3f  // more than sigmoid and log err together, up to MAX_LOGIT
#define MAX_LOGIT 8.0f

const char *tody_decode_check(const tody_decoder_params *p) {
    if (p->width - 1 >= MAX_MODEL_SIDE || p->height - 1 >= MAX_MODEL_SIDE) return "the model's sides must be from 1 to 8192";
    if (p->classes - 1 >= MAX_CLASSES) return "classes must be from 1 to 65536";
    if (p->points > TODY_MAX_POINTS) return "there may be at most 17 points";
    if (p->stride_count > TODY_MAX_STRIDES) return "there may be at most 8 strides";
    for (uint32_t i = 0; i < p->stride_count; i++) {
        if (p->strides[i] - 1 >= MAX_STRIDE) return "strides must be from 1 to 4096";
    }
    if (p->bins > MAX_BINS) return "there may be at most 256 bins";
    if (p->anchor_count && !p->anchors) return "the anchors are missing";
    if (!(p->score >= 0.0f && p->score <= 1.0f)) return "score must be from 0 to 1";
    return NULL;
}

uint32_t tody_decode_elements(const tody_decoder_input *in) {
    if (in->rank > 6) return 0;
    uint64_t elements = 1;
    for (uint32_t i = 0; i < in->rank; i++) {
        elements *= in->shape[i];
        if (elements > INT32_MAX) return 0;
    }
    return (uint32_t)elements;
}

tody_cells tody_cells_of(const tody_decoder_input *in, uint32_t channels) {
    tody_cells none = {.data = in->data};
    uint32_t elements = tody_decode_elements(in);
    if (!elements || in->rank == 0) return none;
    uint32_t count = elements / channels, first = 0;
    if (channels == 1) return (tody_cells){.data = in->data, .cell_step = 1, .channel_step = 1, .count = count};
    while (first + 1 < in->rank && in->shape[first] == 1) first++;
    bool channels_first = in->shape[first] == channels, channels_last = in->shape[in->rank - 1] == channels;
    if (channels_first && channels_last) channels_first = in->rank == 4;
    if (channels_first) return (tody_cells){.data = in->data, .cell_step = 1, .channel_step = count, .count = count};
    if (channels_last) return (tody_cells){.data = in->data, .cell_step = channels, .channel_step = 1, .count = count};
    return none;
}

tody_cells tody_cells_part(tody_cells cells, uint32_t first_cell, uint32_t count, uint32_t first_channel) {
    cells.data += first_cell * cells.cell_step + first_channel * cells.channel_step;
    cells.count = count;
    return cells;
}

tody_grid tody_grid_of(const tody_decoder_params *p, uint32_t level) {
    tody_grid grid = {0};
    for (uint32_t i = 0; i <= level; i++) {
        grid.first += grid.cols * grid.rows;
        grid.cols = (p->width + p->strides[i] - 1) / p->strides[i];
        grid.rows = (p->height + p->strides[i] - 1) / p->strides[i];
    }
    grid.level = level;
    grid.stride = (float)p->strides[level];
    return grid;
}

uint32_t tody_grid_cells(const tody_decoder_params *p) {
    if (!p->stride_count) return 0;
    tody_grid last = tody_grid_of(p, p->stride_count - 1);
    return last.first + last.cols * last.rows;
}

tody_grid tody_grid_at(const tody_decoder_params *p, uint32_t at) {
    uint32_t level = 0;
    tody_grid grid = tody_grid_of(p, 0);
    while (at >= grid.first + grid.cols * grid.rows) grid = tody_grid_of(p, ++level);
    return grid;
}

void tody_grid_centre(const tody_decoder_params *p, const tody_grid *grid, uint32_t cell, float centre[2]) {
    float shift = p->flags & TODY_DECODE_CORNER ? 0.0f : 0.5f;
    centre[0] = ((float)(cell % grid->cols) + shift) * grid->stride;
    centre[1] = ((float)(cell / grid->cols) + shift) * grid->stride;
}

void tody_box_set(tody_box *box, float cx, float cy, float w, float h) {
    box->x0 = cx - 0.5f * w;
    box->y0 = cy - 0.5f * h;
    box->x1 = cx + 0.5f * w;
    box->y1 = cy + 0.5f * h;
}

void tody_candidates_add(tody_candidates *list, float score, uint32_t label, uint32_t anchor) {
    tody_box box = {.score = score, .label = label, .anchor = anchor};
    if (list->count < list->capacity) {
        list->boxes[list->count++] = box;
        if (list->count < list->capacity) return;
        for (uint32_t i = list->count / 2; i-- > 0;) tody_box_sink(list->boxes, NULL, 0, i, list->count);
    } else if (list->capacity && tody_box_before(&box, &list->boxes[0])) {
        list->boxes[0] = box;
        tody_box_sink(list->boxes, NULL, 0, 0, list->count);
    }
}

// A logit below this one has a sigmoid below `score` for sure.
static float logit_floor(float score) {
    float logit = log_f32(score / (1.0f - score));
    return (logit < MAX_LOGIT ? logit : MAX_LOGIT) - LOGIT_MARGIN;
}

float tody_score_floor(const tody_decoder_params *p) {
    return p->flags & TODY_DECODE_SIGMOID ? logit_floor(p->score) : p->score;
}

static void offer(tody_candidates *list, const tody_decoder_params *p, float score, uint32_t label, uint32_t anchor) {
    if (score >= p->score && is_finite(score)) tody_candidates_add(list, score, label, anchor);
}

// Column of the largest value that is at least `least`; `count` when there is none.
static uint32_t best_of(const float *values, size_t step, uint32_t count, float least) {
    uint32_t best = count;
    for (uint32_t k = 0; k < count; k++) {
        float value = values[k * step];
        if (!(value >= least)) continue;
        if (best < count && value <= values[best * step]) continue;
        best = k;
    }
    return best;
}

void tody_scan(tody_candidates *list, const tody_decoder_params *p, const tody_cells *scores, const tody_cells *sureness,
               uint32_t first) {
    bool logits = p->flags & TODY_DECODE_SIGMOID, all = p->flags & TODY_DECODE_MULTILABEL;
    float least = tody_score_floor(p);
    for (uint32_t i = 0; i < scores->count; i++) {
        float factor = 1.0f;
        if (sureness) {
            float value = sureness->data[i * sureness->cell_step];
            if (!(value >= least)) continue;
            value = logits ? sigmoid_f32(value) : value;
            factor = value < 1.0f ? value : 1.0f;
        }
        const float *row = scores->data + i * scores->cell_step;
        uint32_t best = best_of(row, scores->channel_step, p->classes, least);
        uint32_t end = all && best < p->classes ? p->classes : best + 1;
        for (uint32_t k = all ? 0 : best; k < end && k < p->classes; k++) {
            float value = row[k * scores->channel_step];
            offer(list, p, (logits ? sigmoid_f32(value) : value) * factor, k, first + i);
        }
    }
}

static void offer_softmax(tody_candidates *list, const tody_decoder_params *p, const float *row, size_t step, uint32_t nothing,
                          uint32_t anchor) {
    uint32_t columns = p->classes + 1;
    uint32_t best = best_of(row, step, columns, -TODY_INF), skip = nothing == 0;
    if (best == columns) return;
    float top = row[best * step], sum = 0.0f;
    for (uint32_t k = 0; k < columns; k++) sum += exp_f32(row[k * step] - top);
    bool all = p->flags & TODY_DECODE_MULTILABEL;
    best = skip + best_of(row + skip * step, step, p->classes, -TODY_INF);
    for (uint32_t k = skip; k < p->classes + skip; k++) {
        if (all || k == best) offer(list, p, exp_f32(row[k * step] - top) / sum, k - skip, anchor);
    }
}

void tody_scan_softmax(tody_candidates *list, const tody_decoder_params *p, const tody_cells *logits, uint32_t nothing) {
    // exp(class) / (exp(class) + exp(nothing)) is no less than the true score: most cells end here
    float least = logit_floor(p->score);
    uint32_t skip = nothing == 0;
    for (uint32_t i = 0; i < logits->count; i++) {
        const float *row = logits->data + i * logits->cell_step;
        float floor = row[nothing * logits->channel_step] + least;
        const float *classes = row + skip * logits->channel_step;
        if (best_of(classes, logits->channel_step, p->classes, floor) == p->classes) continue;
        offer_softmax(list, p, row, logits->channel_step, nothing, i);
    }
}
