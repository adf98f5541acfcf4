// kernels.h - what a kernel set is: the slots, and the contract of each.
// SPDX-License-Identifier: Apache-2.0
//
// Kernels know pointers and numbers only. They do not allocate, schedule or fail. The portable set fills every slot and is the
// definition; the others leave NULL what they do not do better. Pointers need the alignment of their element only.
// Strides are in elements. float32 results may differ from portable by rounding (bounds: tests/kernels/check.c), int8 ones
// not at all.
#ifndef TODY_KERNELS_H
#define TODY_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels_int.h"

#define TODY_PANEL_F32 16u  // columns of a gemm panel: TODY_PANEL of the file format
#define TODY_MAX_ROWS 16u   // no set has a larger gemm_f32_rows, gemm_s8_rows or gemm_s16_rows
#define TODY_MAX_STRIP 8u   // no set has a larger dwconv_f32_strip
#define TODY_MAX_PANELS 2u  // no set has a larger gemm_f32_panels, gemm_s8_panels or gemm_s16_panels

// For i < rows, j < cols:
// c[i][j] = clamp(bias[j] + sum over t < taps, k < depth of a[t * rows + i][k] * w[(t * depth + k) * 16 + j] +
//                 addend[i][j], lo, hi)
// Columns from 16 on are in the next panel: w[w_stride + (t * depth + k) * 16 + j - 16], and so on.
// Convolution gives one pointer per output pixel and tap; a matrix product has taps = 1.
// Sets with fused multiply-add start at the bias and go through t, then k. If rows is 1 there are four sums, of which sum p
// takes each k = p modulo 4 (what is left of depth: p = 0), added in turn at the end. So AVX2, AVX-512 and NEON give the
// same bits.
typedef struct tody_gemm_f32 {
    uint32_t rows;  // 1 .. gemm_f32_rows of the set
    uint32_t cols;  // 1 .. 16 * gemm_f32_panels of the set, more if it has gemm_f32_bytes; w and bias are readable for whole
                    // panels, addend and c for cols
    uint32_t taps, depth;   // at least 1
    const float *const *a;  // taps * rows pointers to depth values each
    uint32_t more;          // tiles of as many rows that follow this one, in addend and c too
    size_t a_step;          // from a tile's pointers, or packed values, to those of the next
    union {                 // sets with pack_f32 have this instead, unless rows is 1: rows as it left them
        const float *packed;
        const uint16_t *packed_f16;
    };
    uint32_t packed_rows;  // of float32, that are packed together: `packed` is the first of `rows` that follow one another
    union {                // panels of taps * depth * 16
        const float *w;
        const uint16_t *w_f16;
    };
    const float *scale;   // tody_kernels_f16 alone
    size_t w_stride;      // from one panel to the next
    const float *next;    // wanted soon: may be fetched into the cache; never NULL
    size_t next_step;     // how far it goes on with each step in depth, from tile to tile too: at most 16
    const float *bias;    // 16 values for each panel, or NULL
    const float *addend;  // or NULL
    size_t addend_stride;
    float *c;
    size_t c_stride;
    float lo, hi;
} tody_gemm_f32;

// Puts the rows of a tile into the form that gemm_f32 of the same set likes, once for all columns: in fours of depth, which
// stand in memory as f32 packed[((t * F + k / 4) * rows + i) * 4 + k % 4] = a[t * rows + i][k], where F = ceil(depth / 4). What
// fills up the last four of a tap does not count.
typedef struct tody_pack_f32 {
    uint32_t rows, taps, depth;  // at least 1; rows at most gemm_f32_rows
    const float *const *a;
    union {
        float *packed;
        uint16_t *packed_f16;
    };
} tody_pack_f32;

