// tiles.c - products of widened rows and weights, the inner loops: three rows by two columns in registers.
// SPDX-License-Identifier: Apache-2.0
#include "cortexm.h"

#if defined(TODY_HAS_DSP)
#include "tiles.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"  // it is in r0

// r0: x, r1: w, r2 to r7: sums of both columns, r8 and r9: their weights, r10 to r12: values of the rows, lr: weights, widened.
// Loads stand together, because the next one then begins while the last one ends.
__asm__(
    // Three values of rows by a weight of the first column, or the second one.
    ".macro tody_first from     \n"
    "smlad r2, r10, \\from, r2  \n"
    "smlad r3, r11, \\from, r3  \n"
    "smlad r4, r12, \\from, r4  \n"
    ".endm                      \n"
    ".macro tody_second from    \n"
    "smlad r5, r10, \\from, r5  \n"
    "smlad r6, r11, \\from, r6  \n"
    "smlad r7, r12, \\from, r7  \n"
    ".endm                      \n"
    // Four values of depth. What `last` names is loaded with their second half.
    ".macro tody_four last      \n"
    "ldr r8, [r1], #64          \n"
    "ldr r9, [r1, #-60]         \n"
    "ldr r10, [r0], #24         \n"
    "ldr r11, [r0, #-20]        \n"
    "ldr r12, [r0, #-16]        \n"
    "sxtb16 lr, r8              \n"
    "tody_first lr              \n"
    "sxtb16 lr, r9              \n"
    "tody_second lr             \n"
    "ldr r10, [r0, #-12]        \n"
    "ldr r11, [r0, #-8]         \n"
    "ldr r12, [r0, #-4]         \n"
    ".ifnb \\last               \n"
    "ldr \\last, [sp, #12]      \n"
    ".endif                     \n"
    "sxtb16 r8, r8, ror #8      \n"
    "tody_first r8              \n"
    "sxtb16 r9, r9, ror #8      \n"
    "tody_second r9             \n"
    ".endm                      \n"
    // Two taps of depth one.
    ".macro tody_two_taps last  \n"
    "ldrsb r8, [r1, #64]        \n"
    "ldrsb r9, [r1, #68]        \n"
    "ldrsb r12, [r1, #4]        \n"
    "ldrsb r11, [r1], #128      \n"
    "pkhbt r9, r12, r9, lsl #16 \n"
    "pkhbt r8, r11, r8, lsl #16 \n"
    "ldr r10, [r0], #12         \n"
    "ldr r11, [r0, #-8]         \n"
    "ldr r12, [r0, #-4]         \n"
    ".ifnb \\last               \n"
    "ldr \\last, [sp, #12]      \n"
    ".endif                     \n"
    "tody_first r8              \n"
    "tody_second r9             \n"
    ".endm                      \n");

// On the stack: tody_tiles_dsp; `thin` becomes where the inner loop is entered: behind those of its four parts, or two, for
// which there are no words of depth. A part is 96 bytes long.
#define BEGIN                \
    "push {r4-r11, lr}   \n" \
    "ldm r0, {r0-r11}    \n" \
    "push {r0-r11}       \n" \
    "ldr r5, [sp, #40]   \n" \
    "subs r4, r3, r0     \n" \
    "adr r8, 4f          \n" \
    "lsls r6, r4, #29    \n" \
    "it mi               \n" \
    "adrmi r8, 9f        \n" \
    "cbnz r5, 1f         \n" \
    "adr r8, 2f          \n" \
    "ubfx r4, r4, #3, #2 \n" \
    "movs r5, #96        \n" \
    "mla r8, r4, r5, r8  \n" \
    "1:                  \n" \
    "adds r8, #1         \n" \
    "str r8, [sp, #40]   \n" \
    "0:                  \n" \
    "ldr r8, [sp, #8]    \n" \
    "ldr r0, [sp]        \n" \
    "ldr r1, [sp, #4]    \n" \
    "ldr lr, [sp, #40]   \n" \
    "ldr r2, [r8], #8    \n" \
    "ldr r5, [r8, #-4]   \n" \
    "str r8, [sp, #8]    \n" \
    "add r8, r1, #8      \n" \
    "str r8, [sp, #4]    \n" \
    "mov r3, r2          \n" \
    "mov r4, r2          \n" \
    "mov r6, r5          \n" \
    "mov r7, r5          \n" \
    "bx lr               \n"

