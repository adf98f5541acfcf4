// kernels_int.h - the contracts of slots that take integers; kernels.h has the others, and the set.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_KERNELS_INT_H
#define TODY_KERNELS_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TODY_BLOCK_ROWS 64u       // rows of int8 that are packed together for most sets, at most
#define TODY_MAX_LINES 16u        // no gemm_s8 is given rows of more
#define TODY_MAX_SPARSE_ROWS 64u  // no set has a larger sparse_s8_rows
#define TODY_MAX_DWCONV_ROWS 8u   // no set has a larger dwconv_s8_rows

// int8, to the bit: docs/format.md. Every set gives the same bytes: sums of integers are modulo 2^32, each float32 operation is
// rounded by itself and nothing is contracted. Multipliers lie in [2^-126, 2^64), so that no infinity and no NaN comes up.

// How an int8 or int16 result ends. lo and hi are integers, with the zero point already subtracted: within [-255, 255], or for
// int16, whose zero point is 0, within those of 16 bits.
typedef struct tody_finish_s8 {
    float lo, hi;
    int32_t zero;
} tody_finish_s8;

// round(min(max(p, lo), hi)) + zero, half to even: adding 1.5 * 2^23 rounds, and leaves the integer in the lower bits.
static inline int32_t tody_finish_s32(float p, const tody_finish_s8 *f) {
    p = p > f->lo ? p : f->lo;
    p = p < f->hi ? p : f->hi;
    const float shifted = p + 12582912.0f;
    int32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    return bits - 0x4B400000 + f->zero;
}

static inline int8_t tody_finish(float p, const tody_finish_s8 *f) { return (int8_t)tody_finish_s32(p, f); }

// The numbers that all results of a layer share.
typedef struct tody_layer_s8 {
    int32_t x_zero, w_zero;  // dwconv: w_zero is 0
    int32_t addend_zero;
    float addend_scale;    // its multiplier
    bool rounds;           // int8 with an addend: whether products are rounded before it comes
    tody_finish_s8 inner;  // how: to all of int8
    float inner_scale;     // the multiplier of that, less its zero point
    uint32_t slopes;       // how far behind each multiplier the slope of its channel lies, of a PReLU; 0: there are none
    tody_finish_s8 finish;
} tody_layer_s8;

// A product and its addend.
static inline float tody_add_s8(float p, int8_t addend, const tody_layer_s8 *q) {
    if (q->rounds) p = (float)(tody_finish_s32(p, &q->inner) - q->inner.zero) * q->inner_scale;
    return p + (float)(addend - q->addend_zero) * q->addend_scale;
}

// PReLU (He and others, "Delving Deep into Rectifiers", 2015). Slopes are finite, and 0 or normal. That of -0 may be either: it
// is rounded.
static inline float tody_leak(float p, float slope) { return p < 0.0f ? p * slope : p; }

// Whether results are nothing but products, rounded: those of most layers.
static inline bool tody_is_plain(const int8_t *addend, const tody_layer_s8 *q) { return !addend && !q->slopes; }

// The result of an int32 sum, its multiplier (with a slope behind it) and an addend (or NULL).
static inline int8_t tody_result_s8(int32_t sum, const float *scale, const int8_t *addend, const tody_layer_s8 *q) {
    float p = (float)sum * *scale;
    if (addend) p = tody_add_s8(p, *addend, q);
    if (q->slopes) p = tody_leak(p, scale[q->slopes]);
    return tody_finish(p, &q->finish);
}

