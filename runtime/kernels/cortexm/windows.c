// windows.c - 3x3 windows of one channel that lie side by side, the inner loops of depthwise convolution.
// SPDX-License-Identifier: Apache-2.0
#include "cortexm.h"

#if defined(TODY_HAS_DSP)
#include "windows.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"  // they are in r0 to r3

// r0: x, r2: sums, r3: their end, r4 to r6: columns of the filter, r7 and r8: its last line, r9: start. Loads stand together,
// because the next one then begins while the last one ends.
#define BEGIN                \
    "push {r4-r11, lr}   \n" \
    "ldm r1, {r4-r9}     \n" \
    "1:                  \n"

#define END                  \
    "cmp r2, r3          \n" \
    "blo 1b              \n" \
    "pop {r4-r11, pc}    \n"

__attribute__((naked)) void tody_add_windows_dsp(const tody_columns_dsp *x, const tody_filter_dsp *w, int32_t *sums,
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

__attribute__((naked)) void tody_add_windows_apart_dsp(const tody_columns_dsp *x, const tody_filter_dsp *w, int32_t *sums,
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