#define DEEP                   \
    "2:                    \n" \
    "tody_four             \n" \
    "tody_four             \n" \
    "tody_four             \n" \
    "tody_four lr          \n" \
    "cmp r0, lr            \n" \
    "bne 2b                \n"

#define THIN               \
    "4:                \n" \
    "tody_two_taps     \n" \
    "9:                \n" \
    "tody_two_taps lr  \n" \
    "cmp r0, lr        \n" \
    "bne 4b            \n" \
    "b 5b              \n"

#define STORE                \
    "6:                  \n" \
    "ldr r8, [sp, #32]   \n" \
    "stm r8!, {r2-r4}    \n" \
    "adds r8, #4         \n" \
    "stm r8!, {r5-r7}    \n" \
    "adds r8, #4         \n" \
    "str r8, [sp, #32]   \n" \
    "b 7b                \n"

// `pairs` is in lr. After each eighth pair comes the next panel.
#define END                  \
    "7:                  \n" \
    "subs lr, #1         \n" \
    "str lr, [sp, #36]   \n" \
    "tst lr, #7          \n" \
    "bne 0b              \n" \
    "cmp lr, #0          \n" \
    "beq 8f              \n" \
    "ldr r8, [sp, #44]   \n" \
    "ldr r9, [sp, #4]    \n" \
    "add r9, r8          \n" \
    "str r9, [sp, #4]    \n" \
    "b 0b                \n" \
    "8:                  \n" \
    "add sp, #48         \n" \
    "pop {r4-r11, pc}    \n"

#if defined(__ARM_FP)
#define FINISH                             \
    "5:                                \n" \
    "ldr r0, [sp, #20]                 \n" \
    "ldr lr, [sp, #36]                 \n" \
    "ldr r8, [sp, #16]                 \n" \
    "ldr r9, [sp, #24]                 \n" \
    "ldr r10, [sp, #28]                \n" \
    "cmp r0, #0                        \n" \
    "beq.w 6f                          \n" \
    "vldmia r8!, {s6, s7}              \n" \
    "add r1, r0, #2                    \n" \
    "str r8, [sp, #16]                 \n" \
    "str r1, [sp, #20]                 \n" \
    "add r1, r0, r9                    \n" \
    "vmov s0, r2                       \n" \
    "vmov s1, r3                       \n" \
    "vmov s2, r4                       \n" \
    "vmov s3, r5                       \n" \
    "vmov s4, r6                       \n" \
    "vmov s5, r7                       \n" \
    ".irp s, s0, s1, s2, s3, s4, s5    \n" \
    "vcvt.f32.s32 \\s, \\s             \n" \
    ".endr                             \n" \
    "vmul.f32 s0, s0, s6               \n" \
    "vmul.f32 s1, s1, s6               \n" \
    "vmul.f32 s2, s2, s6               \n" \
    "vmul.f32 s3, s3, s7               \n" \
    "vmul.f32 s4, s4, s7               \n" \
    "vmul.f32 s5, s5, s7               \n" \
    ".irp s, s0, s1, s2, s3, s4, s5    \n" \
    "vcvtr.s32.f32 \\s, \\s            \n" \
    ".endr                             \n" \
    "vmov r2, s0                       \n" \
    "vmov r3, s1                       \n" \
    "vmov r4, s2                       \n" \
    "vmov r5, s3                       \n" \
    "vmov r6, s4                       \n" \
    "vmov r7, s5                       \n" \
    ".irp r, r2, r3, r4, r5, r6, r7    \n" \
    "qadd \\r, \\r, r10                \n" \
    ".endr                             \n" \
    ".irp r, r2, r3, r4, r5, r6, r7    \n" \
    "ssat \\r, #8, \\r                 \n" \
    ".endr                             \n" \
    "strb r2, [r0]                     \n" \
    "strb r5, [r0, #1]                 \n" \
    "add r0, r1, r9                    \n" \
    "strb r3, [r1]                     \n" \
    "strb r6, [r1, #1]                 \n" \
    "strb r4, [r0]                     \n" \
    "strb r7, [r0, #1]                 \n"
#else
#define FINISH "5:\nldr lr, [sp, #36]\nb 6f\n"
#endif

__attribute__((naked)) void tody_run_tiles_dsp(const tody_tiles_dsp *tiles) { __asm__(BEGIN DEEP FINISH END STORE THIN); }

#endif