// For i < rows, j < cols: c[i][j] is tody_result_s8 of &scale[j], addend[i][j] and
// bias[j] + sum over t < taps, k < depth of (a[t * rows + i][k] - x_zero) * (w[((t * G + k / 4) * 16 + j) * 4 + k % 4] -
// w_zero), where G = ceil(depth / 4). What w holds behind `depth` does not count. Columns from 16 on are in the next panel, at
// w[w_stride] and scale[scale_stride].
typedef struct tody_gemm_s8 {
    uint32_t rows;  // 1 .. gemm_s8_rows of the set; of packed rows any number
    uint32_t
        cols;  // 1 .. 16 * gemm_s8_panels of the set; w, bias and scale are readable for whole panels, addend and c for cols
    uint32_t taps, depth;    // at least 1
    const int8_t *const *a;  // taps * rows pointers to depth values each; sets with pack_s8 have these instead:
    int8_t *packed;  // rows as tody_pack_s8 left them, or plain ones, which are not written; taps is 1, depth a multiple of 4,
                     // and cols are any number
    // Part l < lines of packed row r * width + i has depth / lines values, from packed[r * width_stride + l * line_stride +
    // i * packed_stride] on: windows over lines of an image share what they have in common. rows is a multiple of width, depth
    // of 4 * lines; line_stride is at least depth / lines. Behind the last row's end are gemm_s8_bytes - 1 times as many bytes
    // and gemm_s8_spare rows to use, and another row to read.
    uint32_t width, lines;
    size_t packed_stride, width_stride, line_stride;  // in bytes
    void *work;            // of sets without pack_s8: tody_gemm_work(taps, depth) bytes, aligned to 8, of any content
    const int8_t *w;       // panels of taps * G * 64
    size_t w_stride;       // from one panel to the next
    const int32_t *bias;   // 16 values for each panel, or NULL
    const float *scale;    // 16 multipliers
    size_t scale_stride;   // to those of the next panel: 16, or 0 where all are equal
    const int8_t *addend;  // or NULL; may be c
    size_t addend_stride;
    int8_t *c;
    size_t c_stride;
    tody_layer_s8 layer;
} tody_gemm_s8;

// What gemm_s8 of a set without pack_s8 may work with: sums and zeros of a panel, and three rows, widened.
static inline uint64_t tody_gemm_work(uint32_t taps, uint32_t depth) {
    return 320 + (uint64_t)taps * (((uint64_t)depth + 3) / 4) * 24;
}

// Puts rows into the form that gemm_s8 of the same set likes, once for all columns. For i < rows: line l of row i is `run` taps
// of depth values, one after the other from a[l * rows + i] on. A packed tap takes whole groups of four values, the last of
// which is filled up with x_zero.
typedef struct tody_pack_s8 {
    uint32_t rows, lines, run, depth;  // at least 1
    const int8_t *const *a;
    int32_t x_zero;
    int8_t *packed;  // what follows a row, up to 64 bytes, may be written, and the gemm_s8_spare rows behind the last one
    size_t stride;   // in bytes, from one row to the next
} tody_pack_s8;

// Convolution of 3x3 with stride 1 by Winograd's way in integers, for sets on which a product of int8 costs much: tiles of 4x4
// results, from 36 products of int16 for each channel. Points 0, 1, -1, 2, -2 and infinity; with weights times 24 (of
// infinity: times 6, and its products times 4), the sums of products are 576 = 9 * 64 times those of the direct way, modulo
// 2^32. To multiply by the inverse of 9 and to shift by 6 gives these exactly if they are within [-2^25, 2^25). That, and that
// w_zero is 0, the caller has to prove.
//
// Result i < 16 of tile t goes to c[at[t * 16 + i]], cols values of tody_result_s8 with addend[at[t * 16 + i]], or nowhere if
// that is TODY_NOWHERE.
#define TODY_NOWHERE SIZE_MAX
typedef struct tody_winograd_s8 {
    uint32_t tiles;           // 1 .. winograd_s8_tiles of the set
    uint32_t channels, cols;  // at least 1; bias and scale are readable for whole panels
    const int8_t *const *a;   // 36 pointers for each tile, along its lines, to `channels` values
    void *work;               // tody_winograd_work(tiles, channels) bytes, aligned to 16, of any content
    const int16_t *u;  // u[((j / 8 * 36 + p) * D + k) * 8 + j % 8], D being the channels up to a multiple of 8, is position p
                       // of the transformed weights of channel k and column j; zero for channels and columns that are not
                       // there. Of sets with winograd_s8_bytes; others transform weights themselves:
    const int8_t *w;   // panels of 9 taps, as of tody_gemm_s8, one behind the other
    const int32_t *bias;  // or NULL
    const float *scale;
    size_t scale_stride;   // as of tody_gemm_s8
    const int8_t *addend;  // or NULL; may be c
    int8_t *c;
    const size_t *at;
    tody_layer_s8 layer;
} tody_winograd_s8;

