// tiles.c - products of int8 rows and columns of a panel, the inner loops: three rows by two columns in registers.
// SPDX-License-Identifier: Apache-2.0
#include "helium.h"

#if defined(TODY_HAS_HELIUM)
#include "tiles.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"  // they are in r0 to r3

// The sums, three of each column: vmladava wants even registers.
#define SUMS "{r0, r2, r4, r6, r8, r10}\n"

// r12: the tiles, r1, r3, r5: rows, r7: their depth, r9: sums, r11: pairs. q6 has where the words of a column are, 256 bytes
// before because gathering goes ahead first, and q7 those of a vector. On the stack: x of the tile, and how many are left.
__attribute__((naked)) void tody_add_tiles_helium(const tody_tiles_helium *tiles) {
    __asm__(
        "push {r4-r11, lr}           \n"
        "vpush {d10-d15}             \n"
        "mov r12, r0                 \n"
        "ldrd r1, r2, [r12]          \n"
        "ldrd r7, r3, [r12, #8]      \n"
        "ldr r9, [r12, #20]          \n"
        "push {r1, r2}               \n"
        "movs r0, #0                 \n"
        "vidup.u32 q5, r0, #8        \n"
        "vshl.i32 q5, q5, #3         \n"
        "sub r3, #256                \n"
        "vadd.i32 q5, q5, r3         \n"
        "1:                          \n"
        "vmov q6, q5                 \n"
        "ldr r11, [r12, #16]         \n"
        "2:                          \n"
        "ldr r0, [sp]                \n"
        "vmov q7, q6                 \n"
        "ldm r0, {r1, r3, r5}        \n"
        "ldm r9, " SUMS
        "dlstp.8 lr, r7              \n"
        "3:                          \n"
        "vldrw.u32 q1, [q7, #260]    \n"
        "vldrb.u8 q2, [r1], #16      \n"
        "vmladava.s8 r6, q2, q1      \n"
        "vldrb.u8 q3, [r5], #16      \n"
        "vmladava.s8 r10, q3, q1     \n"
        "vldrw.u32 q0, [q7, #256]!   \n"
        "vmladava.s8 r0, q2, q0      \n"
        "vldrb.u8 q2, [r3], #16      \n"
        "vmladava.s8 r8, q2, q1      \n"
        "vmladava.s8 r2, q2, q0      \n"
        "vmladava.s8 r4, q3, q0      \n"
        "letp lr, 3b                 \n"
        "stm r9!, " SUMS
        "movs r0, #8                 \n"
        "vadd.i32 q6, q6, r0         \n"
        "subs r11, #1                \n"
        "bne 2b                      \n"
        "ldrd r1, r2, [sp]           \n"
        "adds r1, #12                \n"
        "subs r2, #1                 \n"
        "strd r1, r2, [sp]           \n"
        "bne 1b                      \n"
        "add sp, #8                  \n"
        "vpop {d10-d15}              \n"
        "pop {r4-r11, pc}            \n");
}

// Rows stay in q0 to q2; q5 has where the words of a pair are, q6 of the first. Words that a row does not have are read as its
// last one is, and meet zeros. r11: x, r12: pairs, r7: tiles.
__attribute__((naked)) void tody_add_thin_tiles_helium(const tody_tiles_helium *tiles) {
    __asm__(
        "push {r4-r11, lr}           \n"
        "vpush {d8-d13}              \n"
        "ldrd r11, r7, [r0]          \n"
        "ldrd r1, r3, [r0, #8]       \n"
        "ldrd r12, r9, [r0, #16]     \n"
        "vctp.8 r1                   \n"
        "subs r1, #1                 \n"
        "lsrs r1, #2                 \n"
        "vdup.32 q0, r1              \n"
        "movs r0, #0                 \n"
        "vidup.u32 q6, r0, #1        \n"
        "vmin.u32 q6, q6, q0         \n"
        "vshl.i32 q6, q6, #6         \n"
        "subs r3, #8                 \n"
        "vadd.i32 q6, q6, r3         \n"
        "1:                          \n"
        "ldm r11!, {r1, r3, r5}      \n"
        "vmov q5, q6                 \n"
        "vpsttt                      \n"
        "vldrbt.u8 q0, [r1]          \n"
        "vldrbt.u8 q1, [r3]          \n"
        "vldrbt.u8 q2, [r5]          \n"
        "dls lr, r12                 \n"
        "2:                          \n"
        "vldrw.u32 q4, [q5, #12]     \n"
        "vldrw.u32 q3, [q5, #8]!     \n"
        "ldm r9, " SUMS
        "vmladava.s8 r0, q0, q3      \n"
        "vmladava.s8 r2, q1, q3      \n"
        "vmladava.s8 r4, q2, q3      \n"
        "vmladava.s8 r6, q0, q4      \n"
        "vmladava.s8 r8, q1, q4      \n"
        "vmladava.s8 r10, q2, q4     \n"
        "stm r9!, " SUMS
        "le lr, 2b                   \n"
        "subs r7, #1                 \n"
        "bne 1b                      \n"
        "vpop {d8-d13}               \n"
        "pop {r4-r11, pc}            \n");
}

