// preprocess.c - from a camera frame to the model's input tensor, in one pass over the rows.
// SPDX-License-Identifier: Apache-2.0
//
// Integer arithmetic up to the 8-bit pixel, so that every machine sees the same picture. Each output row needs two rows of the
// frame, already resized sideways; the two most recent ones are kept.
#include <stdbool.h>

#include "finite.h"
#include "tody.h"
#include "vision.h"

#define WEIGHT_ONE 2048u  // 11-bit weights
#define ROW_BITS 4u       // dropped after the horizontal pass: 255 * 2048 >> 4 fits int16_t
#define LANES 16u         // a count that is known lets compilers use vectors where they optimise for size too
#define MAX_MODEL_SIDE 8192u
#define MAX_FRAME_SIDE 65535u

// One side of the picture: `from` frame pixels become `size`, shown from `skip` on in the `count` tensor pixels at `begin`.
typedef struct axis {
    uint32_t from, size, begin, count, skip;
} axis;

// Output = pixel[at] * (1 - weight) + pixel[at + step] * weight.
typedef struct tap {
    uint32_t at;
    uint16_t step, weight;
} tap;

// A frame row after the horizontal pass, one plane per channel.
typedef struct cached_row {
    int16_t *values;
    uint32_t y;  // MAX_FRAME_SIDE: none
} cached_row;

typedef struct job {
    const tody_preprocess *p;
    const tody_frame *frame;
    axis x, y;
    uint32_t reads, channels;  // planes taken from the frame, planes of the tensor
    uint8_t source[3];         // where in a frame pixel each plane is
    uint32_t pixel_bytes;
    tap *taps;
    cached_row rows[2];
    uint8_t *planes;  // one output row, one plane of p->width per channel
    uint8_t *table;   // 8-bit tensors: what each pixel value becomes, 256 per channel
} job;

static uint32_t bytes_per_pixel(tody_pixels pixels) {
    if (pixels == TODY_GRAY) return 1;
    return pixels == TODY_BGRA || pixels == TODY_RGBA ? 4 : 3;
}

static const char *check_values(const tody_preprocess *p) {
    for (uint32_t c = 0; c < 3; c++) {
        if (!is_finite(p->mean[c]) || !is_finite(p->scale[c])) return "mean and scale must be finite";
    }
    if (p->dtype != TODY_F32 && p->dtype != TODY_U8 && p->dtype != TODY_S8) return "the input must be float32, uint8 or int8";
    if (p->dtype != TODY_S8) return NULL;
    if (!is_finite(p->quant_scale) || !(p->quant_scale > 0.0f)) return "the input's scale must be positive";
    if (p->zero_point < -128 || p->zero_point > 127) return "the input's zero point must be from -128 to 127";
    return NULL;
}

const char *tody_preprocess_check(const tody_preprocess *p, const tody_frame *frame) {
    if (p->width - 1 >= MAX_MODEL_SIDE || p->height - 1 >= MAX_MODEL_SIDE) return "the model's sides must be from 1 to 8192";
    if ((uint32_t)p->fit > TODY_TOP_LEFT) return "unknown fit";
    if ((uint32_t)p->pixels > TODY_GRAY) return "the model's pixels must be bgr, rgb or gray";
    if (p->planar > 1) return "planar must be 0 or 1";
    const char *fault = check_values(p);
    if (fault || !frame) return fault;
    if ((uint32_t)frame->pixels > TODY_RGBA) return "unknown pixels of the frame";
    if (frame->width - 1 >= MAX_FRAME_SIDE || frame->height - 1 >= MAX_FRAME_SIDE) {
        return "the frame's sides must be from 1 to 65535";
    }
    if (frame->row_bytes < (size_t)frame->width * bytes_per_pixel(frame->pixels)) return "the frame's rows are too short";
    return NULL;
}

size_t tody_preprocess_scratch(const tody_preprocess *p) {
    size_t bytes = (sizeof(tap) + 3 * (2 * sizeof(int16_t) + 1)) * (size_t)p->width + 3 * 256;
    return (bytes + 3) & ~(size_t)3;
}

static axis make_axis(tody_fit fit, uint32_t from, uint32_t to, uint32_t size) {
    axis a = {.from = from, .size = size, .count = size < to ? size : to};
    if (fit == TODY_LETTERBOX) a.begin = (to - a.count) / 2;
    a.skip = (size - a.count) / 2;
    return a;
}

// The side that follows when the other one goes from `other_from` to `other_to`, rounded.
static uint32_t in_proportion(uint32_t from, uint32_t other_from, uint32_t other_to) {
    uint64_t size = (2 * (uint64_t)from * other_to + other_from) / (2 * (uint64_t)other_from);
    return size ? (uint32_t)size : 1;
}