// Transformed tiles of int16, products of a panel, and a slice of transformed weights; so much more for each position that none
// begins whole pages behind another.
#define TODY_WINOGRAD_SLICE 64u  // channels
static inline uint64_t tody_winograd_work(uint32_t tiles, uint32_t channels) {
    const uint64_t depth = ((uint64_t)channels + 15) / 16 * 16, values = tiles * depth + TODY_WINOGRAD_SLICE * 16u;
    return 36 * (values * 2 + (uint64_t)tiles * 64 + 256);
}

// What that costs a set, in a unit of its own: for each tile, a channel of its image, a column of its results and a product of
// both; for each call, a channel and a column of its weights. And the direct way: a channel and a column of a pixel.
typedef struct tody_winograd_price {
    uint16_t image, result, product, weight, pixel;
} tody_winograd_price;

// For p < pixels, k < channels: c[p][k] is tody_result_s8 of &scale[k], addend[p][k] and bias[k] +
// sum over y < height, x < width of (a[(p * step + x) * lines + y][k] - x_zero) * w[(y * width + x) * channels + k].
// Rows follow each other: pixel r * pixels + p is that of pixel p with a[r * down].
typedef struct tody_dwconv_s8 {
    uint32_t pixels, channels;     // of a row; at least 1, as the next five
    uint32_t height, width, step;  // of a window; columns from one pixel's window to the next
    uint32_t rows, down, lines;    // at most dwconv_s8_rows; lines from one row's window to the next; of a column
    const int8_t *const *a;        // (pixels - 1) * step + width columns
    void *work;                    // tody_dwconv_work(height * width) bytes, aligned to 8, of any content
    const int8_t *w;
    const int32_t *bias;   // or NULL
    const float *scale;    // one multiplier per channel
    const int8_t *addend;  // or NULL; may be c
    size_t addend_stride;
    int8_t *c;
    size_t c_stride;
    tody_layer_s8 layer;
} tody_dwconv_s8;

// What dwconv_s8 may work with: of four channels, sums of 24 pixels, and 32 columns of three lines or a filter, widened.
static inline uint64_t tody_dwconv_work(uint32_t taps) { return 384 + (taps < 96 ? 768 : ((uint64_t)taps / 2 + 1) * 16); }

// int16: as int8, without zero points; w, bias and scale are those of int8 but for the width of w. Sums are modulo 2^32 too:
// that they stay below is up to who chose the weights.

// The result of an int32 sum, its multiplier (with a slope behind it) and an addend (or NULL).
static inline int16_t tody_result_s16(int32_t sum, const float *scale, const int16_t *addend, const tody_layer_s8 *q) {
    float p = (float)sum * *scale;
    if (addend) p = p + (float)*addend * q->addend_scale;
    if (q->slopes) p = tody_leak(p, scale[q->slopes]);
    return (int16_t)tody_finish_s32(p, &q->finish);
}

