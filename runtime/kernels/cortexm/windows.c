// windows.c - 3x3 windows of one channel that lie side by side, the inner loops of depthwise convolution.
// SPDX-License-Identifier: Apache-2.0
#include "cortexm.h"

#if defined(TODY_HAS_DSP)
#include "windows.h"

_Static_assert(TODY_PAIRS_DSP * sizeof(tody_columns_dsp) == 192, "bytes from one channel to the next");

#pragma GCC diagnostic ignored "-Wunused-parameter"  // they are in r0 to r3 and on the stack

// r0: to, r1: x, r2: k, r3: how many are left, r4: less, r5: bytes from one column to the next, r6 to r8 and r9 to r11: lines
// of two columns. Loads stand together, because the next one then begins while the last one ends.
__asm__(
    // Lines a and b of a column, or columns, of four channels.
    ".macro tody_pair a, b, at       \n"
    "pkhbt r12, \\a, \\b, lsl #16    \n"
    "pkhtb lr, \\b, \\a, asr #16     \n"
    "sxtab16 \\a, r4, r12            \n"
    "sxtab16 r12, r4, r12, ror #8    \n"
    "sxtab16 \\b, r4, lr             \n"
    "sxtab16 lr, r4, lr, ror #8      \n"
    "str \\a, [r0, #\\at]            \n"
    "str r12, [r0, #\\at + 192]      \n"
    "str \\b, [r0, #\\at + 384]      \n"
    "str lr, [r0, #\\at + 576]       \n"
    ".endm                           \n");

__attribute__((naked)) void tody_take_columns_dsp(tody_columns_dsp *to, const int8_t *const *x, size_t k, uint32_t count,
                                                  int16x2_t less, size_t stride) {
    __asm__(
        "push {r4-r11, lr}      \n"
        "ldrd r4, r5, [sp, #36] \n"
        "1:                     \n"
        "ldm r1, {r6-r8}        \n"
        "subs r3, #2            \n"
        "it pl                  \n"
        "addpl r1, r5           \n"
        "ldr r6, [r6, r2]       \n"
        "ldr r7, [r7, r2]       \n"
        "ldr r8, [r8, r2]       \n"
        "ldm r1, {r9-r11}       \n"
        "add r1, r5             \n"
        "ldr r9, [r9, r2]       \n"
        "ldr r10, [r10, r2]     \n"
        "ldr r11, [r11, r2]     \n"
        "tody_pair r6, r7, 0    \n"
        "tody_pair r9, r10, 4   \n"
        "tody_pair r8, r11, 8   \n"
        "adds r0, #12           \n"
        "cmp r3, #0             \n"
        "bgt 1b                 \n"
        "pop {r4-r11, pc}       \n");
}

// r0: x, r2: sums, r3: their end, r4 to r6: columns of the filter, r7 and r8: its last line, r9: start. On the stack: x and
// filters of the next channel, its sums, and x behind the last one.
#define BEGIN                  \
    "push {r4-r11, lr}   \n"   \
    "add r4, r0, #768    \n"   \
    "push {r0, r1, r2, r4} \n" \
    "1:                  \n"   \
    "ldm r1!, {r4-r9}    \n"   \
    "str r1, [sp, #4]    \n"   \
    "2:                  \n"

#define END                  \
    "cmp r2, r3          \n" \
    "blo 2b              \n" \
    "ldr r0, [sp]        \n" \
    "ldr r1, [sp, #4]    \n" \
    "ldr r2, [sp, #8]    \n" \
    "ldr r4, [sp, #12]   \n" \
    "adds r0, #192       \n" \
    "adds r2, #4         \n" \
    "adds r3, #4         \n" \
    "str r0, [sp]        \n" \
    "str r2, [sp, #8]    \n" \
    "cmp r0, r4          \n" \
    "bne 1b              \n" \
    "add sp, #16         \n" \
    "pop {r4-r11, pc}    \n"

__attribute__((naked)) void tody_add_windows_dsp(const tody_columns_dsp *x, const tody_filter_dsp w[4], int32_t *sums,
                                                 const int32_t *end) {
    __asm__(BEGIN
            "ldr r10, [r0]           \n"
            "ldr r11, [r0, #4]       \n"
            "ldr r12, [r0, #12]!     \n"
            "smlad r1, r10, r4, r9   \n"
            "smlad r10, r11, r4, r9  \n"
            "smlad r1, r11, r5, r1   \n"
            "smlad r10, r12, r5, r10 \n"
            "smlad r1, r12, r6, r1   \n"
            "ldr r11, [r0, #4]       \n"
            "ldr r12, [r0, #8]       \n"
            "ldr lr, [r0, #-4]       \n"
            "smlad r10, r11, r6, r10 \n"
            "smlad r1, lr, r7, r1    \n"
            "smlatb r10, lr, r7, r10 \n"
            "smlabt r1, r12, r8, r1  \n"
            "smlad r10, r12, r8, r10 \n"
            "str r1, [r2], #16       \n"
            "str r10, [r2], #16      \n"  //
            END);
}

__attribute__((naked)) void tody_add_windows_apart_dsp(const tody_columns_dsp *x, const tody_filter_dsp w[4], int32_t *sums,
                                                       const int32_t *end) {
    __asm__(BEGIN
            "ldr r10, [r0]           \n"
            "ldr r11, [r0, #4]       \n"
            "ldr r12, [r0, #8]       \n"
            "ldr r1, [r0, #20]       \n"
            "ldr lr, [r0, #12]!      \n"
            "smlad r10, r10, r4, r9  \n"
            "smlad r10, r11, r5, r10 \n"
            "smlad r10, lr, r6, r10  \n"
            "smlad r10, r12, r7, r10 \n"
            "smlabt r10, r1, r8, r10 \n"
            "str r10, [r2], #16      \n"  //
            END);
}

#endif