// float32 products in float16 arithmetic, for callers that ask (tody_setup.f16). Tensors stay float32: rows are rounded as they
// are packed, weights once, when a model is prepared.
#define TODY_F16_FOURS 16u        // fours of depth that are summed in float16
#define TODY_F16_LARGEST 0.0625f  // no weight is larger than it: 64 products of values up to 16,000 stay finite
typedef struct tody_kernels_f16 {
    // As gemm_f32 and pack_f32 of the same set, with the same rows in a tile, but one panel and float16 in w and packed, behind
    // which four values may be read. A tap's depth goes by in fours, the last of which may lack some. 16 fours, if need be of
    // more than one tap, are summed from 0 on, each step rounded once to float16; each such sum is converted, multiplied by
    // scale[j], a power of two, and added in float32 to the bias and the ones before. If rows is 1 there are four sums, of
    // which sum p takes each k = p modulo 4 of a tap: they are added, in turn, after every 64 fours.
    void (*gemm)(const tody_gemm_f32 *args);
    void (*pack)(const tody_pack_f32 *args);
    // y[i] = x[i], rounded to the nearest, for i < count: a multiple of 8.
    void (*round)(const float *x, uint16_t *y, size_t count);
} tody_kernels_f16;

// For r < rows, p < pixels, k < channels: c[r * c_row + p * c_stride + k] = clamp(bias[k] + addend[..][k] +
// sum over y < height, x < width of a[(r * down + y) * a_stride + p * step + x][k] * w[(y * width + x) * w_stride + k], lo, hi)
// a is a grid of pointers to pixels: windows of neighbours have rows and columns of it in common.
// Sets with fused multiply-add start at the bias and go through y, then x.
typedef struct tody_dwconv_f32 {
    uint32_t rows, pixels, channels;     // of the result; at least 1, as the next four
    uint32_t height, width, down, step;  // of a window; rows and columns of the grid from one pixel's window to the next
    const float *const *a;  // pointers to `channels` values each; in a row, for pixels up to a multiple of dwconv_f32_strip
    size_t a_stride;        // from one row of pointers to the next
    const float *w;
    size_t w_stride;                   // from one tap to the next
    const float *bias;                 // or NULL
    const float *addend;               // or NULL; may be c
    size_t addend_row, addend_stride;  // from one row to the next, and from one pixel to the next
    float *c;
    size_t c_row, c_stride;
    float lo, hi;
} tody_dwconv_f32;

// Winograd's convolution in the form of Cook and Toom: a window of taps x taps that moves by 1 makes tile x tile outputs of a
// channel, and takes edge^2 products for them, edge = tile + taps - 1 (Winograd, "Arithmetic Complexity of Computations", 1980;
// Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015). The interpolation has `edge` points, 4 or 6:
// infinity, 0, 1 and -1, or infinity, 0, A, -A, B and -B, with constants chosen for small errors as in Barabasz et al., "Error
// Analysis and Improving the Accuracy of Winograd Convolution", 2020; they and their squares are exact. The same points serve
// every pair of tile and taps. Row i of V, G and Y below is what point i gives: the columns of a square are transformed first,
// then its rows. Positions, edge^2 of them, are counted along rows. AVX2, AVX-512 and NEON give the same bits. How the factors
// of a point are dealt out among V, G and Y is the affair of kernels/winograd.h, but for one thing: of a filter with one tap
// G makes that tap at all points, and nothing at infinity, where it has no other taps.
#define TODY_WINOGRAD_A 0.625
#define TODY_WINOGRAD_B 1.5
#define TODY_MAX_WINOGRAD_EDGE 6u
#define TODY_MAX_WINOGRAD_TAPS 5u  // of a tile of 2

// The weights: u[y * u_down + x * u_right + k * 16 + j] for position (y, x), k < depth, j < 16 is G w G' of the filter
// w[y * taps + x][k * 16 + j]. Positions are written in order, so that of those which share a place the last one stands.
typedef struct tody_winograd_weights {
    uint32_t edge, taps, depth;  // 4 or 6; at least 2, to a tile of 2; at least 1
    const float *const *w;       // taps^2 pointers
    float *u;
    size_t u_down, u_right;
} tody_winograd_weights;

// The image: v[position * v_stride + k / 4 * 4 * v_step + k % 4] for k < channels is V d V' of the square
// d[y][x] = a[y * edge + x][k]. A step of 1 gives rows; one of as many rows as a tile has gives these packed (pack_f32),
// and what fills up the last four is written then.
typedef struct tody_winograd_in {
    uint32_t edge, channels;  // 4 or 6; at least 1
    const float *const *a;    // edge^2 pointers to `channels` values
    float *v;
    size_t v_stride;
    size_t v_step;  // not 1: only of sets with pack_f32
} tody_winograd_in;

