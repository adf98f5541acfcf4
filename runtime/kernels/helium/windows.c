// windows.c - depthwise windows of 3x3, the inner loop: eight channels in a vector.
// SPDX-License-Identifier: Apache-2.0
#include "helium.h"

#if defined(TODY_HAS_HELIUM)
#include "windows.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"  // they are in r0

// The values of a tap, and its weights, into two vectors.
#define VALUES(x, value) "vldrb.s16 " value ", [" x "], #8\n"
#define WEIGHTS(weight) "vldrh.u16 " weight ", [r10], #16\n"

// The same for a pointer in a register that a widening load does not take.
#define HIGH_VALUES(x, value) "mov r7, " x "\n" VALUES("r7", value) "add " x ", #8\n"

// The sums in q0, of even channels, and q1 += the products of a tap, while the next one is taken: loading, multiplying and
// adding overlap.
#define BOTTOM(value, weight) "vmullb.s16 q4, " value ", " weight "\n"
#define TOP(value, weight) "vmullt.s16 q5, " value ", " weight "\n"
#define TAP(value, weight, values, weights) \
    BOTTOM(value, weight) values "vadd.i32 q0, q0, q4\n" TOP(value, weight) weights "vadd.i32 q1, q1, q5\n"
#define EVEN(values) TAP("q2", "q3", values, WEIGHTS("q7"))
#define ODD(values) TAP("q6", "q7", values, WEIGHTS("q3"))

// r12: the arguments, and among blocks the zero point; r0 to r6, r8, r9: where the taps of a pixel are, r10: the filter, r11:
// c; on the stack, limits.
__attribute__((naked)) void tody_add_windows_helium(tody_windows_helium *windows) {
    __asm__("push {r0, r4-r11, lr}        \n"
            "vpush {d8-d15}               \n"
            "mov r12, r0                  \n"
            "ldrd r1, r2, [r12, #40]      \n"
            "vdup.16 q6, r1               \n"
            "vdup.16 q7, r2               \n"
            "vpush {d12-d15}              \n"
            "1:                           \n"
            "ldr r7, [r12]                \n"
            "ldr r8, [r12, #8]            \n"
            "ldm r7, {r0-r2}              \n"
            "add r7, r8                   \n"
            "ldm r7, {r3-r5}              \n"
            "add r7, r8                   \n"
            "ldr r6, [r7]                 \n"
            "ldrd r8, r9, [r7, #4]        \n"
            "ldrd r7, r10, [r12, #12]     \n"
            "add r0, r7                   \n"
            "add r1, r7                   \n"
            "add r2, r7                   \n"
            "add r3, r7                   \n"
            "add r4, r7                   \n"
            "add r5, r7                   \n"
            "add r6, r7                   \n"
            "add r8, r7                   \n"
            "add r9, r7                   \n"
            "ldrd r7, r11, [r12, #20]     \n"
            "dls lr, r7                   \n"
            "ldr r12, [r12, #36]          \n"
            "2:                           \n"
            "vldrw.u32 q0, [r10], #16     \n"
            "vldrw.u32 q1, [r10], #16     \n"  //
            VALUES("r0", "q2") WEIGHTS("q3")                                      //
            EVEN(VALUES("r1", "q6")) ODD(VALUES("r2", "q2"))                      //
            EVEN(VALUES("r3", "q6")) ODD(VALUES("r4", "q2"))                      //
            EVEN(VALUES("r5", "q6")) ODD(VALUES("r6", "q2"))                      //
            EVEN(HIGH_VALUES("r8", "q6")) ODD(HIGH_VALUES("r9", "q2"))            //
            TAP("q2", "q3", "", "")
            "vldrw.u32 q2, [r10], #16     \n"
            "vcvt.f32.s32 q0, q0          \n"
            "vldrw.u32 q3, [r10], #16     \n"
            "vcvt.f32.s32 q1, q1          \n"
            "vmul.f32 q0, q0, q2          \n"
            "vmul.f32 q1, q1, q3          \n"
            "vcvtn.s32.f32 q0, q0         \n"
            "vcvtn.s32.f32 q1, q1         \n"
            "vqmovnb.s32 q2, q0           \n"
            "vqmovnt.s32 q2, q1           \n"
            "mov r7, r11                  \n"
            "vqadd.s16 q2, q2, r12        \n"
            "vldrh.u16 q0, [sp]           \n"
            "vldrh.u16 q1, [sp, #16]      \n"
            "vmax.s16 q2, q2, q0          \n"
            "vmin.s16 q2, q2, q1          \n"
            "vstrb.16 q2, [r7]            \n"
            "add r11, #8                  \n"
            "le lr, 2b                    \n"
            "ldr r12, [sp, #96]           \n"
            "ldrd r0, r1, [r12]           \n"
            "ldrd r2, r3, [r12, #24]      \n"
            "ldr r4, [r12, #32]           \n"
            "add r0, r1                   \n"
            "add r2, r3                   \n"
            "subs r4, #1                  \n"
            "str r0, [r12]                \n"
            "str r2, [r12, #24]           \n"
            "str r4, [r12, #32]           \n"
            "bne 1b                       \n"
            "vpop {d12-d15}               \n"
            "vpop {d8-d15}                \n"
            "pop {r0, r4-r11, pc}         \n");
}

#endif