static void place(job *j) {
    const tody_preprocess *p = j->p;
    uint32_t w = j->frame->width, h = j->frame->height;
    uint32_t new_w = p->width, new_h = p->height;
    bool width_is_tighter = (uint64_t)p->width * h <= (uint64_t)p->height * w;
    if (p->fit != TODY_STRETCH) {
        if (width_is_tighter == (p->fit != TODY_CROP)) {
            new_h = in_proportion(h, w, p->width);
        } else {
            new_w = in_proportion(w, h, p->height);
        }
    }
    j->x = make_axis(p->fit, w, p->width, new_w);
    j->y = make_axis(p->fit, h, p->height, new_h);
}

// Where output pixel i of an axis is sampled; at and step in units of `unit`.
static tap make_tap(const axis *a, uint32_t i, uint32_t unit) {
    uint64_t twice = (2 * ((uint64_t)i + a->skip) + 1) * a->from;  // 2 * size * (source position + 1/2)
    uint64_t numerator = twice > a->size ? twice - a->size : 0;
    uint64_t index = numerator / (2 * (uint64_t)a->size), rest = numerator % (2 * (uint64_t)a->size);
    uint32_t weight = (uint32_t)((rest * WEIGHT_ONE + a->size) / (2 * (uint64_t)a->size));
    if (index + 1 >= a->from) return (tap){.at = (a->from - 1) * unit};
    return (tap){.at = (uint32_t)index * unit, .step = (uint16_t)unit, .weight = (uint16_t)weight};
}

static int16_t mix_pixels(const uint8_t *a, const uint8_t *b, uint32_t weight) {
    return (int16_t)((*a * (WEIGHT_ONE - weight) + *b * weight + (1u << (ROW_BITS - 1))) >> ROW_BITS);
}

static const int16_t *resize_row(job *j, cached_row *row, uint32_t y) {
    const uint8_t *pixels = j->frame->data + y * j->frame->row_bytes;
    uint32_t count = j->x.count, width = j->p->width;
    row->y = y;
    for (uint32_t x = 0; x < count && j->reads == 1; x++) {
        const uint8_t *a = pixels + j->taps[x].at;
        row->values[x] = mix_pixels(a, a + j->taps[x].step, j->taps[x].weight);
    }
    for (uint32_t x = 0; x < count && j->reads == 3; x++) {
        const uint8_t *a = pixels + j->taps[x].at, *b = a + j->taps[x].step;
        uint32_t weight = j->taps[x].weight;
        row->values[x] = mix_pixels(a + j->source[0], b + j->source[0], weight);
        row->values[width + x] = mix_pixels(a + j->source[1], b + j->source[1], weight);
        row->values[2 * width + x] = mix_pixels(a + j->source[2], b + j->source[2], weight);
    }
    return row->values;
}

// Row y of the frame in slot 0 or 1, from the cache where it can be. Slot 0 must be asked for first.
static const int16_t *fetch_row(job *j, uint32_t slot, uint32_t y) {
    if (slot == 0 && j->rows[1].y == y) {
        cached_row older = j->rows[0];
        j->rows[0] = j->rows[1];
        j->rows[1] = older;
    }
    if (j->rows[slot].y == y) return j->rows[slot].values;
    return resize_row(j, &j->rows[slot], y);
}

static inline uint8_t mix_values(int16_t a, int16_t b, int16_t weight) {
    const int16_t rest = (int16_t)((int16_t)WEIGHT_ONE - weight);
    return (uint8_t)((a * rest + b * weight + (1 << 17)) >> 18);
}

static void mix_rows(const int16_t *restrict a, const int16_t *restrict b, int16_t weight, uint8_t *restrict out,
                     uint32_t count) {
    for (; count >= LANES; count -= LANES, a += LANES, b += LANES, out += LANES) {
        for (uint32_t x = 0; x < LANES; x++) out[x] = mix_values(a[x], b[x], weight);
    }
    for (uint32_t x = 0; x < count; x++) out[x] = mix_values(a[x], b[x], weight);
}

// Luma of BT.601 in 14 bits, in place of the first plane. Planes are R, G, B.
static void mix_gray(uint8_t *planes, size_t width, uint32_t count) {
    for (uint32_t x = 0; x < count; x++) {
        planes[x] = (uint8_t)((planes[x] * 4899 + planes[width + x] * 9617 + planes[2 * width + x] * 1868 + 8192) >> 14);
    }
}

static void picture_row(job *j, uint32_t i) {
    tap vertical = make_tap(&j->y, i, 1);
    const int16_t *a = fetch_row(j, 0, vertical.at);
    const int16_t *b = vertical.step ? fetch_row(j, 1, vertical.at + 1) : a;
    size_t width = j->p->width;
    for (uint32_t c = 0; c < j->reads; c++) {
        mix_rows(a + c * width, b + c * width, (int16_t)vertical.weight, j->planes + c * width + j->x.begin, j->x.count);
    }
    if (j->reads == 3 && j->channels == 1) mix_gray(j->planes + j->x.begin, width, j->x.count);
    for (uint32_t c = j->reads; c < j->channels; c++) {
        for (uint32_t x = 0; x < j->x.count; x++) j->planes[c * width + j->x.begin + x] = j->planes[j->x.begin + x];
    }
}

