// sparse_s8.c - int8 rows times weights in blocks by Helium: four blocks that are not zero meet six rows.
// SPDX-License-Identifier: Apache-2.0
#include "helium.h"

#if defined(TODY_HAS_HELIUM)
#include "finish.h"
#include "kernels/sums_s8.h"

enum { ROWS = TODY_SPARSE_ROWS_HELIUM };
_Static_assert(ROWS == 6, "so many rows has the loop below");

void tody_words_s8_helium(const tody_words_s8 *args) { tody_gather_words_s8(args, ROWS, 0); }

// Of the columns from `starts` to `end`: starts is one longer.
typedef struct columns {
    const int8_t *words;
    const uint32_t *starts, *end;
    const uint8_t *places;
    const int8_t *w;
    int32_t *sums;  // [column][row]
} columns;

#pragma GCC diagnostic ignored "-Wunused-parameter"  // they are in r0

#define SUMS "{r0, r2, r4, r6, r8, r10}\n"  // vmladava wants even registers

#define ROW(at, sum)          \
    "vldrw.u32 q2, [q0, #" at \
    "] \n"                    \
    "vmladava.s8 " sum ", q2, q1 \n"

// sums += the products of all blocks. The words of a row are gathered from where the places of four blocks say, those of the
// other rows lie behind them. r1: starts, r3: words, r5: places, r7: weights, r12: sums.
static __attribute__((naked, noinline)) void add_blocks(const columns *c) {
    __asm__("push {r0, r4-r11, lr}       \n"
            "ldrd r3, r1, [r0]           \n"
            "ldr r12, [r0, #20]          \n"
            "1:                          \n"
            "ldr r11, [sp]               \n"
            "ldrd r5, r7, [r11, #12]     \n"
            "ldr r9, [r1], #4            \n"
            "ldr r11, [r1]               \n"
            "add r5, r9                  \n"
            "add r7, r7, r9, lsl #2      \n"
            "sub r9, r11, r9             \n"
            "mov r11, #24                \n"
            "ldm r12, " SUMS
            "wlstp.32 lr, r9, 3f         \n"
            "2:                          \n"
            "vldrb.u32 q0, [r5], #4      \n"
            "vldrb.u8 q1, [r7], #16      \n"
            "vmul.i32 q0, q0, r11        \n"
            "vadd.i32 q0, q0, r3         \n"  //
            ROW("0", "r0") ROW("4", "r2") ROW("8", "r4") ROW("12", "r6") ROW("16", "r8") ROW("20", "r10")
            "letp lr, 2b                 \n"
            "3:                          \n"
            "stm r12!, " SUMS
            "ldr r9, [sp]                \n"
            "ldr r9, [r9, #8]            \n"
            "cmp r1, r9                  \n"
            "bne 1b                      \n"
            "pop {r0, r4-r11, pc}        \n");
}

// What the sums begin with: those of a column in two vectors, of which the second begins within the first.
static void begin(const tody_sparse_s8 *g) {
    int32_t *sums = g->sums;
    for (uint32_t j = 0; j < g->cols; j++, sums += ROWS) {
        const int32x4_t start = vdupq_n_s32(g->start[j]);
        vstrwq_s32(sums, start);
        vstrwq_s32(sums + ROWS - 4, start);
    }
}

void tody_sparse_s8_helium(const tody_sparse_s8 *g) {
    const columns c = {g->words, g->starts, g->starts + g->cols, g->places, g->w, g->sums};
    if (!g->more) begin(g);
    add_blocks(&c);
    if (!g->c) return;
    const tody_finish_helium finish = {
        .rows = g->rows,
        .cols = g->cols,
        .sums = g->sums,
        .step = ROWS,
        .tile_step = 3,
        .scale = g->scale,
        .addend = g->addend,
        .addend_stride = g->addend_stride,
        .c = g->c,
        .c_stride = g->c_stride,
        .layer = &g->layer,
    };
    tody_finish_sums_helium(&finish);
}

#endif
