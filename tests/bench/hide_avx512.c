// hide_avx512.c - lets a program believe that its CPU ends at AVX2: LD_PRELOAD=./hide_avx512.so program
// SPDX-License-Identifier: Apache-2.0
//
// For comparing runtimes, ours and others, as a laptop without AVX-512, VNNI and AMX would run them. Linux can make the CPUID
// instruction fault (arch_prctl, on CPUs that /proc/cpuinfo shows cpuid_fault for); the handler answers in its place. Build:
// cc -O2 -fPIC -shared hide_avx512.c -o hide_avx512.so
#define _GNU_SOURCE
#include <cpuid.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { ARCH_SET_CPUID = 0x1012 };

static long answer_cpuid(int yes) { return syscall(SYS_arch_prctl, ARCH_SET_CPUID, yes); }

// AVX512F, DQ, IFMA, PF, ER, CD, BW, VL; VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ; 4VNNIW, 4FMAPS, VP2INTERSECT, AMX-BF16, FP16,
// AMX.
static const uint32_t hidden_b = 0xDC230000u, hidden_c = 0x00005842u, hidden_d = 0x03C0010Cu;

static void on_fault(int number, siginfo_t *info, void *context) {
    (void)number, (void)info;
    greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *code = (const uint8_t *)r[REG_RIP];
    if (code[0] != 0x0F || code[1] != 0xA2) {  // a fault of the program's own: let it die of it
        signal(SIGSEGV, SIG_DFL);
        return;
    }
    const uint32_t leaf = (uint32_t)r[REG_RAX], part = (uint32_t)r[REG_RCX];
    uint32_t a, b, c, d;
    answer_cpuid(1);
    __cpuid_count(leaf, part, a, b, c, d);
    answer_cpuid(0);
    if (leaf == 7 && part == 0) b &= ~hidden_b, c &= ~hidden_c, d &= ~hidden_d;
    if (leaf == 7 && part > 0) a = b = c = d = 0;  // AVX-VNNI and later
    r[REG_RAX] = a, r[REG_RBX] = b, r[REG_RCX] = c, r[REG_RDX] = d;
    r[REG_RIP] += 2;
}

__attribute__((constructor)) static void start(void) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
    if (sigaction(SIGSEGV, &action, NULL) || answer_cpuid(0)) {
        fputs("hide_avx512: this CPU or kernel cannot let CPUID fault\n", stderr);
        _exit(1);
    }
}