// The result: c[y * c_line + x * c_stride + k] for y < rows, x < cols, k < channels is clamp(Y m Y' + bias[k] + addend) at
// (top + y, left + x) of the square m[position * m_stride + k]; the addend stands at the same place as c. Lines and columns of
// Y but the first are without the point 0, all but the last without infinity: what m has there may be anything.
typedef struct tody_winograd_out {
    uint32_t edge, tile;            // 4 or 6; 2 .. edge - 1
    uint32_t top, left;             // where what is wanted begins,
    uint32_t rows, cols, channels;  // and how much: all of it ends within the tile; at least 1
    const float *m;                 // readable for whole panels of 16, as is bias
    size_t m_stride;
    const float *bias;    // or NULL
    const float *addend;  // or NULL; may be c
    float *c;
    size_t c_line, c_stride;
    float lo, hi;
} tody_winograd_out;

// The additions of Strassen's products of quarters of matrices, in Winograd's form ("On Multiplication of 2 x 2 Matrices",
// 1971): ops/strassen.c has the products. Counts are multiples of 16. All sets give the same bits.

// Of two rows of 2 * count values, a[0] to a[1] being halves of one, b of the other, for i < count: s[0][i] = b[0][i] +
// b[1][i], s[1][i] = s[0][i] - a[0][i], s[2][i] = a[0][i] - b[0][i], s[3][i] = a[1][i] - s[1][i].
typedef struct tody_strassen_in {
    size_t count;
    const float *a, *b;  // may be the same
    float *s;
    size_t s_stride;  // from one of the four to the next
} tody_strassen_in;

// For i < count: c[i] = clamp(y[i] + z[i] + below[right + i], lo, hi), y[i] += below[i], w[i] += z[i] + addend[right + i],
// x[i] += addend[i].
typedef struct tody_strassen_out {
    size_t count;
    float *x, *y;
    const float *z;
    float *w;
    float *c;                     // or NULL: then y stays as it is; may be below + right
    const float *addend, *below;  // or NULL, both: 0. Without c, below is not read
    size_t right;
    float lo, hi;
} tody_strassen_out;

// max: c[p][k] = max over t of a[p * taps + t][k].  sum: c[p][k] = scale[p] * sum over t of a[p * taps + t][k].
typedef struct tody_pool_f32 {
    uint32_t pixels, channels, taps;
    const float *const *a;
    const float *scale;  // sum only: one per pixel
    float *c;
    size_t c_stride;
} tody_pool_f32;

// For k < channels: sum[k] = sum over r < rows of x[r * stride + k] - mean[k], one after the other; square[k] of the squares of
// these. At most some hundred rows: the sums are in float32.
typedef struct tody_columns_f32 {
    uint32_t rows, channels;
    const float *x;
    size_t stride;
    const float *mean;  // or NULL: 0
    float *sum, *square;
} tody_columns_f32;

// For r < rows, k < channels:
// y[r * stride + k] = clamp((x[r * stride + k] - mean[k * step]) * factor[k * step] * scale[k] + bias[k], lo, hi)
typedef struct tody_norm_f32 {
    uint32_t rows, channels;
    const float *x;
    float *y;  // may be x
    size_t stride;
    const float *mean, *factor;
    size_t step;         // 0 or 1
    const float *scale;  // or NULL: 1
    const float *bias;   // or NULL: 0
    float lo, hi;
} tody_norm_f32;

// Whether any set of this build packs float32, or takes plain rows of int8: those that do are of ARM's application processors.
// Others go without the code.
#if defined(__aarch64__) || (defined(__arm__) && __ARM_ARCH_PROFILE != 'M')
enum { TODY_PACKS_F32 = 1, TODY_PLAIN_S8 = 1 };
#else
enum { TODY_PACKS_F32 = 0, TODY_PLAIN_S8 = 0 };
#endif

// The same of int8: chips go without the code.
#if defined(__x86_64__) || defined(__i386__) || defined(__aarch64__) || (defined(__arm__) && __ARM_ARCH_PROFILE != 'M')
enum { TODY_PACKS_S8 = 1 };
#else
enum { TODY_PACKS_S8 = 0 };
#endif