// For i < rows, j < cols: c[i][j] is tody_result_s16 of &scale[j], addend[i][j] and bias[j] +
// sum over t < taps, k < depth of a[t * rows + i][k] * w[((t * G + k / 2) * 16 + j) * 2 + k % 2], where G = ceil(depth / 2).
// What w holds behind `depth` does not count. Columns from 16 on are in the next panel, at w[w_stride].
typedef struct tody_gemm_s16 {
    uint32_t rows;         // 1 .. gemm_s16_rows of the set
    uint32_t cols;         // 1 .. 16 * gemm_s16_panels; w, bias and scale are readable for whole panels, addend and c for cols
    uint32_t taps, depth;  // at least 1
    const int16_t *const *a;  // taps * rows pointers to depth values each
    const int16_t *w;         // panels of taps * G * 32
    size_t w_stride;          // from one panel to the next
    const int32_t *bias;      // 16 values for each panel, or NULL
    const float *scale;       // 16 multipliers for each panel
    const int16_t *addend;    // or NULL; may be c
    size_t addend_stride;
    int16_t *c;
    size_t c_stride;
    tody_layer_s8 layer;
} tody_gemm_s16;

// For p < pixels, k < channels: c[p][k] is tody_result_s16 of &scale[k], addend[p][k] and bias[k] +
// sum over y < height, x < width of a[(p * step + x) * height + y][k] * w[(y * width + x) * channels + k].
typedef struct tody_dwconv_s16 {
    uint32_t pixels, channels;     // at least 1, as the next three
    uint32_t height, width, step;  // of a window; columns from one pixel's window to the next
    const int16_t *const *a;
    const int16_t *w;
    const int32_t *bias;    // or NULL
    const float *scale;     // one multiplier per channel
    const int16_t *addend;  // or NULL; may be c
    size_t addend_stride;
    int16_t *c;
    size_t c_stride;
    tody_layer_s8 layer;
} tody_dwconv_s16;

// What the results of a function of two int8 have in common: docs/format.md, `binary`.
typedef struct tody_binary_s8 {
    uint32_t fn2;  // TODY_FN2_ADD, SUB, MUL, MIN or MAX
    int32_t x_zero, y_zero;
    float x_scale, y_scale;  // MUL has the first alone; MIN and MAX need none of all this
    tody_finish_s8 finish;
} tody_binary_s8;

// Weights in blocks (TODY_BLOCKS of the file format): rows stand in the lanes of vectors, so that each block that is not zero
// meets many of them. The values of a row in groups of four are words; `words` holds word p of row i at
// (p * sparse_s8_rows + i) * 4, as its set likes it: with sparse_s8_shift added to each value.

// For i < rows, k < count: value a[i][first + k] goes into word k / 4, x_zero to what the last word lacks.
typedef struct tody_words_s8 {
    uint32_t rows;          // 1 .. sparse_s8_rows of the set
    uint32_t first, count;  // count is at least 1
    const int8_t *const *a;
    int32_t x_zero;
    int8_t *words;  // of whole words for sparse_s8_rows rows, at a multiple of 64
} tody_words_s8;

// For i < rows, j < cols: sums[j][i] is what it was (`more`) or start[j], plus the sum over starts[j] <= b < starts[j + 1] of
// word places[b] of row i times w[b], four products. Where there is a c, this is complete: c[i][j] is tody_result_s8 of it,
// &scale[j] and addend[i][j].
typedef struct tody_sparse_s8 {
    uint32_t rows, cols;  // 1 .. sparse_s8_rows of the set, 1 .. 16; scale is readable for 16
    const int8_t *words;
    const uint32_t *starts;  // cols + 1, rising
    const uint8_t *places;
    const int8_t *w;
    bool more;
    const int32_t *start;  // 16: what all sums of a channel begin with, what sparse_s8_shift and x_zero add to them taken off
    int32_t *sums;         // [16][sparse_s8_rows]
    const float *scale;
    const int8_t *addend;  // or NULL; may be c
    size_t addend_stride;
    int8_t *c;  // or NULL
    size_t c_stride;
    tody_layer_s8 layer;
} tody_sparse_s8;

#endif
