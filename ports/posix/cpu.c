// cpu.c - what this CPU can do, as a value.
// SPDX-License-Identifier: Apache-2.0
#define _DEFAULT_SOURCE

#include "core/kernels.h"
#include "posix.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <unistd.h>

// What the operating system saves (XCR0): the XMM and YMM registers; the mask registers, both halves of the ZMM registers; the
// tiles and their configuration.
enum { SAVES_YMM = 3 << 1, SAVES_ZMM = 7 << 5, SAVES_TILES = 3 << 17 };

static uint32_t saved_registers(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

#if defined(__linux__)

#include <sys/syscall.h>

// Linux gives a process the tile registers, which signal frames must have room for, only when it asks (arch_prctl); they stay
// zero, and cost nothing, in threads that do not use them.
static int gets_tiles(void) {
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}

#else

static int gets_tiles(void) { return 0; }

#endif

static int has_all(uint32_t bits, uint32_t wanted) { return (bits & wanted) == wanted; }

uint32_t tody_cpu_features(void) {
    const uint32_t fma = 1u << 12, osxsave = 1u << 27, f16c = 1u << 29, avx2 = 1u << 5;
    const uint32_t f = 1u << 16, dq = 1u << 17, bw = 1u << 30, vl = 1u << 31;   // in b
    const uint32_t vbmi = 1u << 1, avx512_vnni = 1u << 11, avx_vnni = 1u << 4;  // in c, c, and a of the second part
    const uint32_t amx_tile = 1u << 24, amx_int8 = 1u << 25;                    // in d
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !has_all(c, fma | osxsave | f16c)) return 0;
    const uint32_t saved = saved_registers();
    if (!has_all(saved, SAVES_YMM) || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & avx2)) return 0;
    uint32_t features = TODY_CPU_AVX2, more = 0;
    if (has_all(saved, SAVES_ZMM) && has_all(b, f | dq | bw | vl)) {
        features |= TODY_CPU_AVX512;
        if (has_all(c, vbmi | avx512_vnni)) features |= TODY_CPU_AVX512_VNNI;
        if (has_all(saved, SAVES_TILES) && has_all(d, amx_tile | amx_int8) && gets_tiles()) features |= TODY_CPU_AMX;
    }
    if (a >= 1 && __get_cpuid_count(7, 1, &more, &b, &c, &d) && more & avx_vnni) features |= TODY_CPU_AVX_VNNI;
    return features;
}

#elif defined(__linux__) && defined(__aarch64__)

#include <sys/auxv.h>

// Linux's numbers, for system headers that are older than the names.
enum { HAS_ASIMD = 1 << 1, HAS_ASIMD_FP16 = 1 << 10, HAS_ASIMD_DOT = 1 << 20, HAS2_I8MM = 1 << 13 };

uint32_t tody_cpu_features(void) {
    const unsigned long has = getauxval(AT_HWCAP), has2 = getauxval(AT_HWCAP2);
    uint32_t features = 0;
    if (has & HAS_ASIMD) features |= TODY_CPU_NEON;
    if (has & HAS_ASIMD_DOT) features |= TODY_CPU_NEON_DOT;
    if (has & HAS_ASIMD_FP16) features |= TODY_CPU_NEON_FP16;
    if (has2 & HAS2_I8MM) features |= TODY_CPU_NEON_I8MM;
    return features;
}

#elif defined(__linux__) && defined(__arm__)

#include <sys/auxv.h>

enum { HAS_NEON = 1 << 12, HAS_VFPV4 = 1 << 16 };  // Linux's numbers

// The ARMv7 kernels use vfma, so NEON counts only with VFPv4 (Cortex-A7 and A15; not A8 and A9).
uint32_t tody_cpu_features(void) {
    const unsigned long wanted = HAS_NEON | HAS_VFPV4;
    return (getauxval(AT_HWCAP) & wanted) == wanted ? TODY_CPU_NEON : 0;
}

#elif defined(__APPLE__) && defined(__aarch64__)

#include <stddef.h>
#include <sys/sysctl.h>

static uint32_t if_has(const char *name, uint32_t feature) {
    int32_t value = 0;
    size_t bytes = sizeof value;
    return sysctlbyname(name, &value, &bytes, NULL, 0) == 0 && value ? feature : 0;
}

uint32_t tody_cpu_features(void) {
    return TODY_CPU_NEON | if_has("hw.optional.arm.FEAT_DotProd", TODY_CPU_NEON_DOT) |
           if_has("hw.optional.arm.FEAT_FP16", TODY_CPU_NEON_FP16) | if_has("hw.optional.arm.FEAT_I8MM", TODY_CPU_NEON_I8MM);
}

#else

uint32_t tody_cpu_features(void) { return 0; }

#endif
