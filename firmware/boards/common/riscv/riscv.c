// riscv.c - what a RISC-V core does before main, its clock, its sleep.
// SPDX-License-Identifier: Apache-2.0
#include "riscv.h"

#include <string.h>

#include "app/board.h"

enum { MACHINE_INTERRUPTS = 1 << 3, EXTERNAL_INTERRUPTS = 1 << 11 };  // in mstatus, in mie
enum { EXTERNAL = 11 };                                               // in mcause

// By riscv.ld.
extern uint8_t data_start[], data_end[], bss_start[], bss_end[];
extern const uint8_t data_load[];

int main(void);
void riscv_reset(void);
_Noreturn void riscv_begin(void);

static volatile const uint64_t *clock;
static uint32_t ticks_per_us;
static uint64_t started;

// The first instructions: a stack, then C.
__attribute__((naked, section(".start"))) void riscv_reset(void) { __asm__("la sp, stack_end\n\tj riscv_begin"); }

// Interrupts of the UART; anything else is a crash, which starts the board again.
__attribute__((interrupt("machine"), aligned(4))) static void on_trap(void) {
    uintptr_t cause;
    __asm__ volatile("csrr %0, mcause" : "=r"(cause));
    if ((intptr_t)cause < 0 && (cause & 0xFF) == EXTERNAL) {
        riscv_interrupt();
    } else {
        tody_board_reset();
    }
}

_Noreturn void riscv_begin(void) {
    memcpy(data_start, data_load, (size_t)(data_end - data_start));
    memset(bss_start, 0, (size_t)(bss_end - bss_start));
    __asm__ volatile("csrw mtvec, %0" : : "r"(on_trap));
    main();
    for (;;) tody_board_reset();
}

// The upper half is read again where the lower one wrapped meanwhile.
static uint64_t now(void) {
    const volatile uint32_t *half = (const volatile uint32_t *)clock;
    uint32_t upper, lower;
    do {
        upper = half[1];
        lower = half[0];
    } while (upper != half[1]);
    return (uint64_t)upper << 32 | lower;
}

void riscv_start(volatile const uint64_t *mtime, uint32_t hz) {
    clock = mtime;
    ticks_per_us = hz / 1000000;
    started = now();
    __asm__ volatile("csrs mie, %0" : : "r"(EXTERNAL_INTERRUPTS));
    __asm__ volatile("csrs mstatus, %0" : : "r"(MACHINE_INTERRUPTS));
}

uint32_t tody_board_time_us(void) { return (uint32_t)((now() - started) / ticks_per_us); }

uint32_t tody_board_time_ms(void) { return (uint32_t)((now() - started) / ticks_per_us / 1000); }

// Interrupts stay off between the question and the sleep, which a pending one ends all the same.
void tody_board_sleep(void) {
    __asm__ volatile("csrc mstatus, %0" : : "r"(MACHINE_INTERRUPTS) : "memory");
    if (!riscv_awake()) __asm__ volatile("wfi" ::: "memory");
    __asm__ volatile("csrs mstatus, %0" : : "r"(MACHINE_INTERRUPTS) : "memory");
}