static void pad_row(const job *j) {
    for (uint32_t c = 0; c < j->channels; c++) {
        for (uint32_t x = 0; x < j->p->width; x++) j->planes[c * j->p->width + x] = j->p->pad[c];
    }
}

static void store_f32(const uint8_t *restrict pixels, uint32_t count, float mean, float scale, float *restrict out,
                      size_t step) {
    if (step == 1) {
        for (uint32_t x = 0; x < count; x++) out[x] = ((float)pixels[x] - mean) * scale;
        return;
    }
    for (uint32_t x = 0; x < count; x++) out[x * step] = ((float)pixels[x] - mean) * scale;
}

static void store_row(const job *j, uint32_t y, void *tensor) {
    const tody_preprocess *p = j->p;
    size_t step = p->planar ? 1 : j->channels, plane = p->planar ? (size_t)p->height * p->width : 1;
    for (uint32_t c = 0; c < j->channels; c++) {
        size_t at = c * plane + (size_t)y * p->width * step;
        const uint8_t *pixels = j->planes + (size_t)c * p->width;
        if (p->dtype == TODY_F32) {
            store_f32(pixels, p->width, p->mean[c], p->scale[c], (float *)tensor + at, step);
            continue;
        }
        const uint8_t *table = j->table + 256 * c;
        for (uint32_t x = 0; x < p->width; x++) ((uint8_t *)tensor)[at + x * step] = table[pixels[x]];
    }
}

// Nearest integer, ties to even, of a value within [low, high]; outside: the nearer end. |low| and |high| at most 2^21.
static int32_t round_within(float x, float low, float high) {
    const float shift = 12582912.0f;  // 1.5 * 2^23: the sum has no fraction bits left
    float clamped = x > low ? x : low;
    clamped = clamped < high ? clamped : high;
    return (int32_t)((clamped + shift) - shift);
}

static void fill_table(const job *j) {
    const tody_preprocess *p = j->p;
    for (uint32_t i = 0; i < 256 * j->channels; i++) {
        float value = ((float)(i % 256) - p->mean[i / 256]) * p->scale[i / 256];
        bool is_signed = p->dtype == TODY_S8;
        int32_t integer = is_signed ? round_within(value / p->quant_scale + (float)p->zero_point, -128.0f, 127.0f)
                                    : round_within(value, 0.0f, 255.0f);
        j->table[i] = (uint8_t)integer;
    }
}

static void choose_channels(job *j) {
    tody_pixels from = j->frame->pixels, to = j->p->pixels;
    bool from_rgb = from == TODY_RGB || from == TODY_RGBA;
    bool wants_rgb = to != TODY_BGR;  // gray is mixed from R, G, B
    j->pixel_bytes = bytes_per_pixel(from);
    j->reads = from == TODY_GRAY ? 1 : 3;
    j->channels = to == TODY_GRAY ? 1 : 3;
    for (uint8_t c = 0; c < 3; c++) j->source[c] = from_rgb == wants_rgb ? c : (uint8_t)(2 - c);
}

static void divide_scratch(job *j, void *scratch) {
    size_t width = j->p->width;
    j->taps = scratch;
    int16_t *rows = (int16_t *)(j->taps + width);
    j->rows[0] = (cached_row){.values = rows, .y = MAX_FRAME_SIDE};
    j->rows[1] = (cached_row){.values = rows + 3 * width, .y = MAX_FRAME_SIDE};
    j->planes = (uint8_t *)(rows + 6 * width);
    j->table = j->planes + 3 * width;
}

tody_placement tody_preprocess_run(const tody_preprocess *p, const tody_frame *frame, void *tensor, void *scratch) {
    job j = {.p = p, .frame = frame};
    place(&j);
    choose_channels(&j);
    divide_scratch(&j, scratch);
    for (uint32_t x = 0; x < j.x.count; x++) j.taps[x] = make_tap(&j.x, x, j.pixel_bytes);
    if (p->dtype != TODY_F32) fill_table(&j);
    pad_row(&j);
    for (uint32_t y = 0; y < p->height; y++) {
        bool inside = y >= j.y.begin && y - j.y.begin < j.y.count;
        if (inside) picture_row(&j, y - j.y.begin);
        if (y == j.y.begin + j.y.count) pad_row(&j);
        store_row(&j, y, tensor);
    }
    return (tody_placement){
        .scale_x = (float)j.x.size / (float)j.x.from,
        .scale_y = (float)j.y.size / (float)j.y.from,
        .offset_x = (float)j.x.begin - (float)j.x.skip,
        .offset_y = (float)j.y.begin - (float)j.y.skip,
    };
}