__attribute__((naked)) void tody_add_weights_helium(const int8_t *w, uint32_t depth, uint32_t pairs, int32_t *sums) {
    __asm__(
        "push {r4-r6, lr}            \n"
        "movs r4, #0                 \n"
        "vidup.u32 q0, r4, #8        \n"
        "vshl.i32 q0, q0, #3         \n"
        "sub r0, #256                \n"
        "vadd.i32 q0, q0, r0         \n"
        "movs r0, #8                 \n"
        "1:                          \n"
        "ldrd r4, r6, [r3]           \n"
        "vmov q1, q0                 \n"
        "dlstp.8 lr, r1              \n"
        "2:                          \n"
        "vldrw.u32 q3, [q1, #260]    \n"
        "vldrw.u32 q2, [q1, #256]!   \n"
        "vaddva.s8 r6, q3            \n"
        "vaddva.s8 r4, q2            \n"
        "letp lr, 2b                 \n"
        "strd r4, r6, [r3], #8       \n"
        "vadd.i32 q0, q0, r0         \n"
        "subs r2, #1                 \n"
        "bne 1b                      \n"
        "pop {r4-r6, pc}             \n");
}

// q0 and q1: where the words are, as above; r4, r6: products, r8, r10: weights.
__attribute__((naked)) void tody_add_row_helium(const int8_t *x, uint32_t depth, const int8_t *w, uint32_t pairs,
                                                int32_t *sums) {
    __asm__(
        "push {r4-r11, lr}           \n"
        "vpush {d8-d9}               \n"
        "ldr r9, [sp, #52]           \n"
        "movs r4, #0                 \n"
        "vidup.u32 q0, r4, #8        \n"
        "vshl.i32 q0, q0, #3         \n"
        "sub r2, #256                \n"
        "vadd.i32 q0, q0, r2         \n"
        "movs r2, #8                 \n"
        "1:                          \n"
        "ldrd r4, r8, [r9]           \n"
        "ldrd r6, r10, [r9, #12]     \n"
        "mov r5, r0                  \n"
        "vmov q1, q0                 \n"
        "dlstp.8 lr, r1              \n"
        "2:                          \n"
        "vldrw.u32 q3, [q1, #260]    \n"
        "vldrw.u32 q2, [q1, #256]!   \n"
        "vaddva.s8 r10, q3           \n"
        "vldrb.u8 q4, [r5], #16      \n"
        "vmladava.s8 r6, q4, q3      \n"
        "vaddva.s8 r8, q2            \n"
        "vmladava.s8 r4, q4, q2      \n"
        "letp lr, 2b                 \n"
        "strd r4, r8, [r9]           \n"
        "strd r6, r10, [r9, #12]     \n"
        "adds r9, #24                \n"
        "vadd.i32 q0, q0, r2         \n"
        "subs r3, #1                 \n"
        "bne 1b                      \n"
        "vpop {d8-d9}                \n"
        "pop {r4-r11, pc}            \n");
}

// r4: a tap, r5: where it goes, r6: `bytes`, r7: where a long tap goes on.
__attribute__((naked)) void tody_join_taps_helium(const int8_t *const *a, uint32_t next, uint32_t taps, uint32_t depth,
                                                  uint32_t bytes, int8_t *to) {
    __asm__(
        "push {r4-r7, lr}            \n"
        "ldrd r6, r5, [sp, #20]      \n"
        "cmp r3, #16                 \n"
        "bhi 2f                      \n"
        "vctp.8 r3                   \n"
        "dls lr, r2                  \n"
        "1:                          \n"
        "ldr r4, [r0]                \n"
        "add r0, r1                  \n"
        "vpstt                       \n"
        "vldrbt.u8 q0, [r4]          \n"
        "vstrbt.8 q0, [r5]           \n"
        "add r5, r6                  \n"
        "le lr, 1b                   \n"
        "pop {r4-r7, pc}             \n"
        "2:                          \n"
        "ldr r4, [r0]                \n"
        "add r0, r1                  \n"
        "mov r7, r5                  \n"
        "dlstp.8 lr, r3              \n"
        "3:                          \n"
        "vldrb.u8 q0, [r4], #16      \n"
        "vstrb.8 q0, [r7], #16       \n"
        "letp lr, 3b                 \n"
        "add r5, r6                  \n"
        "subs r2, #1                 \n"
        "bne 2b                      \n"
        "pop {r4-r7, pc}             \n");
}

#endif