typedef struct tody_kernels {
    const char *name;
    uint32_t needs;  // tody_cpu_feature bits, all of which must be there

    uint32_t gemm_f32_rows, gemm_f32_panels;  // of a full tile, at least 3 by 1; these belong to gemm_f32
    uint32_t gemm_f32_bytes;                  // of weights, within which a call may have more panels than that; 0: it may not
    void (*gemm_f32)(const tody_gemm_f32 *args);
    void (*pack_f32)(const tody_pack_f32 *args);  // or NULL: gemm_f32 takes rows as they are; belongs to it
    const tody_kernels_f16 *f16;                  // or NULL; only of CPUs whose gemm_f32 is NEON's
    uint32_t dwconv_f32_strip;                    // pixels taken together: 1 to TODY_MAX_STRIP; it belongs to dwconv_f32
    void (*dwconv_f32)(const tody_dwconv_f32 *args);
    void (*winograd_weights_f32)(const tody_winograd_weights *args);
    size_t winograd_bytes;       // of tiles that stay in the cache while all weights go by; these five belong together
    uint32_t winograd_fleeting;  // tiles below which it does not pay to transform weights in each run
    uint32_t winograd_phases;    // terms of a direct sum below which it does not pay to add up phases
    void (*winograd_in_f32)(const tody_winograd_in *args);
    void (*winograd_out_f32)(const tody_winograd_out *args);
    // Strassen's way pays where strassen_least * (1 / depth + 1 / columns) + strassen_rows / rows is at most 1: sums of rows
    // and of results, and weights that are read for few rows. These four belong together.
    uint32_t strassen_least, strassen_rows;
    void (*strassen_in_f32)(const tody_strassen_in *args);
    void (*strassen_out_f32)(const tody_strassen_out *args);
    void (*max_pool_f32)(const tody_pool_f32 *args);
    void (*sum_pool_f32)(const tody_pool_f32 *args);

    // y[i] = fn(x[i]); fn is a tody_fn from float32 to float32, with parameters a and b. y may be x.
    void (*unary_f32)(uint32_t fn, float a, float b, const float *x, float *y, size_t count);
    // z[i] = clamp(fn2(x[i * x_step], y[i * y_step]), lo, hi); fn2 is a tody_fn2 up to PRELU, steps are 0 or 1.
    // z may be x or y.
    void (*binary_f32)(uint32_t fn2, const float *x, size_t x_step, const float *y, size_t y_step, float *z, size_t count,
                       float lo, float hi);
    // Softmax of one row, 0 for what is more than 80 below the largest; y may be x.
    void (*softmax_f32)(const float *x, float *y, size_t count);
    // y[i] = a[0][i] * w[0] + a[1][i] * w[1] + .. + a[taps - 1][i] * w[taps - 1]: resize, weighted sums.
    void (*blend_f32)(const float *const *a, const float *w, uint32_t taps, float *y, size_t count);
    // y[j * y_stride + i] = x[i * x_stride + j], 4-byte elements, i < rows, j < cols.
    void (*transpose_b32)(const uint32_t *x, size_t x_stride, uint32_t *y, size_t y_stride, size_t rows, size_t cols);
    // Sum of (x[i] - mean), and of its square, for one row: norms. sums[0] and sums[1].
    void (*moments_f32)(const float *x, size_t count, float mean, float sums[2]);
    void (*column_moments_f32)(const tody_columns_f32 *args);
    void (*norm_f32)(const tody_norm_f32 *args);

    uint32_t gemm_s8_rows, gemm_s8_panels;  // of a full tile; these belong together
    uint32_t gemm_s8_bytes;                 // of a packed value and what gemm_s8 makes of it, if pack_s8 is not NULL
    uint32_t gemm_s8_block;                 // rows that are packed together, at most
    uint32_t gemm_s8_lines;                 // rows have lines of a multiple of it, or less than 64 values; 0: have one line
    int32_t gemm_s8_shift;                  // which packing adds to each value
    uint8_t gemm_s8_least;                  // a tile of fewer rows takes as long as one of so many; 0: gemm_s8_rows
    uint8_t gemm_s8_spare;                  // rows behind the last packed one that pack_s8 and gemm_s8 may write over
    uint8_t pack_s8_rows;  // packed rows come so many together: calls have a multiple, but for the last; 0: one
    bool gemm_s8_plain;    // takes one line of whole groups as it is, and may read 12 bytes behind the last row
    void (*gemm_s8)(const tody_gemm_s8 *args);
    void (*pack_s8)(const tody_pack_s8 *args);  // or NULL: gemm_s8 takes rows as they are
    uint32_t winograd_s8_tiles;                 // of a call, at most; these belong to winograd_s8
    uint32_t winograd_s8_bytes;                 // of a layer's prepared weights, at most; 0: it transforms weights itself
    tody_winograd_price winograd_s8_price;
    void (*winograd_s8)(const tody_winograd_s8 *args);  // or NULL: gemm_s8 is faster
    uint32_t dwconv_s8_rows;  // at a time, of windows of 3x3 with a step of 1 or 2; else, or if it is 0: one
    void (*dwconv_s8)(const tody_dwconv_s8 *args);
    // z[i] = fn2(x[i], y[i]); z may be x or y.
    void (*binary_s8)(const tody_binary_s8 *args, const int8_t *x, const int8_t *y, int8_t *z, size_t count);
    // y[i] = table[x[i] + 128]; y may be x.
    void (*lut_s8)(const int8_t *table, const int8_t *x, int8_t *y, size_t count);
    // For k < channels: sum[k] = a[0][k] + .. + a[taps - 1][k], or y[k] = the largest of these; taps is 1 to 2^24.
    void (*sum_s8)(const int8_t *const *a, uint32_t taps, uint32_t channels, uint32_t *sum);
    void (*max_s8)(const int8_t *const *a, uint32_t taps, uint32_t channels, int8_t *y);

    uint32_t sparse_s8_rows;  // of a full tile, at most TODY_MAX_SPARSE_ROWS; these belong together
    int32_t sparse_s8_shift;
    void (*words_s8)(const tody_words_s8 *args);
    void (*sparse_s8)(const tody_sparse_s8 *args);

    uint32_t gemm_s16_rows, gemm_s16_panels;  // of a full tile, at least 3 by 1; they belong to gemm_s16
    void (*gemm_s16)(const tody_gemm_s16 *args);
    void (*dwconv_s16)(const tody_dwconv_s16 *args);
} tody_kernels;

