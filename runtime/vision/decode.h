// decode.h - what the decoders share: views of tensors, the grid of a stride, candidates.
// SPDX-License-Identifier: Apache-2.0
//
// A decoder works in two steps: it scans the scores and keeps the most sure candidates (score, label, anchor), then it computes
// box and points of these alone, from the anchor.
#ifndef TODY_DECODE_H
#define TODY_DECODE_H

#include <stdbool.h>

#include "finite.h"
#include "vision.h"

#define TODY_FIT_FAULT "an output has another shape than the decoder's parameters ask for"
#define TODY_COUNT_FAULT "the decoder takes another number of outputs"

// A tensor as `count` cells of some channels: value = data[cell * cell_step + channel * channel_step].
typedef struct tody_cells {
    const float *data;
    size_t cell_step, channel_step;
    uint32_t count;
} tody_cells;

// The grid of one stride. Cells are numbered row by row, over all strides: the first one of this grid is `first`.
typedef struct tody_grid {
    uint32_t level, cols, rows, first;
    float stride;
} tody_grid;

// The boxes so far: the `capacity` best. When full, a heap with the worst at the top.
typedef struct tody_candidates {
    tody_box *boxes;
    uint32_t count, capacity;
} tody_candidates;

// 0, or what is out of range in the parameters that every decoder has. The grids' cells fit a uint32_t afterwards.
const char *tody_decode_check(const tody_decoder_params *p);

// Elements of a tensor; 0 when there are none, or more than 2^31 - 1.
uint32_t tody_decode_elements(const tody_decoder_input *in);

// The tensor seen as cells of `channels` (at least 1) channels: [1,n,C], [1,C,n], [1,C,h,w], [1,h,w,C], with or without the 1.
// count is 0 when it has no such shape.
tody_cells tody_cells_of(const tody_decoder_input *in, uint32_t channels);
tody_cells tody_cells_part(tody_cells cells, uint32_t first_cell, uint32_t count, uint32_t first_channel);

static inline float tody_cell(const tody_cells *cells, uint32_t cell, uint32_t channel) {
    return cells->data[cell * cells->cell_step + channel * cells->channel_step];
}

tody_grid tody_grid_of(const tody_decoder_params *p, uint32_t level);
uint32_t tody_grid_cells(const tody_decoder_params *p);             // of all strides together
tody_grid tody_grid_at(const tody_decoder_params *p, uint32_t at);  // the grid that holds this cell

// Where in the model's input the middle of a cell is, in pixels.
void tody_grid_centre(const tody_decoder_params *p, const tody_grid *grid, uint32_t cell, float centre[2]);

// True when a comes before b: the higher score, then the lower anchor, then the lower label.
bool tody_box_before(const tody_box *a, const tody_box *b);
// Let boxes[at] sink in the heap of `count` boxes whose top is the worst. points may be NULL.
void tody_box_sink(tody_box *boxes, float *points, uint32_t points_per_box, uint32_t at, uint32_t count);
// Drop what has a score or a coordinate that is not finite; returns how many are left, in their order.
uint32_t tody_boxes_finite(tody_box *boxes, float *points, uint32_t points_per_box, uint32_t count);

// The points of box i; NULL when the decoder has none.
static inline float *tody_points_at(const tody_decoder_params *p, float *points, uint32_t i) {
    return p->points ? points + 2 * (size_t)p->points * i : NULL;
}

// No value below this one can be a score of p->score.
float tody_score_floor(const tody_decoder_params *p);

void tody_candidates_add(tody_candidates *list, float score, uint32_t label, uint32_t anchor);

// Add the best class of every cell (MULTILABEL: every class) that reaches p->score; cell i is anchor first + i. `sureness`, or
// NULL, has one channel that multiplies the scores (objectness; above 1 counts as 1). With SIGMOID both are logits.
void tody_scan(tody_candidates *list, const tody_decoder_params *p, const tody_cells *scores, const tody_cells *sureness,
               uint32_t first);

// The same for logits over p->classes + 1 columns, of which the column `nothing` (0 or the last) means that there is nothing.
void tody_scan_softmax(tody_candidates *list, const tody_decoder_params *p, const tody_cells *logits, uint32_t nothing);

// Corners from centre and size.
void tody_box_set(tody_box *box, float cx, float cy, float w, float h);

#endif