// What a CPU can do. Bits are shared by all architectures; each sets its own.
enum tody_cpu_feature {
    TODY_CPU_AVX2 = 1u << 0,  // with FMA3 and F16C
    TODY_CPU_NEON = 1u << 1,
    TODY_CPU_NEON_DOT = 1u << 2,
    TODY_CPU_NEON_FP16 = 1u << 3,
    TODY_CPU_NEON_I8MM = 1u << 4,
    TODY_CPU_AVX512 = 1u << 5,  // F, BW, DQ and VL
    TODY_CPU_AVX_VNNI = 1u << 6,
    TODY_CPU_AVX512_VNNI = 1u << 7,  // with VBMI
    TODY_CPU_AMX = 1u << 8,          // tiles and their products of int8
};

extern const tody_kernels tody_kernels_portable;

// Whether any set of this build has float16 arithmetic, or Winograd's way of int8, with weights that are prepared for it.
#if defined(__aarch64__)
enum { TODY_HAS_F16 = 1, TODY_WINOGRAD_S8 = 1, TODY_WINOGRAD_PREPARED = 1 };
#elif defined(__x86_64__) || defined(__i386__)
enum { TODY_HAS_F16 = 0, TODY_WINOGRAD_S8 = 1, TODY_WINOGRAD_PREPARED = 0 };
#else
enum { TODY_HAS_F16 = 0, TODY_WINOGRAD_S8 = 0, TODY_WINOGRAD_PREPARED = 0 };
#endif

static inline bool tody_packs_f32(const tody_kernels *k) { return TODY_PACKS_F32 && k->pack_f32; }

// The sets of this build, NULL-terminated, portable first, best last: kernels/sets.c
extern const tody_kernels *const tody_kernel_sets[];

// Portable overlaid with every set whose `needs` are among `features`, best last; `name` is that of the last one used.
// `limit` (or NULL) names the last set to consider, so that a caller can ask for less.
tody_kernels tody_kernels_pick(uint32_t features, const char *limit);

#endif
